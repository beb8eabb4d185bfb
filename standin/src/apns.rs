//! Apple's side: `POST /3/device/{token}` ("Sending notification requests to APNs").

use http::{Method, Version};
use serde_json::json;
use uuid::Uuid;

use super::apns_payload::{self, MAX_PAYLOAD_BYTES};
use super::call::{Accepted, Call};
use super::push::Content;
use super::refusal::Refusal;
use super::reply;
use super::shared::Shared;

pub(super) const PATH: &str = "/3/device/";

/// What a push is told about its way.
pub(super) const HEADERS: &[&str] = &["apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-id"];

/// Apple takes no longer one.
const MAX_COLLAPSE_ID_BYTES: usize = 64;

/// A UUID's other forms are shorter or longer.
const CANONICAL_UUID_CHARS: usize = 36;

/// Apple's status for each of its reasons that the gateway gives.
fn status(reason: &str) -> u16 {
    match reason {
        "ExpiredProviderToken" | "InvalidProviderToken" | "MissingProviderToken" => 403,
        "BadPath" => 404,
        "MethodNotAllowed" => 405,
        "Unregistered" => 410,
        "PayloadTooLarge" => 413,
        "TooManyProviderTokenUpdates" => 429,
        _ => 400,
    }
}

fn refuse(reason: &'static str, detail: &str) -> Refusal {
    Refusal::fault(reply::json(status(reason), &json!({ "reason": reason })), reason, detail)
}

/// Whether Apple would take it.
pub(super) fn check(shared: &Shared, call: &Call) -> Result<Accepted, Refusal> {
    let refused = |(reason, detail): (&'static str, &'static str)| refuse(reason, detail);
    if call.version != Version::HTTP_2 {
        return Err(refuse("BadPath", "Apple speaks HTTP/2 only"));
    }
    if call.method != Method::POST {
        return Err(refuse("MethodNotAllowed", "the method is not POST"));
    }
    let token = call.path().strip_prefix(PATH).ok_or_else(|| refuse("BadPath", "the path is not /3/device/{token}"))?;
    headers(call).map_err(refused)?;
    if !(call.certificate && call.header("authorization").is_none()) {
        shared.provider_tokens.check(call.header("authorization"), shared.clock.now_ms()).map_err(refused)?;
    }
    if call.body.len() > MAX_PAYLOAD_BYTES {
        return Err(refuse("PayloadTooLarge", "the payload is longer than 4096 bytes"));
    }
    let push_type = call.header("apns-push-type").ok_or_else(|| refuse("InvalidPushType", "there is no apns-push-type"))?;
    if push_type == "background" && call.header("apns-priority") != Some("5") {
        return Err(refuse("BadPriority", "a background push needs priority 5"));
    }
    apns_payload::check(push_type, &call.body).map_err(refused)?;
    device(shared, call, token)?;
    Ok(Accepted {
        provider: call.door.apple(),
        token: token.to_owned(),
        content: Content::Open(call.body.clone()),
        reply: reply::empty(200),
    })
}

/// Each header is of its form.
fn headers(call: &Call) -> Result<(), (&'static str, &'static str)> {
    let is = |name: &str, valid: fn(&str) -> bool| call.header(name).is_none_or(valid);
    if !is("apns-id", canonical) {
        return Err(("BadMessageId", "apns-id is no canonical UUID"));
    }
    if !is("apns-expiration", |text| text.parse::<u32>().is_ok()) {
        return Err(("BadExpirationDate", "apns-expiration is no time in seconds"));
    }
    if !is("apns-priority", |text| ["1", "5", "10"].contains(&text)) {
        return Err(("BadPriority", "apns-priority is not 1, 5 or 10"));
    }
    if !is("apns-collapse-id", |text| (1..=MAX_COLLAPSE_ID_BYTES).contains(&text.len())) {
        return Err(("BadCollapseId", "apns-collapse-id is empty or longer than 64 bytes"));
    }
    let topic = call.header("apns-topic").ok_or(("MissingTopic", "there is no apns-topic"))?;
    if topic.is_empty() || !topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        return Err(("BadTopic", "apns-topic is no bundle id"));
    }
    Ok(())
}

/// 32 hexadecimal digits of either case, grouped 8-4-4-4-12.
fn canonical(id: &str) -> bool {
    id.len() == CANONICAL_UUID_CHARS && Uuid::try_parse(id).is_ok()
}

/// Whether the token is one of this environment and of this app, and still is.
fn device(shared: &Shared, call: &Call, token: &str) -> Result<(), Refusal> {
    if token.is_empty() {
        return Err(refuse("MissingDeviceToken", "there is no token in the path"));
    }
    let topic = call.header("apns-topic").unwrap_or_default();
    let (right, gone_ms) = shared.directory.ask(token, |device| match device {
        Some(device) if device.provider == call.door.apple() => (Some(device.app == topic), device.gone_ms),
        Some(_) | None => (None, None),
    });
    match (right, gone_ms) {
        (None, _) => Err(refuse("BadDeviceToken", "the token was not issued in this environment")),
        (Some(true), None) => Ok(()),
        (Some(true), Some(gone_ms)) => {
            let body = json!({ "reason": "Unregistered", "timestamp": gone_ms });
            Err(Refusal::gone(reply::json(410, &body), "Unregistered"))
        }
        (Some(false), _) if shared.directory.knows_app(topic) => Err(refuse("DeviceTokenNotForTopic", "the token belongs to another app")),
        (Some(false), _) => Err(refuse("TopicDisallowed", "no app has this topic")),
    }
}

/// Apple names a push in every answer: as the sender did, or by a name of its own.
pub(super) fn id(call: &Call) -> http::HeaderValue {
    let given = call.headers.get("apns-id").filter(|id| id.to_str().is_ok_and(canonical));
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().to_string().to_ascii_uppercase();
        http::HeaderValue::try_from(id).unwrap_or_else(|_| http::HeaderValue::from_static(""))
    })
}
