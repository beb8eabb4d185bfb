//! FCM's HTTP v1 interface: requests, and what responses mean. Pure; `push_gateways` sends.
//!
//! The sources are Google's pages "REST Resource: projects.messages", "ErrorCode" and "Scale FCM: handle retries". FCM keeps messages of at most
//! four collapse keys for an offline device: if an identity has more datasets, some wakes may be lost, which the next sync repairs.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::apns::{self, ApnsDelivery};
use super::failure::FailureCause;
use super::payload::WakePayload;
use super::response::GatewayResponse;
use super::retry_after::{retry_after_ms, too_many_requests_ms};
use super::verdict::{FaultScope, RefusalCause, Verdict, reason_code, status_reason};

/// One request for one device.
pub(super) struct FcmRequest<'a> {
    pub(super) server: &'a Uri,
    pub(super) project: &'a str,
    /// The device's registration token.
    pub(super) token: &'a str,
    /// `Bearer` and the access token.
    pub(super) authorization: HeaderValue,
    pub(super) payload: &'a WakePayload<'a>,
    /// The time from which the message's time to live counts.
    pub(super) now_ms: u64,
}

impl FcmRequest<'_> {
    pub(super) fn build(self) -> http::Result<Request<Bytes>> {
        let scheme = self.server.scheme_str().unwrap_or("https");
        let authority = self.server.authority().map_or("", Authority::as_str);
        Request::post(format!("{scheme}://{authority}/v1/projects/{}/messages:send", self.project))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(self.message().to_string()))
    }

    /// A message with data alone wakes the app silently. High priority is for alerts: Google deprioritizes apps that use it for anything that
    /// the user does not see ("Set and manage Android message priority").
    fn message(&self) -> Value {
        let (shown, ttl_s) = (self.payload.wake.alert.is_some(), self.payload.ttl_s(self.now_ms));
        let mut message = json!({
            "token": self.token,
            "data": self.payload.data(),
            "android": {
                "priority": if shown { "HIGH" } else { "NORMAL" },
                "collapse_key": self.payload.collapse_key,
                "ttl": format!("{ttl_s}s"),
            },
            "apns": self.apns(),
            "webpush": { "headers": { "TTL": ttl_s.to_string(), "Urgency": if shown { "high" } else { "normal" } } },
        });
        if let Some(alert) = &self.payload.wake.alert {
            message["notification"] = json!({"title": alert.title, "body": alert.text});
        }
        json!({ "message": message })
    }

    /// For an app on an Apple device, which a message with data alone does not wake. FCM puts the data beside `aps` itself.
    fn apns(&self) -> Value {
        let ApnsDelivery { push_type, priority } = ApnsDelivery::of(self.payload.wake);
        json!({
            "headers": {
                "apns-push-type": push_type,
                "apns-priority": priority,
                "apns-collapse-id": self.payload.collapse_key,
                "apns-expiration": self.payload.wake.expires_unix_s.to_string(),
            },
            "payload": { "aps": apns::aps(self.payload.wake) },
        })
    }
}

/// APNs' reasons that say that a token is not valid ("Handling notification responses from APNs").
const APPLE_DEAD: [&str; 3] = ["BadDeviceToken", "Unregistered", "ExpiredToken"];

/// What a response means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FcmOutcome {
    Final(Verdict),
    /// FCM rejects the access token: worth one retry with a new one.
    Unauthenticated,
}

