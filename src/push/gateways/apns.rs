//! APNs: requests, and what responses mean. Pure; `push_gateways` sends.
//!
//! The sources are Apple's pages "Sending notification requests to APNs" and "Handling notification responses from APNs".

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::failure::FailureCause;
use super::payload::{Wake, WakePayload};
use super::response::GatewayResponse;
use super::verdict::{FaultScope, RefusalCause, Verdict, reason_code, status_reason};

/// How much of the payload is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayloadSize {
    Full,
    /// Without data, for a gateway that calls the full payload too large.
    Minimal,
}

/// One request for one device.
pub(super) struct ApnsRequest<'a> {
    pub(super) server: &'a Uri,
    /// The device's token, in hexadecimal digits.
    pub(super) token: &'a str,
    /// The app's bundle id.
    pub(super) topic: &'a str,
    /// `bearer` and the provider token; `None` where the connection's client certificate authenticates us.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) payload: &'a WakePayload<'a>,
    pub(super) size: PayloadSize,
}

/// How APNs delivers a wake. An alert has priority 10: it is sent when the budget for silent wakes is used up, and would be useless if the
/// device delayed it. A background push must have priority 5.
pub(super) struct ApnsDelivery {
    pub(super) push_type: &'static str,
    pub(super) priority: &'static str,
}

impl ApnsDelivery {
    pub(super) fn of(wake: &Wake) -> ApnsDelivery {
        match wake.alert {
            Some(_) => ApnsDelivery { push_type: "alert", priority: "10" },
            None => ApnsDelivery { push_type: "background", priority: "5" },
        }
    }
}

/// The dictionary `aps` of a wake.
pub(super) fn aps(wake: &Wake) -> Value {
    match &wake.alert {
        None => json!({"content-available": 1}),
        Some(alert) => json!({"alert": {"title": alert.title, "body": alert.text}, "content-available": 1}),
    }
}

impl ApnsRequest<'_> {
    pub(super) fn build(self) -> http::Result<Request<Bytes>> {
        let wake = self.payload.wake;
        let ApnsDelivery { push_type, priority } = ApnsDelivery::of(wake);
        let authority = self.server.authority().map_or("", Authority::as_str);
        let mut request = Request::post(format!("{}://{authority}/3/device/{}", self.server.scheme_str().unwrap_or("https"), self.token))
            .header("apns-push-type", push_type)
            .header("apns-priority", priority)
            .header("apns-topic", self.topic)
            .header("apns-collapse-id", &self.payload.collapse_key)
            .header("apns-expiration", wake.expires_unix_s)
            .header("apns-id", self.id().to_string());
        if let Some(authorization) = self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Bytes::from(body(self.payload, self.size).to_string()))
    }

    /// A hash of the wake and its target, so that a wake that is sent again, even after a restart, keeps its id.
    fn id(&self) -> Uuid {
        let wake = self.payload.wake;
        let name = format!("{}\0{}\0{}\0{}\0{}", self.topic, self.token, self.payload.collapse_key, wake.version, wake.alert.is_some());
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }
}

fn body(payload: &WakePayload<'_>, size: PayloadSize) -> Value {
    let aps = aps(payload.wake);
    match size {
        PayloadSize::Full => json!({"aps": aps, "data": payload.data()}),
        PayloadSize::Minimal => json!({"aps": aps}),
    }
}

/// What a response means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApnsOutcome {
    Final(Verdict),
    /// The provider token is too old: worth one retry with a new one.
    TokenExpired,
    /// Worth one retry with the minimal payload.
    PayloadTooLarge,
}

