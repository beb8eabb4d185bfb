//! Apple's service: `POST /3/device/{token}` ("Sending notification requests to APNs").

use http::{HeaderValue, Method, Version};
use serde_json::json;
use uuid::Uuid;

use super::apns_payload::{self, MAX_PAYLOAD_BYTES};
use super::received_push::PushContent;
use super::rejection::Rejection;
use super::request::{AcceptedPush, GatewayRequest};
use super::response;
use super::state::GatewayState;

pub(crate) const PATH: &str = "/3/device/";

/// The headers that are kept with a push.
pub(crate) const HEADERS: &[&str] = &["apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-id"];

/// Apple's limit.
const MAX_COLLAPSE_ID_BYTES: usize = 64;

/// All other forms of a UUID are shorter or longer.
const CANONICAL_UUID_CHARS: usize = 36;

/// Apple's status for each of its reasons that the gateway uses.
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

fn reject(reason: &'static str, detail: &str) -> Rejection {
    Rejection::sender_error(response::json(status(reason), &json!({ "reason": reason })), reason, detail)
}

/// Whether Apple would accept the request.
pub(crate) fn check(state: &GatewayState, request: &GatewayRequest) -> Result<AcceptedPush, Rejection> {
    let rejected = |(reason, detail): (&'static str, &'static str)| reject(reason, detail);
    if request.version != Version::HTTP_2 {
        return Err(reject("BadPath", "APNs accepts only HTTP/2"));
    }
    if request.method != Method::POST {
        return Err(reject("MethodNotAllowed", "the method is not POST"));
    }
    let token = request.path().strip_prefix(PATH).ok_or_else(|| reject("BadPath", "the path is not /3/device/{token}"))?;
    check_header_values(|name| request.header(name)).map_err(rejected)?;
    check_topic(request).map_err(rejected)?;
    if !(request.has_certificate && request.header("authorization").is_none()) {
        state.apns_tokens.check(request.header("authorization"), state.clock.now_ms()).map_err(rejected)?;
    }
    if request.body.len() > MAX_PAYLOAD_BYTES {
        return Err(reject("PayloadTooLarge", "the payload is longer than 4096 bytes"));
    }
    let push_type = request.header("apns-push-type").ok_or_else(|| reject("InvalidPushType", "apns-push-type is missing"))?;
    if push_type == "background" && request.header("apns-priority") != Some("5") {
        return Err(reject("BadPriority", "a background push must have priority 5"));
    }
    apns_payload::check(push_type, &request.body).map_err(rejected)?;
    check_device(state, request, token)?;
    Ok(AcceptedPush {
        provider: request.listener.apns_provider(),
        token: token.to_owned(),
        content: PushContent::Plain(request.body.clone()),
        response: response::empty(200),
    })
}

/// Checks the headers that a sender may leave out. FCM passes them on for a device of Apple's.
pub(crate) fn check_header_values<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<(), (&'static str, &'static str)> {
    let is = |name: &str, valid: fn(&str) -> bool| header(name).is_none_or(valid);
    if !is("apns-id", is_canonical_uuid) {
        return Err(("BadMessageId", "apns-id is not a canonical UUID"));
    }
    if !is("apns-expiration", |text| text.parse::<u32>().is_ok()) {
        return Err(("BadExpirationDate", "apns-expiration is not a time in seconds"));
    }
    if !is("apns-priority", |text| ["1", "5", "10"].contains(&text)) {
        return Err(("BadPriority", "apns-priority is not 1, 5 or 10"));
    }
    if !is("apns-collapse-id", |text| (1..=MAX_COLLAPSE_ID_BYTES).contains(&text.len())) {
        return Err(("BadCollapseId", "apns-collapse-id is empty or longer than 64 bytes"));
    }
    Ok(())
}

fn check_topic(request: &GatewayRequest) -> Result<(), (&'static str, &'static str)> {
    let topic = request.header("apns-topic").ok_or(("MissingTopic", "apns-topic is missing"))?;
    if topic.is_empty() || !topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        return Err(("BadTopic", "apns-topic is not a bundle id"));
    }
    Ok(())
}

/// 32 hexadecimal digits of either case, grouped 8-4-4-4-12.
fn is_canonical_uuid(id: &str) -> bool {
    id.len() == CANONICAL_UUID_CHARS && Uuid::try_parse(id).is_ok()
}

/// Whether the token belongs to this environment and this app, and is still registered.
fn check_device(state: &GatewayState, request: &GatewayRequest, token: &str) -> Result<(), Rejection> {
    if token.is_empty() {
        return Err(reject("MissingDeviceToken", "the path has no token"));
    }
    let topic = request.header("apns-topic").unwrap_or_default();
    let (is_of_app, unregistered_ms) = state.devices.look_up(token, |device| match device {
        Some(device) if device.provider == request.listener.apns_provider() => (Some(device.app == topic), device.unregistered_ms),
        Some(_) | None => (None, None),
    });
    match (is_of_app, unregistered_ms) {
        (None, _) => Err(reject("BadDeviceToken", "the token was not issued in this environment")),
        (Some(true), None) => Ok(()),
        (Some(true), Some(unregistered_ms)) => {
            let body = json!({ "reason": "Unregistered", "timestamp": unregistered_ms });
            Err(Rejection::without_violation(response::json(410, &body), "Unregistered"))
        }
        (Some(false), _) if state.devices.knows_app(topic) => Err(reject("DeviceTokenNotForTopic", "the token belongs to another app")),
        (Some(false), _) => Err(reject("TopicDisallowed", "no app has this topic")),
    }
}

/// The `apns-id` of a response: the sender's, or a new one.
pub(crate) fn apns_id(request: &GatewayRequest) -> HeaderValue {
    let given = request.headers.get("apns-id").filter(|id| id.to_str().is_ok_and(is_canonical_uuid));
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().to_string().to_ascii_uppercase();
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}
