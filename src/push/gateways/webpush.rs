//! Web Push (RFC 8030): requests to a push service, and what its responses mean. Pure except for the random salt and key of the encryption;
//! `push_gateways` sends.

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::failure::FailureCause;
use super::payload::WakePayload;
use super::response::GatewayResponse;
use super::retry_after::{retry_after_ms, too_many_requests_ms};
use super::verdict::{FaultScope, RefusalCause, Verdict, reason_code, status_reason};

/// The request for one subscription; `None` if the payload cannot be encrypted. The service keeps one message a topic (section 5.4) for as long
/// as `TTL` says (section 5.2). Urgency `normal` reaches a device without power or Wi-Fi too, `high` also one with a low battery (section 5.3).
pub(super) fn request(endpoint: &Endpoint, vapid: HeaderValue, payload: &WakePayload<'_>, now_ms: u64) -> Option<Request<Bytes>> {
    let mut data = payload.data();
    if let Some(alert) = &payload.wake.alert {
        data.insert("title".to_owned(), Value::from(alert.title.as_str()));
        data.insert("text".to_owned(), Value::from(alert.text.as_str()));
    }
    let urgency = if payload.wake.alert.is_some() { "high" } else { "normal" };
    Request::post(endpoint.uri.clone())
        .header("ttl", payload.ttl_s(now_ms))
        .header("urgency", urgency)
        .header("topic", &payload.collapse_key)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_ENCODING, "aes128gcm")
        .header(AUTHORIZATION, vapid)
        .body(Bytes::from(endpoint.encrypt(Value::from(data).to_string())?))
        .ok()
}

/// Interprets a response. Each subscription may name another push service, so a wait concerns only its device.
///
/// A redirect is never followed, because its address would escape the address check. After a permanent redirect the subscription's endpoint will
/// accept no message again: the subscription is dead, and the app registers its new one at its next start. Any other redirect is retried later.
pub(super) fn verdict(response: &GatewayResponse, now_ms: u64) -> Verdict {
    let reason = service_reason(&response.body).unwrap_or_else(|| status_reason(response.status));
    match response.status {
        // `Location` is not kept: it is text from outside, and anyone who has it can delete the message (RFC 8030 section 8.4).
        200 | 201 | 202 | 204 => Verdict::Accepted { id: None },
        301 | 308 | 404 | 410 => Verdict::dead(reason),
        // This push service rejects our key, but the device named the service: it must not stop the wakes of other subscriptions.
        401 | 403 => Verdict::refused(reason, RefusalCause::Mismatch),
        400 if OTHER_KEY.contains(&reason.as_str()) => Verdict::refused(reason, RefusalCause::Mismatch),
        429 => {
            let after_ms = Some(too_many_requests_ms(&response.headers, now_ms));
            Verdict::later_after(reason, after_ms, FaultScope::Device).because(FailureCause::Throttled)
        }
        408 => Verdict::later(reason, FaultScope::Device).because(FailureCause::Timeout),
        413 => Verdict::refused(reason, RefusalCause::Payload).because(FailureCause::PayloadTooLarge),
        400..=499 => Verdict::refused(reason, RefusalCause::Payload),
        _ => Verdict::later_after(reason, retry_after_ms(&response.headers, now_ms), FaultScope::Device),
    }
}

/// Apple's codes for a subscription that was made with another VAPID key than that of the request.
const OTHER_KEY: [&str; 1] = ["VapidPkHashMismatch"];