impl ApnsOutcome {
    /// The verdict when no retry is left.
    pub(super) fn into_verdict(self) -> Verdict {
        match self {
            ApnsOutcome::Final(verdict) => verdict,
            // A new token is called expired only if this machine's clock is wrong.
            ApnsOutcome::TokenExpired => Verdict::refused("ExpiredProviderToken", RefusalCause::App),
            ApnsOutcome::PayloadTooLarge => {
                Verdict::refused("PayloadTooLarge", RefusalCause::Payload).because(FailureCause::PayloadTooLarge)
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApnsErrorBody {
    reason: String,
    /// When the token became invalid, in Unix milliseconds.
    timestamp: Option<u64>,
}

/// Interprets a response by its reason, and by its status where the reason is unknown.
pub(super) fn interpret(response: &GatewayResponse) -> ApnsOutcome {
    if response.status == 200 {
        return ApnsOutcome::Final(Verdict::Accepted { id: response.header("apns-id") });
    }
    let body: ApnsErrorBody = serde_json::from_slice(&response.body).unwrap_or_default();
    let reason = reason_code(&body.reason).map_or_else(|| status_reason(response.status), str::to_owned);
    let verdict = match (reason.as_str(), response.status) {
        ("BadDeviceToken", _) => Verdict::OtherEnvironment { reason },
        ("Unregistered" | "ExpiredToken", _) | (_, 410) => {
            Verdict::Dead { failure: FailureCause::TokenDead, reason, since_ms: body.timestamp }
        }
        ("ExpiredProviderToken", _) => return ApnsOutcome::TokenExpired,
        ("PayloadTooLarge", _) | (_, 413) => return ApnsOutcome::PayloadTooLarge,
        // The topic is the app's, the token its device's: a device that registered a token of another app must not stop the others.
        ("DeviceTokenNotForTopic", _) => Verdict::refused(reason, RefusalCause::Mismatch),
        ("BadTopic" | "TopicDisallowed" | "MissingTopic", _) => Verdict::refused(reason, RefusalCause::App),
        ("InvalidProviderToken" | "MissingProviderToken" | "BadEnvironmentKeyInToken", _) => Verdict::refused(reason, RefusalCause::App),
        ("BadCertificate" | "BadCertificateEnvironment" | "Forbidden", _) => Verdict::refused(reason, RefusalCause::App),
        ("TooManyProviderTokenUpdates", _) => Verdict::later(reason, FaultScope::App).because(FailureCause::Throttled),
        ("TooManyRequests", _) | (_, 429) => Verdict::later(reason, FaultScope::Device).because(FailureCause::Throttled),
        ("InternalServerError" | "ServiceUnavailable" | "Shutdown" | "IdleTimeout", _) | (_, 500..) => {
            Verdict::later(reason, FaultScope::App)
        }
        (_, 403) => Verdict::refused(reason, RefusalCause::App),
        (_, 400..=499) => Verdict::refused(reason, RefusalCause::Payload),
        // Such a status comes neither from APNs nor from a proxy in front of it: nothing was sent, and all devices wait for the operator.
        _ => Verdict::later(reason, FaultScope::App),
    };
    ApnsOutcome::Final(verdict)
}

#[cfg(test)]
mod tests {
    use super::super::payload::{PayloadFormat, Wake};
    use super::super::support::{alert_wake, response, response_with, wake};
    use super::*;

    fn request(wake: &Wake, size: PayloadSize, authorization: Option<HeaderValue>) -> Request<Bytes> {
        let payload = WakePayload::new(wake, &PayloadFormat::default());
        let server = Uri::from_static("https://api.push.apple.com");
        ApnsRequest { server: &server, token: "00ff", topic: "com.example", authorization, payload: &payload, size }
            .build()
            .expect("a request")
    }

    fn json(request: &Request<Bytes>) -> Value {
        serde_json::from_slice(request.body()).expect("JSON")
    }

    #[test]
    fn a_silent_wake_is_a_background_push_without_anything_to_show() {
        let request = request(&wake(), PayloadSize::Full, Some(HeaderValue::from_static("bearer x")));
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
    fn a_wake_with_an_alert_is_an_alert_push() {
        let request = request(&alert_wake(), PayloadSize::Full, None);
        assert_eq!(request.headers()["apns-push-type"], "alert");
        assert_eq!(request.headers()["apns-priority"], "10");
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(json(&request)["aps"]["alert"], json!({"title": "Notes", "body": "Something is new"}));
    }

    #[test]
    fn the_minimal_payload_has_no_data() {
        assert_eq!(json(&request(&wake(), PayloadSize::Minimal, None)), json!({"aps": {"content-available": 1}}));
    }

    #[test]
    fn a_wake_that_is_sent_again_keeps_its_id() {
        let id = |wake: &Wake, size| request(wake, size, None).headers()["apns-id"].clone();
        assert_eq!(id(&wake(), PayloadSize::Full), id(&wake(), PayloadSize::Minimal));
        assert_ne!(id(&wake(), PayloadSize::Full), id(&Wake { version: 8, ..wake() }, PayloadSize::Full));
        assert_ne!(id(&wake(), PayloadSize::Full), id(&alert_wake(), PayloadSize::Full));
    }

    #[test]
    fn every_status_and_reason_has_its_verdict() {
        let refused = |reason: &str, cause| ApnsOutcome::Final(Verdict::refused(reason, cause));
        let later = |reason: &str, scope| ApnsOutcome::Final(Verdict::later(reason, scope));
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
            assert_eq!(interpret(&error(status, reason)), refused(reason, RefusalCause::Payload));
        }
        let app = [
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
            assert_eq!(interpret(&error(status, reason)), refused(reason, RefusalCause::App));
        }
        assert_eq!(interpret(&error(400, "DeviceTokenNotForTopic")), refused("DeviceTokenNotForTopic", RefusalCause::Mismatch));
        for (status, reason) in [(500, "InternalServerError"), (503, "ServiceUnavailable"), (503, "Shutdown"), (400, "IdleTimeout")] {
            assert_eq!(interpret(&error(status, reason)), later(reason, FaultScope::App));
        }
        let throttled = |reason: &str, scope| ApnsOutcome::Final(Verdict::later(reason, scope).because(FailureCause::Throttled));
        assert_eq!(interpret(&error(429, "TooManyRequests")), throttled("TooManyRequests", FaultScope::Device));
        assert_eq!(interpret(&error(429, "TooManyProviderTokenUpdates")), throttled("TooManyProviderTokenUpdates", FaultScope::App));
        assert_eq!(interpret(&error(403, "ExpiredProviderToken")), ApnsOutcome::TokenExpired);
        assert_eq!(ApnsOutcome::TokenExpired.into_verdict(), Verdict::refused("ExpiredProviderToken", RefusalCause::App));
        assert_eq!(interpret(&error(413, "PayloadTooLarge")), ApnsOutcome::PayloadTooLarge);
        let too_large = Verdict::refused("PayloadTooLarge", RefusalCause::Payload).because(FailureCause::PayloadTooLarge);
        assert_eq!(ApnsOutcome::PayloadTooLarge.into_verdict(), too_large);
        let elsewhere = Verdict::OtherEnvironment { reason: "BadDeviceToken".to_owned() };
        assert_eq!(interpret(&error(400, "BadDeviceToken")), ApnsOutcome::Final(elsewhere));
    }

    #[test]
    fn a_dead_token_has_its_date() {
        for reason in ["Unregistered", "ExpiredToken"] {
            let dead = Verdict::Dead { failure: FailureCause::TokenDead, reason: reason.to_owned(), since_ms: Some(1_789_999_999_000) };
            assert_eq!(
                interpret(&response(410, &json!({"reason": reason, "timestamp": 1_789_999_999_000_u64}).to_string())),
                ApnsOutcome::Final(dead)
            );
            let dead = Verdict::dead(reason);
            assert_eq!(interpret(&error(410, reason)), ApnsOutcome::Final(dead));
        }
    }

    #[test]
    fn a_response_without_a_reason_is_interpreted_by_its_status() {
        let verdict = |status, text| interpret(&response(status, text)).into_verdict();
        for text in ["", "{", "<html>", "[]", "null", r#"{"reason": 5}"#, r#"{"reason": "two words"}"#, "\u{0}"] {
            assert_eq!(verdict(400, text), Verdict::refused("status_400", RefusalCause::Payload), "{text}");
            assert_eq!(verdict(403, text), Verdict::refused("status_403", RefusalCause::App), "{text}");
            assert_eq!(verdict(410, text), Verdict::dead("status_410"), "{text}");
            assert_eq!(verdict(413, text).failure(), Some((FailureCause::PayloadTooLarge, "PayloadTooLarge")), "{text}");
            assert_eq!(verdict(429, text), Verdict::later("status_429", FaultScope::Device).because(FailureCause::Throttled), "{text}");
            for status in [100, 204, 302, 500, 502, 503, 599, 999] {
                assert_eq!(verdict(status, text), Verdict::later(format!("status_{status}"), FaultScope::App), "{status} {text}");
            }
        }
        assert_eq!(verdict(200, ""), Verdict::Accepted { id: None });
        let accepted = Verdict::Accepted { id: Some("an-id".to_owned()) };
        assert_eq!(interpret(&response_with(200, ("apns-id", "an-id"), "")).into_verdict(), accepted);
    }

    fn error(status: u16, reason: &str) -> GatewayResponse {
        response(status, &json!({ "reason": reason }).to_string())
    }
}
