//! A browser's push service: `POST /push/{id}` (RFC 8030, with RFC 8291 and RFC 8292).

use std::sync::Arc;

use driftless_protocol::Provider;
use http::{HeaderValue, Method, header};

use super::random::random_text;
use super::received_push::PushContent;
use super::rejection::Rejection;
use super::request::{AcceptedPush, GatewayRequest};
use super::response;
use super::state::GatewayState;
use super::webpush_decryption::SubscriptionKeys;

pub(crate) const PATH: &str = "/push/";

/// The headers that are kept with a push.
pub(crate) const HEADERS: &[&str] = &["ttl", "urgency", "topic"];

/// A push service need not accept longer messages (RFC 8291 section 4).
const MAX_MESSAGE_BYTES: usize = 4096;

/// RFC 8030 section 5.3.
const URGENCIES: [&str; 4] = ["very-low", "low", "normal", "high"];

/// RFC 8030 section 5.4.
const MAX_TOPIC_BYTES: usize = 32;

fn reject(status: u16, reason: &'static str, detail: &str) -> Rejection {
    Rejection::sender_error(response::with_body(status, "text/plain", detail.to_owned().into()), reason, detail)
}

/// Whether a push service would accept the request, and the browser could decrypt it.
pub(crate) fn check(state: &GatewayState, request: &GatewayRequest) -> Result<AcceptedPush, Rejection> {
    let id = request.path().strip_prefix(PATH).filter(|id| !id.is_empty()).ok_or_else(|| reject(404, "not found", "no such path"))?;
    if request.method != Method::POST {
        return Err(reject(405, "method not allowed", "the method is not POST"));
    }
    let authorization = request.header("authorization").ok_or_else(|| reject(401, "unauthorized", "the vapid authorization is missing"))?;
    state.vapid.check(authorization, state.clock.now_s()).map_err(|detail| reject(403, "forbidden", detail))?;
    check_headers(request)?;
    let content = match find_keys(state, id)? {
        Some(keys) if state.log.keeps_pushes() && !request.body.is_empty() => {
            let plain = keys.decrypt(&request.body).map_err(|detail| reject(400, "decryption failed", detail))?;
            PushContent::Plain(plain.into())
        }
        Some(_) => PushContent::Plain(bytes::Bytes::new()),
        None => PushContent::Encrypted(request.body.clone()),
    };
    let mut response = response::empty(201);
    if let Ok(location) = HeaderValue::try_from(format!("{}/message/{}", state.url, random_text::<16>())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(AcceptedPush { provider: Provider::Webpush, token: id.to_owned(), content, response })
}

fn check_headers(request: &GatewayRequest) -> Result<(), Rejection> {
    let is = |name: &str, valid: fn(&str) -> bool| request.header(name).is_none_or(valid);
    if !request.header("ttl").is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()) {
        return Err(reject(400, "bad ttl", "TTL is not a number of seconds"));
    }
    if !is("urgency", |text| URGENCIES.contains(&text)) {
        return Err(reject(400, "bad urgency", "Urgency is not very-low, low, normal or high"));
    }
    if !is("topic", |text| (1..=MAX_TOPIC_BYTES).contains(&text.len()) && text.bytes().all(is_base64url)) {
        return Err(reject(400, "bad topic", "Topic is not 1 to 32 characters of base64url"));
    }
    if request.body.len() > MAX_MESSAGE_BYTES {
        return Err(reject(413, "payload too large", "the message is longer than 4096 bytes"));
    }
    if !request.body.is_empty() && request.header("content-encoding") != Some("aes128gcm") {
        return Err(reject(400, "bad content-encoding", "Content-Encoding is not aes128gcm"));
    }
    Ok(())
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The keys of a registered subscription, if the gateway has them.
fn find_keys(state: &GatewayState, id: &str) -> Result<Option<Arc<SubscriptionKeys>>, Rejection> {
    let found = state.devices.look_up(id, |device| match device {
        Some(device) if device.provider == Provider::Webpush => Some((device.unregistered_ms.is_some(), device.keys.clone())),
        Some(_) | None => None,
    });
    match found {
        Some((false, keys)) => Ok(keys),
        Some((true, _)) => Err(Rejection::without_violation(response::empty(410), "gone")),
        None => Err(reject(404, "not found", "no such subscription")),
    }
}
