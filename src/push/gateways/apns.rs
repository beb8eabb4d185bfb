//! APNs: what is asked, and what its answers mean. Pure; [`super::office`] sends.
//!
//! The sources are Apple's pages "Sending notification requests to APNs" and "Handling notification responses from APNs".

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::notice::Notice;
use super::verdict::{Fault, Verdict, Whom, status_reason, word};

/// How much of a notice is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Only that there is something: for a gateway that finds the whole too large.
    Minimal,
}

/// One request for one device.
pub(super) struct Asked<'a> {
    /// The gateway.
    pub(super) server: &'a Uri,
    /// The device's token, in hexadecimal digits.
    pub(super) token: &'a str,
    /// The app.
    pub(super) topic: &'a str,
    /// `bearer` and the provider token; `None` where the connection's certificate says who we are.
    pub(super) bearer: Option<HeaderValue>,
    /// What is said.
    pub(super) notice: &'a Notice<'a>,
    /// How much of it.
    pub(super) extent: Extent,
}

impl Asked<'_> {
    /// The request. An alert has priority 10: it is the last resort, sent where silent wakes are used up, and would be pointless if the device
    /// kept it for later. A background push must have 5.
    pub(super) fn request(self) -> http::Result<Request<Bytes>> {
        let wake = self.notice.wake;
        let (kind, priority) = if wake.shown.is_some() { ("alert", "10") } else { ("background", "5") };
        let authority = self.server.authority().map_or("", Authority::as_str);
        let mut request = Request::post(format!("{}://{authority}/3/device/{}", self.server.scheme_str().unwrap_or("https"), self.token))
            .header("apns-push-type", kind)
            .header("apns-priority", priority)
            .header("apns-topic", self.topic)
            .header("apns-collapse-id", &self.notice.collapse)
            .header("apns-expiration", wake.expires_unix_s)
            .header("apns-id", self.id().to_string());
        if let Some(bearer) = self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        request.body(Bytes::from(payload(self.notice, self.extent).to_string()))
    }

    /// Made from what is sent to whom, so that a wake which is sent again, even after a restart, keeps its id.
    fn id(&self) -> Uuid {
        let wake = self.notice.wake;
        let name = format!("{}\0{}\0{}\0{}\0{}", self.topic, self.token, self.notice.collapse, wake.version, wake.shown.is_some());
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }
}

