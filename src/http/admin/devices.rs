//! An identity's devices, why they were woken or not, and apps whose pushes are stopped.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request;
use crate::admin::{DeviceAccess, DeviceWakeState, TestWakeResult, WakeState};
use crate::http::error::{HttpError, ok_json};
use crate::http::request::PathNames;
use crate::http::state::HttpState;
use crate::push::{FailureCause, StoppedApp};
use crate::store::{DeliveryLogEntry, DeliveryStatus};

pub(super) async fn list(State(state): State<HttpState>, PathNames(identity): PathNames<String>) -> Result<Response, HttpError> {
    let devices = state.admin.devices(request::identity(&identity)?).await??;
    Ok(ok_json(&json!({ "identity": identity, "devices": devices.iter().map(device_json).collect::<Vec<_>>() })))
}

pub(super) async fn push_log(
    State(state): State<HttpState>,
    PathNames((identity, device)): PathNames<(String, String)>,
) -> Result<Response, HttpError> {
    let (device, log) = state.admin.push_log(request::identity(&identity)?, request::device(&device)?).await??;
    Ok(ok_json(&json!({ "device": device_json(&device), "log": log.iter().map(log_entry_json).collect::<Vec<_>>() })))
}

/// A device and its wake status. The push token is left out: anyone who has it can send to the device.
fn device_json(status: &DeviceWakeState) -> Value {
    let wake = match &status.wake {
        WakeState::NotRegistered => json!({ "state": "not registered" }),
        WakeState::NoDebts => json!({ "state": "nothing owed" }),
        WakeState::NotWoken(reason) => json!({ "state": "not woken", "reason": reason }),
        WakeState::Waiting(until_ms, reason) => json!({ "state": "waiting", "reason": reason, "until_ms": until_ms }),
        WakeState::Due(dataset, version) => json!({ "state": "due", "dataset": dataset, "version": version }),
    };
    let push = status.target.as_ref().map(|target| {
        json!({
            "provider": target.provider, "app": target.app, "datasets": target.datasets, "shown": target.shown, "dead": target.dead,
            "registered_ms": target.registered_ms, "seen_ms": target.seen_ms, "failures": target.budget.failures,
        })
    });
    let device = &status.device;
    json!({
        "device": device.device, "first_seen_ms": device.first_seen_ms, "seen_ms": device.seen_ms, "revoked_ms": device.revoked_ms,
        "push": push, "wake": wake,
    })
}

fn log_entry_json(entry: &DeliveryLogEntry) -> Value {
    let DeliveryLogEntry { first_ms, at_ms, count, about, status } = entry;
    let (dataset, version) = about.clone().unzip();
    let (outcome, detail) = match status {
        DeliveryStatus::Accepted { shown, id } => (if *shown { "shown" } else { "accepted" }, id.clone().unwrap_or_default()),
        DeliveryStatus::TokenDead(why) => ("dead", why.clone()),
        DeliveryStatus::Deferred(why, until_ms) => ("later", format!("{why}, not before {until_ms}")),
        DeliveryStatus::Refused(why) => ("refused", why.clone()),
        DeliveryStatus::NotSent(why) => ("not sent", why.clone()),
        DeliveryStatus::Note(what) => ("note", what.clone()),
    };
    json!({
        "first_ms": first_ms, "at_ms": at_ms, "count": count, "dataset": dataset, "version": version, "outcome": outcome, "detail": detail,
    })
}

#[derive(Deserialize)]
struct PushTestBody {
    #[serde(default)]
    shown: bool,
}

pub(super) async fn push_test(
    State(state): State<HttpState>,
    PathNames((identity, device)): PathNames<(String, String)>,
    body: Body,
) -> Result<Response, HttpError> {
    let shown = request::json_body::<PushTestBody>(body).await?.shown;
    match state.admin.push_test(request::identity(&identity)?, request::device(&device)?, shown).await?? {
        TestWakeResult::NoToken(why) => Err(HttpError::NotPossible(why)),
        TestWakeResult::Answered { provider, app, outcome, cause, detail, took_ms } => Ok(ok_json(&json!({
            "provider": provider, "app": app, "outcome": outcome, "cause": cause.map(FailureCause::label),
            "explanation": cause.map(|cause| cause.to_string()), "detail": detail, "took_ms": took_ms,
        }))),
    }
}

#[derive(Deserialize)]
struct RevokeBody {
    /// Whether the tokens of the identity's logins that were issued until now are refused, too.
    #[serde(default)]
    refuse_tokens: bool,
}

pub(super) async fn revoke(
    State(state): State<HttpState>,
    PathNames((identity, device)): PathNames<(String, String)>,
    body: Body,
) -> Result<Response, HttpError> {
    let RevokeBody { refuse_tokens } = request::json_body(body).await?;
    let access = if refuse_tokens { DeviceAccess::RevokedWithTokens } else { DeviceAccess::Revoked };
    let until_s = state.admin.set_device_access(request::identity(&identity)?, request::device(&device)?, access).await??;
    Ok(ok_json(&json!({ "device": device, "revoked": true, "tokens_refused_until_s": until_s })))
}

pub(super) async fn allow(
    State(state): State<HttpState>,
    PathNames((identity, device)): PathNames<(String, String)>,
) -> Result<Response, HttpError> {
    state.admin.set_device_access(request::identity(&identity)?, request::device(&device)?, DeviceAccess::Allowed).await??;
    Ok(ok_json(&json!({ "device": device, "revoked": false })))
}

pub(super) async fn forget(
    State(state): State<HttpState>,
    PathNames((identity, device)): PathNames<(String, String)>,
) -> Result<Response, HttpError> {
    state.admin.forget_device(request::identity(&identity)?, request::device(&device)?).await??;
    Ok(ok_json(&json!({ "device": device, "forgotten": true })))
}

pub(super) async fn stopped_apps(State(state): State<HttpState>) -> Result<Response, HttpError> {
    Ok(ok_json(&json!({ "stopped": stopped_apps_json(&state.admin.push_stopped()) })))
}

pub(super) async fn resume_apps(State(state): State<HttpState>) -> Result<Response, HttpError> {
    Ok(ok_json(&json!({ "resumed": stopped_apps_json(&state.admin.push_resume()) })))
}

fn stopped_apps_json(stopped: &[StoppedApp]) -> Vec<Value> {
    let one = |one: &StoppedApp| json!({ "pool": one.app.pool, "provider": one.app.provider, "app": one.app.app, "reason": one.why, "since_ms": one.since_ms });
    stopped.iter().map(one).collect()
}
