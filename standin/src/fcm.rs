//! Google's service: `POST /v1/projects/{project}/messages:send` ("FCM HTTP v1 API", `projects.messages`).

use driftless_protocol::Provider;
use http::Method;
use serde_json::{Map, Value, json};

use super::access_tokens::AccessTokenStatus;
use super::fcm_error::{FcmErrorCode, apple_refusal, error, invalid_field, unauthenticated};
use super::fcm_platforms::{self, PlatformFault};
use super::random::random_text;
use super::received_push::PushContent;
use super::rejection::Rejection;
use super::request::{AcceptedPush, GatewayRequest};
use super::response;
use super::state::GatewayState;

pub(crate) const PATH: &str = "/v1/projects/";

/// Google's limit for the data of a message, in bytes of its keys and values.
const MAX_DATA_BYTES: usize = 4096;

/// Google keeps a message for four weeks at most.
const MAX_TTL_S: f64 = 2_419_200.0;

/// Keys that Google reserves within the data ("About FCM messages").
const RESERVED: [&str; 2] = ["from", "message_type"];
const RESERVED_PREFIXES: [&str; 2] = ["google.", "gcm."];

fn field_error(name: &str, detail: &str) -> Rejection {
    Rejection::sender_error(invalid_field(name, detail), FcmErrorCode::InvalidArgument.as_str(), format!("{name}: {detail}"))
}

fn platform_error(fault: PlatformFault) -> Rejection {
    match fault {
        PlatformFault::Google(field, detail) => field_error(field, detail),
        PlatformFault::Apple(reason, detail) => Rejection::sender_error(
            apple_refusal(reason),
            FcmErrorCode::InvalidArgument.as_str(),
            format!("message.apns: {reason}: {detail}"),
        ),
    }
}

/// Whether Google would accept the request, and Apple what Google would pass on.
pub(crate) fn check(state: &GatewayState, request: &GatewayRequest) -> Result<AcceptedPush, Rejection> {
    let not_found = || Rejection::sender_error(response::empty(404), "NOT_FOUND", "the path is not /v1/projects/{project}/messages:send");
    let project = request.path().strip_prefix(PATH).and_then(|rest| rest.strip_suffix("/messages:send")).ok_or_else(not_found)?;
    if request.method != Method::POST {
        return Err(Rejection::sender_error(response::empty(404), "NOT_FOUND", "the method is not POST"));
    }
    authorize(state, request)?;
    if project != state.credentials.project {
        let response = error(403, "PERMISSION_DENIED", "the caller does not have permission", Vec::new());
        return Err(Rejection::sender_error(response, "PERMISSION_DENIED", "the project is not the service account's"));
    }
    let body: Map<String, Value> = serde_json::from_slice(&request.body).map_err(|_| field_error("", "invalid JSON payload received"))?;
    let message = body.get("message").and_then(Value::as_object).ok_or_else(|| field_error("message", "the message is missing"))?;
    reject_unknown_fields(&body, "", &["message", "validate_only"])?;
    reject_unknown_fields(message, "message.", &["token", "data", "notification", "android", "apns", "webpush", "fcm_options"])?;
    let token = message.get("token").and_then(Value::as_str).ok_or_else(|| field_error("message.token", "the token is missing"))?;
    check_data(message.get("data"))?;
    check_android(message.get("android"))?;
    fcm_platforms::check(message).map_err(platform_error)?;
    check_device(state, token)?;
    let name = format!("projects/{project}/messages/0:{}", random_text::<12>());
    Ok(AcceptedPush {
        provider: Provider::Fcm,
        token: token.to_owned(),
        content: PushContent::FcmMessage(request.body.clone()),
        response: response::json(200, &json!({ "name": name })),
    })
}

fn authorize(state: &GatewayState, request: &GatewayRequest) -> Result<(), Rejection> {
    let header = request.header("authorization").and_then(|header| header.split_once(' '));
    let token = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
    let status = token.map_or(AccessTokenStatus::Unknown, |token| state.access_tokens.status(token, state.clock.now_s()));
    let response = || unauthenticated("request had invalid authentication credentials");
    match status {
        AccessTokenStatus::Valid => Ok(()),
        AccessTokenStatus::Revoked => Err(Rejection::without_violation(response(), "UNAUTHENTICATED")),
        AccessTokenStatus::Expired => Err(Rejection::sender_error(response(), "UNAUTHENTICATED", "the access token has expired")),
        AccessTokenStatus::Unknown => {
            Err(Rejection::sender_error(response(), "UNAUTHENTICATED", "the token endpoint did not issue the access token"))
        }
    }
}

fn reject_unknown_fields(object: &Map<String, Value>, prefix: &str, known: &[&str]) -> Result<(), Rejection> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(field_error(&format!("{prefix}{name}"), "unknown name")),
        None => Ok(()),
    }
}

fn check_data(data: Option<&Value>) -> Result<(), Rejection> {
    let Some(data) = data else { return Ok(()) };
    let data = data.as_object().ok_or_else(|| field_error("message.data", "not an object"))?;
    let mut bytes = 0;
    for (at, (key, value)) in data.iter().enumerate() {
        let value = value.as_str().ok_or_else(|| field_error(&format!("message.data[{at}].value"), "not a string"))?;
        if RESERVED.contains(&key.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(field_error("message.data", "a key is a reserved word"));
        }
        bytes += key.len() + value.len();
    }
    if bytes > MAX_DATA_BYTES {
        return Err(field_error("message.data", "longer than 4096 bytes"));
    }
    Ok(())
}

fn check_android(android: Option<&Value>) -> Result<(), Rejection> {
    let Some(android) = android else { return Ok(()) };
    let android = android.as_object().ok_or_else(|| field_error("message.android", "not an object"))?;
    reject_unknown_fields(android, "message.android.", &["collapse_key", "priority", "ttl", "restricted_package_name", "direct_boot_ok"])?;
    let is = |name: &str, valid: fn(&Value) -> bool| android.get(name).is_none_or(valid);
    if !is("priority", |value| value.as_str().is_some_and(|text| ["normal", "high"].contains(&text.to_ascii_lowercase().as_str()))) {
        return Err(field_error("message.android.priority", "neither normal nor high"));
    }
    if !is("ttl", |value| value.as_str().is_some_and(is_valid_ttl)) {
        return Err(field_error("message.android.ttl", "not a duration like 3600s of at most four weeks"));
    }
    if !is("collapse_key", Value::is_string) || !is("restricted_package_name", Value::is_string) || !is("direct_boot_ok", Value::is_boolean)
    {
        return Err(field_error("message.android", "collapse_key, restricted_package_name or direct_boot_ok has the wrong type"));
    }
    Ok(())
}

/// Seconds with an `s` suffix (google.protobuf.Duration in JSON).
fn is_valid_ttl(text: &str) -> bool {
    let digits = text.strip_suffix('s').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    digits.and_then(|digits| digits.parse::<f64>().ok()).is_some_and(|seconds| seconds <= MAX_TTL_S)
}

fn check_device(state: &GatewayState, token: &str) -> Result<(), Rejection> {
    let is_unregistered = state.devices.look_up(token, |device| match device {
        Some(device) if device.provider == Provider::Fcm => Some(device.unregistered_ms.is_some()),
        Some(_) | None => None,
    });
    match is_unregistered {
        Some(false) => Ok(()),
        Some(true) => {
            let response = FcmErrorCode::Unregistered.response("requested entity was not found");
            Err(Rejection::without_violation(response, FcmErrorCode::Unregistered.as_str()))
        }
        None => Err(field_error("message.token", "the registration token is not a valid FCM registration token")),
    }
}
