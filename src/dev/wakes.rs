//! The demo page's phones as the stand-in gateway knows them: a token for each, and the wakes that came for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use driftless_protocol::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};

use driftless_standin::{ApnsEnvironment, StandInGateway};

/// The app that the phones have.
pub const APP: &str = "com.example.demo";

/// Phones that are known at most; those of a page that was opened anew replace others.
const PHONES: usize = 1000;

/// Wakes that a phone is shown, the newest.
const SHOWN: usize = 5;

#[derive(Clone)]
struct Phones {
    gateway: StandInGateway,
    tokens: Arc<Mutex<HashMap<DeviceId, String>>>,
}

#[derive(Deserialize)]
struct Which {
    device: DeviceId,
    #[serde(default)]
    since_ms: u64,
}

/// What the page asks, beside its files.
pub fn wakes<S: Clone + Send + Sync + 'static>(gateway: StandInGateway) -> Router<S> {
    let phones = Phones { gateway, tokens: Arc::default() };
    Router::new().route("/demo/push", get(registration)).route("/demo/wakes", get(came)).with_state(phones)
}

impl Phones {
    /// The token of a phone: one that was not known gets one.
    fn token(&self, device: DeviceId) -> String {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= PHONES && !tokens.contains_key(&device) {
            tokens.clear();
        }
        tokens.entry(device).or_insert_with(|| self.gateway.new_apns_token(APP, ApnsEnvironment::Production)).clone()
    }
}

async fn registration(State(phones): State<Phones>, Query(which): Query<Which>) -> Response {
    answer(&json!({ "provider": "apns", "app": APP, "token": phones.token(which.device) }))
}

async fn came(State(phones): State<Phones>, Query(Which { device, since_ms }): Query<Which>) -> Response {
    let token = phones.token(device);
    let came = phones.gateway.pushes_to(&token).into_iter().rev().filter(|push| push.at_ms >= since_ms).take(SHOWN);
    let wakes: Vec<Value> = came
        .map(|push| {
            let data = push.data();
            json!({ "at_ms": push.at_ms, "dataset": data["dataset"], "version": data["version"] })
        })
        .collect();
    answer(&json!({ "wakes": wakes }))
}

fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], value.to_string()).into_response()
}