/// The service's own code: Apple's `reason` (as APNs has it), Mozilla's `errno`. RFC 8030 has none.
fn service_reason(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ServiceErrorBody {
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        errno: Option<u32>,
    }
    let body: ServiceErrorBody = serde_json::from_slice(body).ok()?;
    let errno = || body.errno.map(|errno| format!("errno_{errno}"));
    body.reason.as_deref().and_then(reason_code).map(str::to_owned).or_else(errno)
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::AddressPolicy;
    use super::super::payload::{PayloadFormat, Wake};
    use super::super::support::{NOW_MS, alert_wake, response, response_with, wake};
    use super::super::webpush_receiver::WebpushReceiver;
    use super::*;
    use serde_json::json;

    fn sent(wake: &Wake) -> (Request<Bytes>, Value) {
        let receiver = WebpushReceiver::of_rfc_8291();
        let endpoint = Endpoint::new(&receiver.subscription("https://push.example/1?a"), AddressPolicy::PublicOnly).expect("usable");
        let payload = WakePayload::new(wake, &PayloadFormat::default());
        let request = request(&endpoint, HeaderValue::from_static("vapid x"), &payload, NOW_MS).expect("a request");
        let data = serde_json::from_slice(&receiver.decrypt(request.body())).expect("JSON");
        (request, data)
    }

    #[test]
    fn a_wake_is_encrypted_for_its_receiver() {
        let (request, data) = sent(&wake());
        assert_eq!(request.uri(), "https://push.example/1?a");
        let header = |name: &str| request.headers()[name].to_str().expect("a text").to_owned();
        assert_eq!((header("ttl"), header("urgency"), header("content-encoding")), ("3600".into(), "normal".into(), "aes128gcm".into()));
        assert_eq!(header("authorization"), "vapid x");
        assert!(header("topic").len() == 32 && header("topic").bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert_eq!(data, json!({"source": "driftless", "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7"}));
    }

    #[test]
    fn a_wake_with_an_alert_carries_its_title_and_text() {
        let (request, data) = sent(&alert_wake());
        assert_eq!(request.headers()["urgency"], "high");
        assert_eq!((&data["title"], &data["text"]), (&json!("Notes"), &json!("Something is new")));
    }

    #[test]
    fn every_status_has_its_verdict() {
        let of = |status| verdict(&response(status, "any text"), NOW_MS);
        let reason = |status: u16| format!("status_{status}");
        for status in [200, 201, 202, 204] {
            assert_eq!(of(status), Verdict::Accepted { id: None });
        }
        let located = verdict(&response_with(201, ("location", "https://push.example/m/1"), ""), NOW_MS);
        assert_eq!(located, Verdict::Accepted { id: None });
        for status in [301, 308, 404, 410] {
            assert_eq!(of(status), Verdict::dead(reason(status)));
        }
        for status in [401, 403] {
            assert_eq!(of(status), Verdict::refused(reason(status), RefusalCause::Mismatch));
        }
        let of_another_key = verdict(&response(400, r#"{"reason":"VapidPkHashMismatch"}"#), NOW_MS);
        assert_eq!(of_another_key, Verdict::refused("VapidPkHashMismatch", RefusalCause::Mismatch));
        assert_eq!(of(413).failure(), Some((FailureCause::PayloadTooLarge, "status_413")));
        for status in [400, 402, 405, 406, 411, 415, 422, 431] {
            assert_eq!(of(status), Verdict::refused(reason(status), RefusalCause::Payload));
        }
        assert_eq!(of(408), Verdict::later(reason(408), FaultScope::Device).because(FailureCause::Timeout));
        for status in [100, 203, 300, 302, 303, 307, 500, 502, 503, 504, 599, 999] {
            assert_eq!(of(status), Verdict::later(reason(status), FaultScope::Device));
        }
        let throttled = Verdict::later_after(reason(429), Some(60_000), FaultScope::Device).because(FailureCause::Throttled);
        assert_eq!(of(429), throttled);
    }

    #[test]
    fn a_services_own_code_is_the_reason_and_any_other_text_is_not() {
        let of = |text: &str| verdict(&response(403, text), NOW_MS).failure().map(|(_, reason)| reason.to_owned());
        assert_eq!(of(r#"{"reason":"BadJwtToken"}"#).as_deref(), Some("BadJwtToken"), "Apple");
        let mozilla = r#"{"code":401,"errno":109,"error":"Unauthorized","message":"Public Key Mismatch","more_info":"http://a"}"#;
        assert_eq!(of(mozilla).as_deref(), Some("errno_109"));
        for text in ["", "permission denied: invalid JWT", "{}", "[]", r#"{"reason":"two words"}"#, r#"{"errno":-1}"#, r#"{"reason":5}"#] {
            assert_eq!(of(text).as_deref(), Some("status_403"), "{text}");
        }
    }

    #[test]
    fn retry_after_is_honoured() {
        let after_ms = |status, header| match verdict(&response_with(status, ("retry-after", header), ""), NOW_MS) {
            Verdict::Later { after_ms, scope: FaultScope::Device, .. } => after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(after_ms(503, "7"), Some(7_000));
        assert_eq!(after_ms(429, "7"), Some(60_000));
        assert_eq!(after_ms(429, "Mon, 21 Sep 2026 14:15:00 GMT"), Some(100_000));
    }
}