fn payload(notice: &Notice<'_>, extent: Extent) -> Value {
    let aps = match &notice.wake.shown {
        None => json!({"content-available": 1}),
        Some(shown) => json!({"alert": {"title": shown.title, "body": shown.text}, "content-available": 1}),
    };
    match extent {
        Extent::Whole => json!({"aps": aps, "data": notice.data()}),
        Extent::Minimal => json!({"aps": aps}),
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// This.
    Settled(Verdict),
    /// The provider token is too old: worth one new one.
    TokenExpired,
    /// Worth one try with less.
    TooLarge,
}

impl Reply {
    /// When there is nothing left to try.
    pub(super) fn settle(self) -> Verdict {
        match self {
            Reply::Settled(verdict) => verdict,
            // A token that is refused although it is young: this machine's clock is wrong.
            Reply::TokenExpired => Verdict::refused("ExpiredProviderToken", Fault::App),
            Reply::TooLarge => Verdict::refused("PayloadTooLarge", Fault::Payload),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    reason: String,
    /// Since when a token is dead, in Unix milliseconds.
    timestamp: Option<u64>,
}

/// Reads an answer, by its reason first and by its status where the reason is unknown.
pub(super) fn reply(answer: &Answer) -> Reply {
    if answer.status == 200 {
        return Reply::Settled(Verdict::Accepted { id: answer.header("apns-id") });
    }
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let reason = word(&body.reason).map_or_else(|| status_reason(answer.status), str::to_owned);
    let settled = match (reason.as_str(), answer.status) {
        ("BadDeviceToken", _) => Verdict::OtherEnvironment { reason },
        ("Unregistered" | "ExpiredToken", _) | (_, 410) => Verdict::Dead { reason, since_ms: body.timestamp },
        ("ExpiredProviderToken", _) => return Reply::TokenExpired,
        ("PayloadTooLarge", _) | (_, 413) => return Reply::TooLarge,
        ("DeviceTokenNotForTopic" | "BadTopic" | "TopicDisallowed" | "MissingTopic", _) => Verdict::refused(reason, Fault::App),
        ("InvalidProviderToken" | "MissingProviderToken" | "BadEnvironmentKeyInToken", _) => Verdict::refused(reason, Fault::App),
        ("BadCertificate" | "BadCertificateEnvironment" | "Forbidden", _) => Verdict::refused(reason, Fault::App),
        ("TooManyProviderTokenUpdates", _) => Verdict::later(reason, Whom::App),
        ("TooManyRequests", _) | (_, 429) => Verdict::later(reason, Whom::Device),
        ("InternalServerError" | "ServiceUnavailable" | "Shutdown" | "IdleTimeout", _) | (_, 500..) => Verdict::later(reason, Whom::App),
        (_, 403) => Verdict::refused(reason, Fault::App),
        (_, 400..=499) => Verdict::refused(reason, Fault::Payload),
        // Neither APNs nor a proxy of ours: nothing was sent, and somebody has to look at it while all wait.
        _ => Verdict::later(reason, Whom::App),
    };
    Reply::Settled(settled)
}

#[cfg(test)]
mod tests {
    use super::super::notice::{Form, Wake};
    use super::super::support::{answer, answer_with, shown_wake, wake};
    use super::*;

    fn request(wake: &Wake, extent: Extent, bearer: Option<HeaderValue>) -> Request<Bytes> {
        let notice = Notice::new(wake, &Form::default());
        let server = Uri::from_static("https://api.push.apple.com");
        Asked { server: &server, token: "00ff", topic: "com.example", bearer, notice: &notice, extent }.request().expect("a request")
    }

    fn json(request: &Request<Bytes>) -> Value {
        serde_json::from_slice(request.body()).expect("JSON")
    }

    #[test]
    fn a_silent_wake_is_a_background_push_without_anything_to_show() {
        let request = request(&wake(), Extent::Whole, Some(HeaderValue::from_static("bearer x")));
        assert_eq!(request.uri(), "https://api.push.apple.com/3/device/00ff");
        let header = |name: &str| request.headers()[name].to_str().expect("a text").to_owned();
        assert_eq!(header("apns-push-type"), "background");
        assert_eq!(header("apns-priority"), "5");
        assert_eq!(header("apns-topic"), "com.example");
        assert_eq!(header("apns-expiration"), "1790003600");
        assert_eq!(header("apns-collapse-id").len(), 32);
        assert_eq!(header("authorization"), "bearer x");
        let data = json!({"source": "driftless", "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7"});
        assert_eq!(json(&request), json!({"aps": {"content-available": 1}, "data": data}));
    }

    #[test]
    fn a_shown_wake_is_an_alert() {
        let request = request(&shown_wake(), Extent::Whole, None);
        assert_eq!(request.headers()["apns-push-type"], "alert");
        assert_eq!(request.headers()["apns-priority"], "10");
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(json(&request)["aps"]["alert"], json!({"title": "Notes", "body": "Something is new"}));
    }

    #[test]
    fn the_minimal_payload_has_no_data() {
        assert_eq!(json(&request(&wake(), Extent::Minimal, None)), json!({"aps": {"content-available": 1}}));
    }

    #[test]
    fn a_wake_that_is_sent_again_keeps_its_id() {
        let id = |wake: &Wake, extent| request(wake, extent, None).headers()["apns-id"].clone();
        assert_eq!(id(&wake(), Extent::Whole), id(&wake(), Extent::Minimal));
        assert_ne!(id(&wake(), Extent::Whole), id(&Wake { version: 8, ..wake() }, Extent::Whole));
        assert_ne!(id(&wake(), Extent::Whole), id(&shown_wake(), Extent::Whole));
    }

    #[test]
    fn every_status_and_reason_has_its_verdict() {
        let refused = |reason: &str, fault| Reply::Settled(Verdict::refused(reason, fault));
        let later = |reason: &str, whom| Reply::Settled(Verdict::later(reason, whom));
        let payload = [
            (400, "BadCollapseId"),
            (400, "BadExpirationDate"),
            (400, "BadMessageId"),
            (400, "BadPriority"),
            (400, "DuplicateHeaders"),
            (400, "InvalidPushType"),
            (400, "MissingDeviceToken"),
            (400, "PayloadEmpty"),
            (404, "BadPath"),
            (405, "MethodNotAllowed"),
            (400, "NobodyKnowsThisOne"),
        ];
        for (status, reason) in payload {
            assert_eq!(reply(&body(status, reason)), refused(reason, Fault::Payload));
        }
        let app = [
            (400, "DeviceTokenNotForTopic"),
            (400, "BadTopic"),
            (400, "TopicDisallowed"),
            (400, "MissingTopic"),
            (403, "InvalidProviderToken"),
            (403, "MissingProviderToken"),
            (403, "BadEnvironmentKeyInToken"),
            (403, "BadCertificate"),
            (403, "BadCertificateEnvironment"),
            (403, "Forbidden"),
            (403, "UnrelatedKeyIdInToken"),
        ];
        for (status, reason) in app {
            assert_eq!(reply(&body(status, reason)), refused(reason, Fault::App));
        }
        for (status, reason) in [(500, "InternalServerError"), (503, "ServiceUnavailable"), (503, "Shutdown"), (400, "IdleTimeout")] {
            assert_eq!(reply(&body(status, reason)), later(reason, Whom::App));
        }
        assert_eq!(reply(&body(429, "TooManyRequests")), later("TooManyRequests", Whom::Device));
        assert_eq!(reply(&body(429, "TooManyProviderTokenUpdates")), later("TooManyProviderTokenUpdates", Whom::App));
        assert_eq!(reply(&body(403, "ExpiredProviderToken")), Reply::TokenExpired);
        assert_eq!(Reply::TokenExpired.settle(), Verdict::refused("ExpiredProviderToken", Fault::App));
        assert_eq!(reply(&body(413, "PayloadTooLarge")), Reply::TooLarge);
        assert_eq!(Reply::TooLarge.settle(), Verdict::refused("PayloadTooLarge", Fault::Payload));
        let elsewhere = Verdict::OtherEnvironment { reason: "BadDeviceToken".to_owned() };
        assert_eq!(reply(&body(400, "BadDeviceToken")), Reply::Settled(elsewhere));
    }

    #[test]
    fn a_dead_token_has_its_date() {
        for reason in ["Unregistered", "ExpiredToken"] {
            let dead = Verdict::Dead { reason: reason.to_owned(), since_ms: Some(1_789_999_999_000) };
            assert_eq!(
                reply(&answer(410, &json!({"reason": reason, "timestamp": 1_789_999_999_000_u64}).to_string())),
                Reply::Settled(dead)
            );
            let dead = Verdict::Dead { reason: reason.to_owned(), since_ms: None };
            assert_eq!(reply(&body(410, reason)), Reply::Settled(dead));
        }
    }

    #[test]
    fn an_answer_without_a_reason_is_judged_by_its_status() {
        let settled = |status, text| reply(&answer(status, text)).settle();
        for text in ["", "{", "<html>", "[]", "null", r#"{"reason": 5}"#, r#"{"reason": "two words"}"#, "\u{0}"] {
            assert_eq!(settled(400, text), Verdict::refused("status_400", Fault::Payload), "{text}");
            assert_eq!(settled(403, text), Verdict::refused("status_403", Fault::App), "{text}");
            assert_eq!(settled(410, text), Verdict::dead("status_410"), "{text}");
            assert_eq!(settled(413, text), Verdict::refused("PayloadTooLarge", Fault::Payload), "{text}");
            assert_eq!(settled(429, text), Verdict::later("status_429", Whom::Device), "{text}");
            for status in [100, 204, 302, 500, 502, 503, 599, 999] {
                assert_eq!(settled(status, text), Verdict::later(format!("status_{status}"), Whom::App), "{status} {text}");
            }
        }
        assert_eq!(settled(200, ""), Verdict::Accepted { id: None });
        let accepted = Verdict::Accepted { id: Some("an-id".to_owned()) };
        assert_eq!(reply(&answer_with(200, ("apns-id", "an-id"), "")).settle(), accepted);
    }

    fn body(status: u16, reason: &str) -> Answer {
        answer(status, &json!({ "reason": reason }).to_string())
    }
}
