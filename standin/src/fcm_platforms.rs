//! The parts of Google's message beside `android`: the notification that every platform shows, `apns` for an Apple device, and `webpush` for
//! a browser ("REST Resource: projects.messages": `Notification`, `ApnsConfig`, `WebpushConfig`).

use serde_json::{Map, Value, json};

use super::apns;
use super::apns_payload::{self, MAX_PAYLOAD_BYTES};

/// Who refuses a message, and why in words.
pub(crate) enum PlatformFault {
    /// Google refuses this field.
    Google(&'static str, &'static str),
    /// Apple refuses what Google would pass on, with this reason.
    Apple(&'static str, &'static str),
}

/// Checks all three parts.
pub(crate) fn check(message: &Map<String, Value>) -> Result<(), PlatformFault> {
    check_notification(message.get("notification"))?;
    check_webpush(message.get("webpush"))?;
    check_apns(message)
}

fn check_notification(notification: Option<&Value>) -> Result<(), PlatformFault> {
    let Some(notification) = notification else { return Ok(()) };
    let fields = notification.as_object().ok_or(PlatformFault::Google("message.notification", "not an object"))?;
    match fields.iter().all(|(name, value)| ["title", "body", "image"].contains(&name.as_str()) && value.is_string()) {
        true => Ok(()),
        false => Err(PlatformFault::Google("message.notification", "has more than the texts title, body and image")),
    }
}

/// The headers are those of the Web Push protocol.
fn check_webpush(part: Option<&Value>) -> Result<(), PlatformFault> {
    let Some(part) = part else { return Ok(()) };
    known_names(part, &["headers", "data", "notification", "fcm_options"])
        .ok_or(PlatformFault::Google("message.webpush", "unknown name"))?;
    let headers = Headers::of(part).ok_or(PlatformFault::Google("message.webpush.headers", "not a map of texts"))?;
    let is = |name: &str, valid: fn(&str) -> bool| headers.get(name).is_none_or(valid);
    match is("ttl", |text| text.parse::<u64>().is_ok()) && is("urgency", |text| ["very-low", "low", "normal", "high"].contains(&text)) {
        true => Ok(()),
        false => Err(PlatformFault::Google("message.webpush.headers", "TTL is no number of seconds, or Urgency is unknown")),
    }
}

fn check_apns(message: &Map<String, Value>) -> Result<(), PlatformFault> {
    let Some(part) = message.get("apns") else { return Ok(()) };
    known_names(part, &["headers", "payload", "fcm_options", "live_activity_token"])
        .ok_or(PlatformFault::Google("message.apns", "unknown name"))?;
    let headers = Headers::of(part).ok_or(PlatformFault::Google("message.apns.headers", "not a map of texts"))?;
    if part.get("payload").is_some_and(|payload| !payload.is_object()) {
        return Err(PlatformFault::Google("message.apns.payload", "not an object"));
    }
    let apple = |(reason, detail): (&'static str, &'static str)| PlatformFault::Apple(reason, detail);
    apns::check_header_values(|name| headers.get(name)).map_err(apple)?;
    let delivered = apns_payload(message);
    let shown = delivered["aps"].get("alert").is_some();
    let push_type = headers.get("apns-push-type").unwrap_or(if shown { "alert" } else { "background" });
    if push_type == "background" && headers.get("apns-priority") != Some("5") {
        return Err(PlatformFault::Apple("BadPriority", "a background push must have priority 5"));
    }
    let body = delivered.to_string();
    if body.len() > MAX_PAYLOAD_BYTES {
        return Err(PlatformFault::Apple("PayloadTooLarge", "the payload is longer than 4096 bytes"));
    }
    apns_payload::check(push_type, body.as_bytes()).map_err(apple)
}

/// What an Apple device reads of a message: Google puts the data beside `aps`, and the notification into it.
pub(crate) fn apns_payload(message: &Map<String, Value>) -> Value {
    let mut payload = message.get("apns").and_then(|apns| apns.get("payload")).and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in message.get("data").and_then(Value::as_object).into_iter().flatten() {
        payload.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let aps = payload.entry("aps").or_insert_with(|| json!({}));
    if let (Some(aps), Some(notification)) = (aps.as_object_mut(), message.get("notification")) {
        aps.entry("alert").or_insert_with(|| json!({ "title": notification["title"], "body": notification["body"] }));
    }
    Value::Object(payload)
}

fn known_names(part: &Value, known: &[&str]) -> Option<()> {
    part.as_object()?.keys().all(|name| known.contains(&name.as_str())).then_some(())
}

/// The member `headers` of a part, whose values are texts.
struct Headers<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Headers<'a> {
    fn of(part: &'a Value) -> Option<Headers<'a>> {
        let Some(headers) = part.get("headers") else { return Some(Headers(Vec::new())) };
        let texts = headers.as_object()?.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        Some(Headers(texts.collect::<Option<Vec<_>>>()?))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}
