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
        let mut message = json!({
            "token": self.token,
            "data": self.payload.data(),
            "android": {
                "priority": "NORMAL",
                "collapse_key": self.payload.collapse_key,
                "ttl": format!("{}s", self.payload.ttl_s(self.now_ms)),
            },
        });
        if let Some(alert) = &self.payload.wake.alert {
            message["notification"] = json!({"title": alert.title, "body": alert.text});
            message["android"]["priority"] = Value::from("HIGH");
        }
        json!({ "message": message })
    }
}

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

    fn is_bad_request(&self) -> bool {
        self.details.iter().any(|detail| detail.kind.ends_with("google.rpc.BadRequest"))
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

/// Interprets a response by FCM's code, and by its status where there is none.
pub(super) fn interpret(response: &GatewayResponse, now_ms: u64) -> FcmOutcome {
    let body: FcmResponseBody = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.status == 200 {
        return FcmOutcome::Final(Verdict::Accepted { id: body.name });
    }
    let code = body.error.code();
    let reason = code.or_else(|| reason_code(&body.error.status)).map_or_else(|| status_reason(response.status), str::to_owned);
    let after_ms = || retry_after_ms(&response.headers, now_ms);
    let verdict = match (code, response.status) {
        (Some("UNREGISTERED"), _) => Verdict::dead(reason),
        // With a BadRequest detail beside FCM's, a field of the message is invalid, which may be our mistake rather than the token.
        (Some("INVALID_ARGUMENT"), _) if !body.error.is_bad_request() => Verdict::dead(reason),
        (Some("INVALID_ARGUMENT"), _) => Verdict::refused(reason, RefusalCause::Payload),
        (Some("SENDER_ID_MISMATCH"), _) => Verdict::refused(reason, RefusalCause::Sender),
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => Verdict::refused(reason, RefusalCause::App),
        (Some("QUOTA_EXCEEDED"), _) | (_, 429) => {
            Verdict::Later { reason, after_ms: Some(too_many_requests_ms(&response.headers, now_ms)), scope: body.error.quota_scope() }
        }
        (Some("UNAVAILABLE" | "INTERNAL"), _) | (_, 500..) => Verdict::Later { reason, after_ms: after_ms(), scope: FaultScope::App },
        (_, 401) => return FcmOutcome::Unauthenticated,
        // Without FCM's code, the project or the path was not found, not the token.
        (_, 403 | 404) => Verdict::refused(reason, RefusalCause::App),
        (_, 400..=499) => Verdict::refused(reason, RefusalCause::Payload),
        _ => Verdict::Later { reason, after_ms: after_ms(), scope: FaultScope::App },
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
        assert!(message.get("notification").is_none());
    }

    #[test]
    fn a_wake_with_an_alert_is_a_notification_with_high_priority() {
        let message = message(&alert_wake());
        assert_eq!(message["notification"], json!({"title": "Notes", "body": "Something is new"}));
        assert_eq!(message["android"]["priority"], "HIGH");
    }

    #[test]
    fn every_code_has_its_verdict() {
        let verdict_on = |status: u16, body: &str| interpret(&response(status, body), NOW_MS).into_verdict();
        let later = |reason: &str, after_ms| Verdict::Later { reason: reason.to_owned(), after_ms, scope: FaultScope::App };
        let table = [
            (404, vec![code("UNREGISTERED")], Verdict::dead("UNREGISTERED")),
            (400, vec![code("INVALID_ARGUMENT")], Verdict::dead("INVALID_ARGUMENT")),
            (400, vec![code("INVALID_ARGUMENT"), bad_request()], Verdict::refused("INVALID_ARGUMENT", RefusalCause::Payload)),
            (400, vec![bad_request()], Verdict::refused("STATUS", RefusalCause::Payload)),
            (400, vec![], Verdict::refused("STATUS", RefusalCause::Payload)),
            (403, vec![code("SENDER_ID_MISMATCH")], Verdict::refused("SENDER_ID_MISMATCH", RefusalCause::Sender)),
            (403, vec![], Verdict::refused("STATUS", RefusalCause::App)),
            (401, vec![code("THIRD_PARTY_AUTH_ERROR")], Verdict::refused("THIRD_PARTY_AUTH_ERROR", RefusalCause::App)),
            (404, vec![], Verdict::refused("STATUS", RefusalCause::App)),
            (413, vec![], Verdict::refused("STATUS", RefusalCause::Payload)),
            (429, vec![code("QUOTA_EXCEEDED")], later("QUOTA_EXCEEDED", Some(60_000))),
            (429, vec![], later("STATUS", Some(60_000))),
            (500, vec![code("INTERNAL")], later("INTERNAL", None)),
            (503, vec![code("UNAVAILABLE")], later("UNAVAILABLE", None)),
            (502, vec![], later("STATUS", None)),
        ];
        for (status, details, verdict) in table {
            assert_eq!(verdict_on(status, &error(status, "STATUS", &details)), verdict, "{status} {details:?}");
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
