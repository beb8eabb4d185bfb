//! A browser's push service: `POST /push/{id}` (RFC 8030, with RFC 8291 and RFC 8292).

use std::sync::Arc;

use driftless_protocol::Provider;
use http::{HeaderValue, Method, header};

use super::call::{Accepted, Call};
use super::push::{Content, chance_text};
use super::refusal::Refusal;
use super::reply;
use super::sealing::Keys;
use super::shared::Shared;

pub(super) const PATH: &str = "/push/";

/// What a push is told about its way.
pub(super) const HEADERS: &[&str] = &["ttl", "urgency", "topic"];

/// Push services need not take longer ones (RFC 8291 section 4).
const MAX_MESSAGE_BYTES: usize = 4096;

/// RFC 8030 section 5.3.
const URGENCIES: [&str; 4] = ["very-low", "low", "normal", "high"];

/// RFC 8030 section 5.4.
const MAX_TOPIC_BYTES: usize = 32;

fn refuse(status: u16, reason: &'static str, detail: &str) -> Refusal {
    Refusal::fault(reply::with(status, "text/plain", detail.to_owned().into()), reason, detail)
}

/// Whether a push service and then the browser would take it.
pub(super) fn check(shared: &Shared, call: &Call) -> Result<Accepted, Refusal> {
    let id = call.path().strip_prefix(PATH).filter(|id| !id.is_empty()).ok_or_else(|| refuse(404, "not found", "no such path"))?;
    if call.method != Method::POST {
        return Err(refuse(405, "method not allowed", "the method is not POST"));
    }
    let authorization = call.header("authorization").ok_or_else(|| refuse(401, "unauthorized", "there is no vapid authorization"))?;
    shared.vapid.check(authorization, shared.clock.now_s()).map_err(|wrong| refuse(403, "forbidden", wrong))?;
    headers(call)?;
    let content = match device(shared, id)? {
        Some(keys) if shared.ledger.keeps() && !call.body.is_empty() => {
            let plain = keys.open(&call.body).map_err(|wrong| refuse(400, "sealed wrongly", wrong))?;
            Content::Open(plain.into())
        }
        Some(_) => Content::Open(bytes::Bytes::new()),
        None => Content::Sealed(call.body.clone()),
    };
    let mut reply = reply::empty(201);
    if let Ok(location) = HeaderValue::try_from(format!("{}/message/{}", shared.url, chance_text::<16>())) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    Ok(Accepted { provider: Provider::Webpush, token: id.to_owned(), content, reply })
}

/// Each header is of its form.
fn headers(call: &Call) -> Result<(), Refusal> {
    let is = |name: &str, valid: fn(&str) -> bool| call.header(name).is_none_or(valid);
    if !call.header("ttl").is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()) {
        return Err(refuse(400, "bad ttl", "TTL is no number of seconds"));
    }
    if !is("urgency", |text| URGENCIES.contains(&text)) {
        return Err(refuse(400, "bad urgency", "Urgency is not very-low, low, normal or high"));
    }
    if !is("topic", |text| (1..=MAX_TOPIC_BYTES).contains(&text.len()) && text.bytes().all(is_base64url)) {
        return Err(refuse(400, "bad topic", "Topic is not 1 to 32 characters of base64url"));
    }
    if call.body.len() > MAX_MESSAGE_BYTES {
        return Err(refuse(413, "payload too large", "the message is longer than 4096 bytes"));
    }
    if !call.body.is_empty() && call.header("content-encoding") != Some("aes128gcm") {
        return Err(refuse(400, "bad content-encoding", "Content-Encoding is not aes128gcm"));
    }
    Ok(())
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The keys of a subscription, if they are here.
fn device(shared: &Shared, id: &str) -> Result<Option<Arc<Keys>>, Refusal> {
    let found = shared.directory.ask(id, |device| match device {
        Some(device) if device.provider == Provider::Webpush => Some((device.gone_ms.is_some(), device.keys.clone())),
        Some(_) | None => None,
    });
    match found {
        Some((false, keys)) => Ok(keys),
        Some((true, _)) => Err(Refusal::gone(reply::empty(410), "gone")),
        None => Err(refuse(404, "not found", "no such subscription")),
    }
}
