//! The commands about an identity's devices and their pushes.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_client::{AdminClient, percent_encoded};
use super::error::OperatorError;
use super::output::{ResultFormat, line, utc as when};
use crate::client::printable;
use crate::invocation;

#[derive(Deserialize)]
struct DevicesResponse {
    devices: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
struct DeviceEntry {
    device: String,
    first_seen_ms: u64,
    seen_ms: u64,
    revoked_ms: Option<u64>,
    push: Option<RegistrationInfo>,
    wake: WakeInfo,
}

#[derive(Deserialize)]
struct RegistrationInfo {
    provider: String,
    app: String,
    seen_ms: u64,
    registered_ms: u64,
    dead: Option<DeadTokenInfo>,
}

#[derive(Deserialize)]
struct DeadTokenInfo {
    at_ms: u64,
    reason: String,
    /// `dead` or `moved`.
    loss: String,
}

#[derive(Deserialize)]
struct WakeInfo {
    state: String,
    reason: Option<String>,
    until_ms: Option<u64>,
    dataset: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
struct PushLogResponse {
    device: DeviceEntry,
    log: Vec<PushLogEntry>,
}

#[derive(Deserialize)]
struct PushLogEntry {
    first_ms: u64,
    at_ms: u64,
    count: u64,
    dataset: Option<String>,
    version: Option<u64>,
    outcome: String,
    detail: String,
}

#[derive(Deserialize)]
struct TestWakeResponse {
    provider: String,
    app: String,
    outcome: String,
    /// Why the wake failed, for people.
    explanation: Option<String>,
    detail: String,
    took_ms: u64,
}

/// The answer to a device's revocation, or to its end.
#[derive(Deserialize)]
struct AccessResponse {
    #[serde(rename = "revoked")]
    _revoked: bool,
}

#[derive(Deserialize)]
struct ForgottenResponse {
    #[serde(rename = "forgotten")]
    _forgotten: bool,
}

#[derive(Deserialize)]
struct StoppedAppsResponse {
    #[serde(alias = "resumed")]
    stopped: Vec<StoppedAppEntry>,
}

#[derive(Deserialize)]
struct StoppedAppEntry {
    pool: String,
    provider: String,
    app: String,
    reason: String,
    since_ms: u64,
}

pub(super) async fn list(server: &AdminClient, identity: &str) -> Result<(), OperatorError> {
    let device = |device: &DeviceEntry| {
        let DeviceEntry { device: id, first_seen_ms, seen_ms, .. } = device;
        line(&format!("{}   since {}, seen {}{}", printable(id), when(*first_seen_ms), when(*seen_ms), device_state(device)))
    };
    let print = |response: DevicesResponse| response.devices.iter().try_for_each(device);
    server.show(&format!("identities/{}/devices", percent_encoded(identity)), print).await
}

fn device_state(device: &DeviceEntry) -> String {
    let revoked = device.revoked_ms.map(|at_ms| format!("   revoked {}", when(at_ms))).unwrap_or_default();
    let push = match &device.push {
        None => "   no push".to_owned(),
        Some(RegistrationInfo { dead: Some(DeadTokenInfo { at_ms, reason, loss }), provider, .. }) => {
            format!("   {provider}, token {} since {}: {}", printable(loss), when(*at_ms), printable(reason))
        }
        Some(RegistrationInfo { provider, app, seen_ms, .. }) => format!("   {provider} {}, last seen {}", printable(app), when(*seen_ms)),
    };
    format!("{push}{revoked}")
}

/// Prints the delivery log of a device.
pub(super) async fn log(server: &AdminClient, identity: &str, device: &str) -> Result<(), OperatorError> {
    let path = format!("identities/{}/devices/{}/push", percent_encoded(identity), percent_encoded(device));
    server.show(&path, print_log).await
}

fn print_log(PushLogResponse { device, log }: PushLogResponse) -> Result<(), OperatorError> {
    line(&format!("{}{}", printable(&device.device), device_state(&device)))?;
    if let Some(push) = &device.push {
        line(&format!("registered {}", when(push.registered_ms)))?;
    }
    line(&format!("now: {}\n", wake_state(&device.wake)))?;
    for entry in &log {
        let about = match (&entry.dataset, entry.version) {
            (Some(dataset), Some(version)) => format!("{} version {version}", printable(dataset)),
            _ => String::new(),
        };
        let count = if entry.count > 1 { format!("   {} times since {}", entry.count, when(entry.first_ms)) } else { String::new() };
        line(&format!("{}   {:<9} {}   {}{count}", when(entry.at_ms), entry.outcome, printable(&entry.detail), about))?;
    }
    Ok(())
}

fn wake_state(wake: &WakeInfo) -> String {
    let WakeInfo { state, reason, until_ms, dataset, version } = wake;
    let reason = reason.as_ref().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
    let until = until_ms.map(|at_ms| format!(", until {}", when(at_ms))).unwrap_or_default();
    let about = match (dataset, version) {
        (Some(dataset), Some(version)) => format!(", {} version {version}", printable(dataset)),
        _ => String::new(),
    };
    format!("{state}{reason}{until}{about}")
}

/// Wakes a device, and prints the answer of its push gateway.
pub(super) async fn test(server: &AdminClient, identity: &str, device: &str, shown: bool) -> Result<(), OperatorError> {
    let path = format!("identities/{}/devices/{}/push/test", percent_encoded(identity), percent_encoded(device));
    let answer: Value = server.answer(Method::POST, &path, &json!({ "shown": shown })).await?;
    let TestWakeResponse { provider, app, outcome, explanation, detail, took_ms } = server.typed(&answer)?;
    let why = match explanation {
        // A detail that contains the explanation says more than the explanation alone.
        Some(explanation) if !detail.contains(&explanation) => format!("{explanation}: {detail}"),
        _ => detail,
    };
    let text = format!("{provider} {}: {outcome}, {}, in {took_ms} ms", printable(&app), printable(&why));
    if server.format == ResultFormat::Json {
        line(&answer.to_string())?;
    }
    match (outcome.as_str(), server.format) {
        ("accepted", ResultFormat::Text) => line(&text),
        ("accepted", ResultFormat::Json) => Ok(()),
        _ => Err(OperatorError::Failed(format!("the device was not woken; {text}"))),
    }
}

/// Prints the stopped apps.
pub(super) async fn status(server: &AdminClient) -> Result<(), OperatorError> {
    server.show("push", print_status).await
}

fn print_status(StoppedAppsResponse { stopped }: StoppedAppsResponse) -> Result<(), OperatorError> {
    if stopped.is_empty() {
        return line("no app is stopped");
    }
    stopped.iter().try_for_each(stopped_line)?;
    line(&format!("correct the credential or the topic, then send SIGHUP to the server, or run: {} push resume", invocation::name()))
}

/// Resumes pushes to stopped apps.
pub(super) async fn resume(server: &AdminClient) -> Result<(), OperatorError> {
    let print = |StoppedAppsResponse { stopped }| {
        stopped.iter().try_for_each(stopped_line)?;
        line(if stopped.is_empty() { "no app was stopped" } else { "resumed" })
    };
    server.act(Method::POST, "push/resume", &json!({}), print).await
}

fn stopped_line(app: &StoppedAppEntry) -> Result<(), OperatorError> {
    let StoppedAppEntry { pool, provider, app, reason, since_ms } = app;
    line(&format!("{} {provider} {}   stopped since {}: {}", printable(pool), printable(app), when(*since_ms), printable(reason)))
}

/// Revokes a device.
pub(super) async fn revoke(server: &AdminClient, identity: &str, device: &str, refuse_tokens: bool) -> Result<(), OperatorError> {
    let path = format!("identities/{}/devices/{}/revoke", percent_encoded(identity), percent_encoded(device));
    let print = |_: AccessResponse| {
        line("revoked: its session is closed, its push token is deleted, and the server no longer accepts it")?;
        match refuse_tokens {
            true => line(
                "tokens that were issued until now are refused; the other devices of the identity need new ones, which are accepted in a minute",
            ),
            false => line("a valid token of its user is still accepted from another device; refuse those, too, with --refuse-tokens"),
        }
    };
    server.act(Method::POST, &path, &json!({ "refuse_tokens": refuse_tokens }), print).await
}

/// Allows a revoked device again.
pub(super) async fn allow(server: &AdminClient, identity: &str, device: &str) -> Result<(), OperatorError> {
    let path = format!("identities/{}/devices/{}/allow", percent_encoded(identity), percent_encoded(device));
    let print = |_: AccessResponse| line("allowed: the server accepts the device again");
    server.act(Method::POST, &path, &json!({}), print).await
}

/// Forgets a device.
pub(super) async fn forget(server: &AdminClient, identity: &str, device: &str) -> Result<(), OperatorError> {
    let path = format!("identities/{}/devices/{}", percent_encoded(identity), percent_encoded(device));
    let print = |_: ForgottenResponse| {
        line("forgotten: its session is closed, and all that the server kept of it is deleted; it can come back as a new device")
    };
    server.act(Method::DELETE, &path, &json!({}), print).await
}
