//! Parses what admin requests name: identities, datasets, devices and JSON bodies.

use axum::body::Body;
use driftless_protocol::{DatasetName, DeviceId};
use serde::de::DeserializeOwned;

use crate::admin::{self, NotFound};
use crate::http::error::HttpError;
use crate::http::request::read_body;
use crate::store::Identity;

/// The maximum bytes of the name of a pool, an issuer or a subject. Real ones are far shorter.
const NAME_BYTES: usize = 4096;

pub(super) fn identity(text: &str) -> Result<Identity, HttpError> {
    admin::parse_identity(text).ok_or(HttpError::NotFound(NotFound::Identity))
}

pub(super) fn dataset(name: &str) -> Result<DatasetName, HttpError> {
    DatasetName::new(name).map_err(|error| HttpError::BadAdminRequest(error.to_string()))
}

pub(super) fn device(id: &str) -> Result<DeviceId, HttpError> {
    DeviceId::new(id).map_err(|_| HttpError::NotFound(NotFound::Device))
}

pub(super) async fn json_body<T: DeserializeOwned>(body: Body) -> Result<T, HttpError> {
    serde_json::from_slice(&read_body(body).await?).map_err(|error| HttpError::BadAdminRequest(format!("invalid body: {error}")))
}

pub(super) fn check_names(names: &[&str]) -> Result<(), HttpError> {
    match names.iter().all(|name| (1..=NAME_BYTES).contains(&name.len())) {
        true => Ok(()),
        false => Err(HttpError::BadAdminRequest(format!("a name must have 1 to {NAME_BYTES} bytes"))),
    }
}
