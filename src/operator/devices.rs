//! An identity's devices: which there are, how they are woken, why one was not; and to revoke one.

use serde::Deserialize;

use super::Failure;
use super::output::{line, utc as when};
use super::server::{Server, part};
use crate::client::printable;

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    device: String,
    first_seen_ms: u64,
    revoked_ms: Option<u64>,
    push: Option<Push>,
    now: Now,
}

#[derive(Deserialize)]
struct Push {
    provider: String,
    app: String,
    seen_ms: u64,
    registered_ms: u64,
    dead: Option<Dead>,
}

#[derive(Deserialize)]
struct Dead {
    at_ms: u64,
    reason: String,
}

#[derive(Deserialize)]
struct Now {
    state: String,
    why: Option<String>,
    until_ms: Option<u64>,
    dataset: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
struct Log {
    device: Device,
    log: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    first_ms: u64,
    at_ms: u64,
    count: u64,
    dataset: Option<String>,
    version: Option<u64>,
    outcome: String,
    detail: String,
}

#[derive(Deserialize)]
struct Tried {
    provider: String,
    app: String,
    outcome: String,
    detail: String,
    took_ms: u64,
}

#[derive(Deserialize)]
struct Halted {
    #[serde(alias = "resumed")]
    stopped: Vec<App>,
}

#[derive(Deserialize)]
struct App {
    pool: String,
    provider: String,
    app: String,
    why: String,
    since_ms: u64,
}

/// Lists the devices of an identity.
pub(super) async fn list(server: &Server, identity: &str) -> Result<(), Failure> {
    let found: Devices = server.get(&format!("identities/{}/devices", part(identity))).await?;
    for device in &found.devices {
        line(&format!("{}   since {}{}", printable(&device.device), when(device.first_seen_ms), state(device)))?;
    }
    Ok(())
}

fn state(device: &Device) -> String {
    let revoked = device.revoked_ms.map(|at_ms| format!("   revoked {}", when(at_ms))).unwrap_or_default();
    let push = match &device.push {
        None => "   no push".to_owned(),
        Some(Push { dead: Some(Dead { at_ms, reason }), provider, .. }) => {
            format!("   {provider}, token dead since {}: {}", when(*at_ms), printable(reason))
        }
        Some(Push { provider, app, seen_ms, .. }) => format!("   {provider} {}, last seen {}", printable(app), when(*seen_ms)),
    };
    format!("{push}{revoked}")
}

/// Shows why a device was woken, or was not.
pub(super) async fn log(server: &Server, identity: &str, device: &str) -> Result<(), Failure> {
    let Log { device, log } = server.get(&format!("identities/{}/devices/{}/push", part(identity), part(device))).await?;
    line(&format!("{}{}", printable(&device.device), state(&device)))?;
    if let Some(push) = &device.push {
        line(&format!("registered {}", when(push.registered_ms)))?;
    }
    line(&format!("now: {}\n", now(&device.now)))?;
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

fn now(now: &Now) -> String {
    let Now { state, why, until_ms, dataset, version } = now;
    let why = why.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
    let until = until_ms.map(|at_ms| format!(", until {}", when(at_ms))).unwrap_or_default();
    let about = match (dataset, version) {
        (Some(dataset), Some(version)) => format!(", {} version {version}", printable(dataset)),
        _ => String::new(),
    };
    format!("{state}{why}{until}{about}")
}

/// Wakes a device, and says what its gateway said.
pub(super) async fn test(server: &Server, identity: &str, device: &str, shown: bool) -> Result<(), Failure> {
    let path = format!("identities/{}/devices/{}/push/test", part(identity), part(device));
    let Tried { provider, app, outcome, detail, took_ms } = server.post(&path, &serde_json::json!({ "shown": shown })).await?;
    let said = format!("{provider} {}: {outcome} {} in {took_ms} ms", printable(&app), printable(&detail));
    if outcome == "accepted" { line(&said) } else { Err(Failure::Input(format!("the device was not woken; {said}"))) }
}

/// Says which apps are stopped.
pub(super) async fn status(server: &Server) -> Result<(), Failure> {
    let Halted { stopped } = server.get("push").await?;
    if stopped.is_empty() {
        return line("wakes of all apps go out");
    }
    stopped.iter().try_for_each(stopped_line)?;
    line("mend the credential or the topic, then send SIGHUP to the server, or run: driftless push resume")
}

/// Lets stopped apps go on.
pub(super) async fn resume(server: &Server) -> Result<(), Failure> {
    let Halted { stopped } = server.post("push/resume", &serde_json::json!({})).await?;
    stopped.iter().try_for_each(stopped_line)?;
    line(if stopped.is_empty() { "nothing was stopped" } else { "these go on" })
}

fn stopped_line(app: &App) -> Result<(), Failure> {
    let App { pool, provider, app, why, since_ms } = app;
    line(&format!("{} {provider} {}   stopped since {}: {}", printable(pool), printable(app), when(*since_ms), printable(why)))
}

/// Revokes a device, or lets it in again.
pub(super) async fn revoke(server: &Server, identity: &str, device: &str, what: &str) -> Result<(), Failure> {
    let path = format!("identities/{}/devices/{}/{what}", part(identity), part(device));
    let _: serde_json::Value = server.post(&path, &serde_json::json!({})).await?;
    line(match what {
        "revoke" => "revoked: its session is closed, its push token is forgotten, and it comes in no more",
        _ => "it may come in again",
    })
}
