//! Google's side: `POST /v1/projects/{project}/messages:send` ("FCM HTTP v1 API", `projects.messages`).

use http::Method;
use serde_json::{Map, Value, json};

use driftless_protocol::Provider;

use super::access_tokens::Access;
use super::call::{Accepted, Call};
use super::fcm_error::{FcmCode, bad_field, error, unauthenticated};
use super::push::{Content, chance_text};
use super::refusal::Refusal;
use super::reply;
use super::shared::Shared;

pub(super) const PATH: &str = "/v1/projects/";

/// What a message carries for the app is no longer, in bytes of its keys and values.
const MAX_DATA_BYTES: usize = 4096;

/// No message is kept longer: four weeks.
const MAX_TTL_S: f64 = 2_419_200.0;

/// Google's own names within the data ("About FCM messages").
const RESERVED: [&str; 2] = ["from", "message_type"];
const RESERVED_PREFIXES: [&str; 2] = ["google.", "gcm."];

fn field(name: &str, detail: &str) -> Refusal {
    Refusal::fault(bad_field(name, detail), FcmCode::InvalidArgument.as_str(), format!("{name}: {detail}"))
}

/// Whether Google would take it. Only messages of data are known here: what is shown is the app's matter.
pub(super) fn check(shared: &Shared, call: &Call) -> Result<Accepted, Refusal> {
    let not_found = || Refusal::fault(reply::empty(404), "NOT_FOUND", "the path is not /v1/projects/{project}/messages:send");
    let project = call.path().strip_prefix(PATH).and_then(|rest| rest.strip_suffix("/messages:send")).ok_or_else(not_found)?;
    if call.method != Method::POST {
        return Err(Refusal::fault(reply::empty(404), "NOT_FOUND", "the method is not POST"));
    }
    authorize(shared, call)?;
    if project != shared.credentials.project {
        let reply = error(403, "PERMISSION_DENIED", "the caller does not have permission", Vec::new());
        return Err(Refusal::fault(reply, "PERMISSION_DENIED", "the project is not the service account's"));
    }
    let request: Map<String, Value> = serde_json::from_slice(&call.body).map_err(|_| field("", "invalid JSON payload received"))?;
    let message = request.get("message").and_then(Value::as_object).ok_or_else(|| field("message", "there is no message"))?;
    only(&request, "", &["message", "validate_only"])?;
    only(message, "message.", &["token", "data", "android", "fcm_options"])?;
    let token = message.get("token").and_then(Value::as_str).ok_or_else(|| field("message.token", "there is no token"))?;
    data(message.get("data"))?;
    android(message.get("android"))?;
    device(shared, token)?;
    let name = format!("projects/{project}/messages/0:{}", chance_text::<12>());
    let content = Content::Message(call.body.clone());
    Ok(Accepted { provider: Provider::Fcm, token: token.to_owned(), content, reply: reply::json(200, &json!({ "name": name })) })
}

fn authorize(shared: &Shared, call: &Call) -> Result<(), Refusal> {
    let header = call.header("authorization").and_then(|header| header.split_once(' '));
    let token = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
    let access = token.map_or(Access::Unknown, |token| shared.access_tokens.access(token, shared.clock.now_s()));
    let reply = || unauthenticated("request had invalid authentication credentials");
    match access {
        Access::Granted => Ok(()),
        Access::Revoked => Err(Refusal::gone(reply(), "UNAUTHENTICATED")),
        Access::Expired => Err(Refusal::fault(reply(), "UNAUTHENTICATED", "the access token is expired")),
        Access::Unknown => Err(Refusal::fault(reply(), "UNAUTHENTICATED", "no access token of the token endpoint")),
    }
}

/// Google refuses names that it does not know.
fn only(object: &Map<String, Value>, prefix: &str, known: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(field(&format!("{prefix}{name}"), "unknown name")),
        None => Ok(()),
    }
}

fn data(data: Option<&Value>) -> Result<(), Refusal> {
    let Some(data) = data else { return Ok(()) };
    let data = data.as_object().ok_or_else(|| field("message.data", "it is no object"))?;
    let mut bytes = 0;
    for (at, (key, value)) in data.iter().enumerate() {
        let value = value.as_str().ok_or_else(|| field(&format!("message.data[{at}].value"), "it is no text"))?;
        if RESERVED.contains(&key.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(field("message.data", "a key is a reserved word"));
        }
        bytes += key.len() + value.len();
    }
    if bytes > MAX_DATA_BYTES {
        return Err(field("message.data", "it is longer than 4096 bytes"));
    }
    Ok(())
}

fn android(android: Option<&Value>) -> Result<(), Refusal> {
    let Some(android) = android else { return Ok(()) };
    let android = android.as_object().ok_or_else(|| field("message.android", "it is no object"))?;
    only(android, "message.android.", &["collapse_key", "priority", "ttl", "restricted_package_name", "direct_boot_ok"])?;
    let is = |name: &str, valid: fn(&Value) -> bool| android.get(name).is_none_or(valid);
    if !is("priority", |value| value.as_str().is_some_and(|text| ["normal", "high"].contains(&text.to_ascii_lowercase().as_str()))) {
        return Err(field("message.android.priority", "it is neither normal nor high"));
    }
    if !is("ttl", |value| value.as_str().is_some_and(is_ttl)) {
        return Err(field("message.android.ttl", "it is no time such as 3600s, or longer than four weeks"));
    }
    if !is("collapse_key", Value::is_string) || !is("restricted_package_name", Value::is_string) || !is("direct_boot_ok", Value::is_boolean)
    {
        return Err(field("message.android", "collapse_key, restricted_package_name or direct_boot_ok is of another type"));
    }
    Ok(())
}

/// Seconds with an `s` at their end (google.protobuf.Duration in JSON).
fn is_ttl(text: &str) -> bool {
    let digits = text.strip_suffix('s').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    digits.and_then(|digits| digits.parse::<f64>().ok()).is_some_and(|seconds| seconds <= MAX_TTL_S)
}

fn device(shared: &Shared, token: &str) -> Result<(), Refusal> {
    let gone = shared.directory.ask(token, |device| match device {
        Some(device) if device.provider == Provider::Fcm => Some(device.gone_ms.is_some()),
        Some(_) | None => None,
    });
    match gone {
        Some(false) => Ok(()),
        Some(true) => Err(Refusal::gone(FcmCode::Unregistered.reply("requested entity was not found"), FcmCode::Unregistered.as_str())),
        None => Err(field("message.token", "the registration token is not a valid FCM registration token")),
    }
}
