//! `/admin/api`: the devices of an identity, and why they were woken or not.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use driftless_protocol::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpState;
use super::admin::{identified, said};
use super::error::{Error, granted};
use crate::admin::{DeviceAccess, DeviceWakeState, NotFound, TestWakeResult, WakeState};
use crate::push::StoppedApp;
use crate::store::{DeliveryLogEntry, DeliveryStatus};

pub(super) fn routes() -> Router<HttpState> {
    Router::new()
        .route("/identities/{identity}/devices", get(list))
        .route("/identities/{identity}/devices/{device}/push", get(log))
        .route("/identities/{identity}/devices/{device}/push/test", post(test))
        .route("/identities/{identity}/devices/{device}/revoke", post(revoke))
        .route("/identities/{identity}/devices/{device}/allow", post(allow))
        .route("/push", get(stopped))
        .route("/push/resume", post(resume))
}

async fn list(State(rooms): State<HttpState>, Path(identity): Path<String>) -> Result<Response, Error> {
    let devices = rooms.admin.devices(identified(&identity)?).await??;
    Ok(granted(&json!({ "identity": identity, "devices": devices.iter().map(told).collect::<Vec<_>>() })))
}

async fn log(State(rooms): State<HttpState>, Path((identity, device)): Path<(String, String)>) -> Result<Response, Error> {
    let (awake, log) = rooms.admin.push_log(identified(&identity)?, named(&device)?).await??;
    Ok(granted(&json!({ "device": told(&awake), "log": log.iter().map(entry).collect::<Vec<_>>() })))
}

/// Never its token: whoever has it can send.
fn told(awake: &DeviceWakeState) -> Value {
    let now = match &awake.wake {
        WakeState::NotRegistered => json!({ "state": "not registered" }),
        WakeState::NoDebts => json!({ "state": "nothing owed" }),
        WakeState::NotWoken(why) => json!({ "state": "not woken", "why": why }),
        WakeState::Waiting(until_ms, why) => json!({ "state": "waits", "why": why, "until_ms": until_ms }),
        WakeState::Due(dataset, version) => json!({ "state": "due", "dataset": dataset, "version": version }),
    };
    let push = awake.target.as_ref().map(|sleeper| {
        json!({
            "provider": sleeper.provider, "app": sleeper.app, "datasets": sleeper.datasets, "shown": sleeper.shown, "dead": sleeper.dead,
            "registered_ms": sleeper.registered_ms, "seen_ms": sleeper.seen_ms, "failures": sleeper.budget.failures,
        })
    });
    let device = &awake.device;
    json!({
        "device": device.device, "first_seen_ms": device.first_seen_ms, "revoked_ms": device.revoked_ms, "push": push, "now": now,
    })
}

fn entry(entry: &DeliveryLogEntry) -> Value {
    let DeliveryLogEntry { first_ms, at_ms, count, about, status: told } = entry;
    let (dataset, version) = about.clone().unzip();
    let (outcome, detail) = match told {
        DeliveryStatus::Accepted { shown, id } => (if *shown { "shown" } else { "accepted" }, id.clone().unwrap_or_default()),
        DeliveryStatus::TokenDead(why) => ("dead", why.clone()),
        DeliveryStatus::Deferred(why, until_ms) => ("later", format!("{why}, not before {until_ms}")),
        DeliveryStatus::Refused(why) => ("refused", why.clone()),
        DeliveryStatus::NotSent(why) => ("not sent", why.clone()),
        DeliveryStatus::RegistrationChanged(what) => ("note", what.clone()),
    };
    json!({
        "first_ms": first_ms, "at_ms": at_ms, "count": count, "dataset": dataset, "version": version, "outcome": outcome, "detail": detail,
    })
}

#[derive(Deserialize)]
struct TryIt {
    #[serde(default)]
    shown: bool,
}

async fn test(State(rooms): State<HttpState>, Path((identity, device)): Path<(String, String)>, body: Body) -> Result<Response, Error> {
    let shown = said::<TryIt>(body).await?.shown;
    match rooms.admin.push_test(identified(&identity)?, named(&device)?, shown).await?? {
        TestWakeResult::NoToken(why) => Err(Error::Stands(why)),
        TestWakeResult::Answered { provider, app, outcome, detail, took_ms } => Ok(granted(&json!({
            "provider": provider, "app": app, "outcome": outcome, "detail": detail, "took_ms": took_ms,
        }))),
    }
}

async fn revoke(State(rooms): State<HttpState>, Path((identity, device)): Path<(String, String)>) -> Result<Response, Error> {
    rooms.admin.set_device_access(identified(&identity)?, named(&device)?, DeviceAccess::Revoked).await??;
    Ok(granted(&json!({ "device": device, "revoked": true })))
}

async fn allow(State(rooms): State<HttpState>, Path((identity, device)): Path<(String, String)>) -> Result<Response, Error> {
    rooms.admin.set_device_access(identified(&identity)?, named(&device)?, DeviceAccess::Allowed).await??;
    Ok(granted(&json!({ "device": device, "revoked": false })))
}

async fn stopped(State(rooms): State<HttpState>) -> Result<Response, Error> {
    Ok(granted(&json!({ "stopped": halted(&rooms.admin.push_stopped()) })))
}

async fn resume(State(rooms): State<HttpState>) -> Result<Response, Error> {
    Ok(granted(&json!({ "resumed": halted(&rooms.admin.push_resume()) })))
}

fn halted(stopped: &[StoppedApp]) -> Vec<Value> {
    let one = |one: &StoppedApp| json!({ "pool": one.app.pool, "provider": one.app.provider, "app": one.app.app, "why": one.why, "since_ms": one.since_ms });
    stopped.iter().map(one).collect()
}

fn named(device: &str) -> Result<DeviceId, Error> {
    DeviceId::new(device).map_err(|_| Error::NotFound(NotFound::Device))
}