impl FcmOutcome {
    /// The verdict when no retry is left.
    pub(super) fn into_verdict(self) -> Verdict {
        match self {
            FcmOutcome::Final(verdict) => verdict,
            FcmOutcome::Unauthenticated => Verdict::refused("UNAUTHENTICATED", RefusalCause::App),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FcmResponseBody {
    /// The message's name, if it was accepted.
    name: Option<String>,
    error: FcmErrorBody,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FcmErrorBody {
    status: String,
    /// A text for people, which is not kept.
    message: String,
    details: Vec<FcmErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FcmErrorDetail {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(rename = "errorCode")]
    code: String,
    violations: Vec<QuotaViolation>,
    /// APNs' reason, if it refused what FCM passed on (`ApnsError`).
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QuotaViolation {
    subject: String,
    description: String,
}

impl FcmErrorBody {
    /// FCM's own code, which is more specific than the status.
    fn code(&self) -> Option<&str> {
        self.details
            .iter()
            .find(|detail| detail.kind.ends_with("google.firebase.fcm.v1.FcmError"))
            .and_then(|detail| reason_code(&detail.code))
    }

    fn apple_reason(&self) -> Option<&str> {
        self.details
            .iter()
            .find(|detail| detail.kind.ends_with("google.firebase.fcm.v1.ApnsError"))
            .and_then(|detail| reason_code(&detail.reason))
    }

    /// Whether FCM says that the registration token is not one: "The registration token is not a valid FCM registration token", and older
    /// "Invalid registration token".
    fn is_about_token(&self) -> bool {
        self.message.to_ascii_lowercase().contains("registration token")
    }

    /// Which devices have to wait for the exceeded quota: one device's quota delays no other device.
    fn quota_scope(&self) -> FaultScope {
        let quotas =
            self.details.iter().filter(|detail| detail.kind.ends_with("google.rpc.QuotaFailure")).flat_map(|detail| &detail.violations);
        let names_device = |text: &str| text.to_ascii_lowercase().contains("device");
        match quotas.into_iter().any(|quota| names_device(&quota.subject) || names_device(&quota.description)) {
            true => FaultScope::Device,
            false => FaultScope::App,
        }
    }
}

/// Interprets a response by FCM's code, and by its status where there is none. Where APNs refused what FCM passed on, by Apple's reason too.
///
/// A refusal by another provider (`THIRD_PARTY_AUTH_ERROR`: the project's key for APNs or Web Push is missing or wrong) concerns only the
/// devices of that provider: the project's Android devices are woken as before.
pub(super) fn interpret(response: &GatewayResponse, now_ms: u64) -> FcmOutcome {
    let body: FcmResponseBody = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.status == 200 {
        return FcmOutcome::Final(Verdict::Accepted { id: body.name });
    }
    let code = body.error.code();
    let reason = code.or_else(|| reason_code(&body.error.status)).map_or_else(|| status_reason(response.status), str::to_owned);
    let apple_reason = body.error.apple_reason().map(str::to_owned);
    let reason = apple_reason.as_ref().map_or(reason.clone(), |apple| format!("{reason} {apple}"));
    let after_ms = || retry_after_ms(&response.headers, now_ms);
    let verdict = match (code, response.status) {
        (Some("UNREGISTERED"), _) => Verdict::dead(reason),
        (Some("INVALID_ARGUMENT"), _) if apple_reason.as_deref().is_some_and(|apple| APPLE_DEAD.contains(&apple)) => Verdict::dead(reason),
        // Any field of the message may be the invalid one, which may be our mistake. Only the text tells the token from the others.
        (Some("INVALID_ARGUMENT"), _) if body.error.is_about_token() => Verdict::dead(reason),
        (Some("INVALID_ARGUMENT"), _) => Verdict::refused(reason, RefusalCause::Payload),
        (Some("SENDER_ID_MISMATCH" | "THIRD_PARTY_AUTH_ERROR"), _) => Verdict::refused(reason, RefusalCause::Mismatch),
        (Some("QUOTA_EXCEEDED"), _) | (_, 429) => {
            let after_ms = Some(too_many_requests_ms(&response.headers, now_ms));
            Verdict::later_after(reason, after_ms, body.error.quota_scope()).because(FailureCause::Throttled)
        }
        (Some("UNAVAILABLE" | "INTERNAL"), _) | (_, 500..) => Verdict::later_after(reason, after_ms(), FaultScope::App),
        (_, 401) => return FcmOutcome::Unauthenticated,
        // Without FCM's code, the project or the path was not found, not the token.
        (_, 403 | 404) => Verdict::refused(reason, RefusalCause::App),
        (_, 413) => Verdict::refused(reason, RefusalCause::Payload).because(FailureCause::PayloadTooLarge),
        (_, 400..=499) => Verdict::refused(reason, RefusalCause::Payload),
        _ => Verdict::later_after(reason, after_ms(), FaultScope::App),
    };
    FcmOutcome::Final(verdict)
}

#[cfg(test)]
mod tests {
    use super::super::payload::{PayloadFormat, Wake};
    use super::super::support::{NOW_MS, alert_wake, response, response_with, wake};
    use super::*;

    fn request(wake: &Wake) -> Request<Bytes> {
        let payload = WakePayload::new(wake, &PayloadFormat::default());
        let (server, authorization) = (Uri::from_static("https://fcm.googleapis.com"), HeaderValue::from_static("Bearer x"));
        FcmRequest { server: &server, project: "notes-1", token: "a:b", authorization, payload: &payload, now_ms: NOW_MS }
            .build()
            .expect("a request")
    }

    fn message(wake: &Wake) -> Value {
        serde_json::from_slice::<Value>(request(wake).body()).expect("JSON")["message"].take()
    }

    /// An error body in Google's format.
    fn error(status: u16, name: &str, details: &[Value]) -> String {
        json!({"error": {"code": status, "message": "some text", "status": name, "details": details}}).to_string()
    }

    /// The same error with FCM's text about a token.
    fn about_token(body: &str) -> String {
        body.replace("some text", "The registration token is not a valid FCM registration token")
    }

    fn code(code: &str) -> Value {
        json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    }

    fn bad_request() -> Value {
        json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "message.token", "description": "bad"}]})
    }

    #[test]
    fn a_silent_wake_is_a_data_message() {
        let request = request(&wake());
        assert_eq!(request.uri(), "https://fcm.googleapis.com/v1/projects/notes-1/messages:send");
        assert_eq!(request.headers()["authorization"], "Bearer x");
        let message = message(&wake());
        assert_eq!(message["token"], "a:b");
        assert_eq!(
            message["data"],
            json!({"source": "driftless", "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7"})
        );
        assert_eq!(message["android"]["priority"], "NORMAL");
        assert_eq!(message["android"]["ttl"], "3600s");
        assert_eq!(message["android"]["collapse_key"].as_str().map(str::len), Some(32));
        let headers = &message["apns"]["headers"];
        assert_eq!((&headers["apns-push-type"], &headers["apns-priority"]), (&json!("background"), &json!("5")));
        assert_eq!(
            (&headers["apns-expiration"], &headers["apns-collapse-id"]),
            (&json!("1790003600"), &message["android"]["collapse_key"])
        );
        assert_eq!(message["apns"]["payload"], json!({"aps": {"content-available": 1}}));
        assert_eq!(message["webpush"]["headers"], json!({"TTL": "3600", "Urgency": "normal"}));
        assert!(message.get("notification").is_none());
    }

    #[test]
    fn a_wake_with_an_alert_is_a_notification_with_high_priority() {
        let message = message(&alert_wake());
        assert_eq!(message["notification"], json!({"title": "Notes", "body": "Something is new"}));
        assert_eq!(message["android"]["priority"], "HIGH");
        let headers = &message["apns"]["headers"];
        assert_eq!((&headers["apns-push-type"], &headers["apns-priority"]), (&json!("alert"), &json!("10")));
        assert_eq!(message["apns"]["payload"]["aps"]["alert"], json!({"title": "Notes", "body": "Something is new"}));
        assert_eq!(message["webpush"]["headers"]["Urgency"], "high");
    }

    #[test]
    fn a_refusal_by_apple_does_not_stop_the_projects_other_devices_and_marks_only_a_bad_token_dead() {
        let apple =
            |reason: &str| json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.ApnsError", "statusCode": 400, "reason": reason});
        let on = |status: u16, name: &str, reason: &str| {
            interpret(&response(status, &error(status, "STATUS", &[code(name), apple(reason)])), NOW_MS).into_verdict()
        };
        let key = on(401, "THIRD_PARTY_AUTH_ERROR", "InvalidProviderToken");
        assert_eq!(key.failure(), Some((FailureCause::CredentialRefused, "THIRD_PARTY_AUTH_ERROR InvalidProviderToken")));
        assert!(matches!(key, Verdict::Refused { cause: RefusalCause::Mismatch, .. }), "{key:?}");
        assert_eq!(on(400, "INVALID_ARGUMENT", "BadDeviceToken"), Verdict::dead("INVALID_ARGUMENT BadDeviceToken"));
        assert_eq!(on(404, "UNREGISTERED", "BadDeviceToken"), Verdict::dead("UNREGISTERED BadDeviceToken"));
        let priority = on(400, "INVALID_ARGUMENT", "BadPriority");
        assert_eq!(priority, Verdict::refused("INVALID_ARGUMENT BadPriority", RefusalCause::Payload));
    }

    #[test]
    fn every_code_has_its_verdict() {
        let verdict_on = |status: u16, body: &str| interpret(&response(status, body), NOW_MS).into_verdict();
        let later = |reason: &str, after_ms| Verdict::later_after(reason, after_ms, FaultScope::App);
        let throttled = |reason: &str| later(reason, Some(60_000)).because(FailureCause::Throttled);
        let table = [
            (404, vec![code("UNREGISTERED")], Verdict::dead("UNREGISTERED")),
            (400, vec![code("INVALID_ARGUMENT")], Verdict::refused("INVALID_ARGUMENT", RefusalCause::Payload)),
            (400, vec![code("INVALID_ARGUMENT"), bad_request()], Verdict::refused("INVALID_ARGUMENT", RefusalCause::Payload)),
            (400, vec![bad_request()], Verdict::refused("STATUS", RefusalCause::Payload)),
            (400, vec![], Verdict::refused("STATUS", RefusalCause::Payload)),
            (403, vec![code("SENDER_ID_MISMATCH")], Verdict::refused("SENDER_ID_MISMATCH", RefusalCause::Mismatch)),
            (403, vec![], Verdict::refused("STATUS", RefusalCause::App)),
            (401, vec![code("THIRD_PARTY_AUTH_ERROR")], Verdict::refused("THIRD_PARTY_AUTH_ERROR", RefusalCause::Mismatch)),
            (404, vec![], Verdict::refused("STATUS", RefusalCause::App)),
            (413, vec![], Verdict::refused("STATUS", RefusalCause::Payload).because(FailureCause::PayloadTooLarge)),
            (429, vec![code("QUOTA_EXCEEDED")], throttled("QUOTA_EXCEEDED")),
            (429, vec![], throttled("STATUS")),
            (500, vec![code("INTERNAL")], later("INTERNAL", None)),
            (503, vec![code("UNAVAILABLE")], later("UNAVAILABLE", None)),
            (502, vec![], later("STATUS", None)),
        ];
        for (status, details, verdict) in table {
            assert_eq!(verdict_on(status, &error(status, "STATUS", &details)), verdict, "{status} {details:?}");
        }
        for details in [vec![code("INVALID_ARGUMENT")], vec![bad_request(), code("INVALID_ARGUMENT")]] {
            let invalid = about_token(&error(400, "INVALID_ARGUMENT", &details));
            assert_eq!(verdict_on(400, &invalid), Verdict::dead("INVALID_ARGUMENT"), "{details:?}");
        }
        assert_eq!(interpret(&response(401, &error(401, "UNAUTHENTICATED", &[])), NOW_MS), FcmOutcome::Unauthenticated);
        assert_eq!(FcmOutcome::Unauthenticated.into_verdict(), Verdict::refused("UNAUTHENTICATED", RefusalCause::App));
        assert_eq!(
            verdict_on(200, r#"{"name": "projects/p/messages/1"}"#),
            Verdict::Accepted { id: Some("projects/p/messages/1".to_owned()) }
        );
    }

    #[test]
    fn a_quota_of_one_device_delays_no_other_device() {
        let quota = |text: &str| {
            let failure =
                json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"subject": text, "description": text}]});
            interpret(&response(429, &error(429, "RESOURCE_EXHAUSTED", &[code("QUOTA_EXCEEDED"), failure])), NOW_MS).into_verdict()
        };
        assert!(matches!(quota("Device message rate exceeded"), Verdict::Later { scope: FaultScope::Device, .. }));
        assert!(matches!(quota("project:notes-1"), Verdict::Later { scope: FaultScope::App, .. }));
    }

    #[test]
    fn retry_after_is_honoured() {
        let after_ms = |status, header| match interpret(&response_with(status, ("retry-after", header), ""), NOW_MS).into_verdict() {
            Verdict::Later { after_ms, scope: FaultScope::App, .. } => after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(after_ms(503, "7"), Some(7_000));
        assert_eq!(after_ms(429, "7"), Some(60_000));
        assert_eq!(after_ms(429, "90"), Some(90_000));
        assert_eq!(after_ms(503, "Mon, 21 Sep 2026 14:14:00 GMT"), Some(40_000));
    }

    #[test]
    fn a_response_without_details_is_interpreted_by_its_status() {
        for text in ["", "{", "<html>", "[]", r#"{"error": 5}"#, r#"{"error": {"details": [5]}}"#, r#"{"error": {"status": "two words"}}"#]
        {
            let verdict_on = |status| interpret(&response(status, text), NOW_MS).into_verdict();
            assert_eq!(verdict_on(200), Verdict::Accepted { id: None }, "{text}");
            assert_eq!(verdict_on(400), Verdict::refused("status_400", RefusalCause::Payload), "{text}");
            assert_eq!(verdict_on(404), Verdict::refused("status_404", RefusalCause::App), "{text}");
            for status in [100, 204, 302, 500, 599, 999] {
                assert_eq!(verdict_on(status), Verdict::later(format!("status_{status}"), FaultScope::App), "{status} {text}");
            }
        }
    }
}
