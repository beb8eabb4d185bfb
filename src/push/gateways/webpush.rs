//! Web Push (RFC 8030): what is asked of a push service, and what its answers mean. Pure but for the salt; [`super::office`] sends.

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::notice::Notice;
use super::retry_after::{retry_after_ms, too_many_ms};
use super::verdict::{Fault, Verdict, Whom, status_reason};

/// The request for one subscription; `None` if it cannot be encrypted. The service keeps one message a topic (section 5.4), for as long as `TTL`
/// says (section 5.2). Urgency `low` reaches a device on power or Wi-Fi (section 5.3); what the user is to see is `high`.
pub(super) fn request(endpoint: &Endpoint, vapid: HeaderValue, notice: &Notice<'_>, now_ms: u64) -> Option<Request<Bytes>> {
    let mut data = notice.data();
    if let Some(shown) = &notice.wake.shown {
        data.insert("title".to_owned(), Value::from(shown.title.as_str()));
        data.insert("text".to_owned(), Value::from(shown.text.as_str()));
    }
    let urgency = if notice.wake.shown.is_some() { "high" } else { "normal" };
    Request::post(endpoint.uri.clone())
        .header("ttl", notice.ttl_s(now_ms))
        .header("urgency", urgency)
        .header("topic", &notice.collapse)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_ENCODING, "aes128gcm")
        .header(AUTHORIZATION, vapid)
        .body(Bytes::from(endpoint.encrypt(Value::from(data).to_string())?))
        .ok()
}

/// Reads an answer. Push services differ, and each endpoint may have another: whoever has to wait is the device.
///
/// A redirect is never followed: it would lead around the check of the address. One for good means that the subscription's address will not take a
/// message again, so the subscription is dead, and the app registers its new one when it starts next; any other is an address to try later.
pub(super) fn verdict(answer: &Answer, now_ms: u64) -> Verdict {
    let reason = status_reason(answer.status);
    match answer.status {
        // Its `Location` is a stranger's text, and whoever has it can take the message back (RFC 8030 section 8.4): it is not kept.
        200 | 201 | 202 | 204 => Verdict::Accepted { id: None },
        301 | 308 | 404 | 410 => Verdict::dead(reason),
        // Its server has something against our key. Another subscription's server may have nothing: whoever registers names it, and stops nobody else's wakes.
        401 | 403 => Verdict::refused(reason, Fault::Payload),
        429 => Verdict::Later { reason, after_ms: Some(too_many_ms(&answer.headers, now_ms)), whom: Whom::Device },
        408 => Verdict::later(reason, Whom::Device),
        400..=499 => Verdict::refused(reason, Fault::Payload),
        _ => Verdict::Later { reason, after_ms: retry_after_ms(&answer.headers, now_ms), whom: Whom::Device },
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Reach;
    use super::super::notice::{Form, Wake};
    use super::super::sealed::Receiver;
    use super::super::support::{NOW_MS, answer, answer_with, shown_wake, wake};
    use super::*;
    use serde_json::json;

    fn sent(wake: &Wake) -> (Request<Bytes>, Value) {
        let receiver = Receiver::of_rfc_8291();
        let endpoint = Endpoint::new(&receiver.subscription("https://push.example/1?a"), Reach::Public).expect("usable");
        let notice = Notice::new(wake, &Form::default());
        let request = request(&endpoint, HeaderValue::from_static("vapid x"), &notice, NOW_MS).expect("a request");
        let data = serde_json::from_slice(&receiver.open(request.body())).expect("JSON");
        (request, data)
    }

    #[test]
    fn a_wake_is_sealed_for_its_receiver() {
        let (request, data) = sent(&wake());
        assert_eq!(request.uri(), "https://push.example/1?a");
        let header = |name: &str| request.headers()[name].to_str().expect("a text").to_owned();
        assert_eq!((header("ttl"), header("urgency"), header("content-encoding")), ("3600".into(), "normal".into(), "aes128gcm".into()));
        assert_eq!(header("authorization"), "vapid x");
        assert!(header("topic").len() == 32 && header("topic").bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert_eq!(data, json!({"source": "driftless", "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7"}));
    }

    #[test]
    fn a_shown_wake_brings_its_words() {
        let (request, data) = sent(&shown_wake());
        assert_eq!(request.headers()["urgency"], "high");
        assert_eq!((&data["title"], &data["text"]), (&json!("Notes"), &json!("Something is new")));
    }

    #[test]
    fn every_status_has_its_verdict() {
        let of = |status| verdict(&answer(status, "whatever a stranger says"), NOW_MS);
        let reason = |status: u16| format!("status_{status}");
        for status in [200, 201, 202, 204] {
            assert_eq!(of(status), Verdict::Accepted { id: None });
        }
        let located = verdict(&answer_with(201, ("location", "https://push.example/m/1"), ""), NOW_MS);
        assert_eq!(located, Verdict::Accepted { id: None });
        for status in [301, 308, 404, 410] {
            assert_eq!(of(status), Verdict::dead(reason(status)));
        }
        for status in [401, 403] {
            assert_eq!(of(status), Verdict::refused(reason(status), Fault::Payload));
        }
        for status in [400, 402, 405, 406, 411, 413, 415, 422, 431] {
            assert_eq!(of(status), Verdict::refused(reason(status), Fault::Payload));
        }
        for status in [100, 203, 300, 302, 303, 307, 408, 500, 502, 503, 504, 599, 999] {
            assert_eq!(of(status), Verdict::later(reason(status), Whom::Device));
        }
        assert_eq!(of(429), Verdict::Later { reason: reason(429), after_ms: Some(60_000), whom: Whom::Device });
    }

    #[test]
    fn a_wish_to_wait_is_granted() {
        let after_ms = |status, wish| match verdict(&answer_with(status, ("retry-after", wish), ""), NOW_MS) {
            Verdict::Later { after_ms, whom: Whom::Device, .. } => after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(after_ms(503, "7"), Some(7_000));
        assert_eq!(after_ms(429, "7"), Some(60_000));
        assert_eq!(after_ms(429, "Mon, 21 Sep 2026 14:15:00 GMT"), Some(100_000));
    }
}
