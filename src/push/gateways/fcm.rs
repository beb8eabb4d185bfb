//! FCM's HTTP v1 interface: what is asked, and what its answers mean. Pure; [`super::office`] sends.
//!
//! The sources are Google's pages "REST Resource: projects.messages", "ErrorCode" and "Scale FCM: handle retries". FCM keeps messages of at most
//! four collapse keys for a device that is away: of an identity with more datasets some wakes may be lost, which the next sync repairs.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::notice::Notice;
use super::retry_after::{retry_after_ms, too_many_ms};
use super::verdict::{Fault, Verdict, Whom, status_reason, word};

/// One request for one device.
pub(super) struct Asked<'a> {
    /// The gateway.
    pub(super) server: &'a Uri,
    /// The project's id.
    pub(super) project: &'a str,
    /// The device's registration token.
    pub(super) token: &'a str,
    /// `Bearer` and the access token.
    pub(super) bearer: HeaderValue,
    /// What is said.
    pub(super) notice: &'a Notice<'a>,
    /// For the time to live.
    pub(super) now_ms: u64,
}

impl Asked<'_> {
    /// The request.
    pub(super) fn request(self) -> http::Result<Request<Bytes>> {
        let scheme = self.server.scheme_str().unwrap_or("https");
        let authority = self.server.authority().map_or("", Authority::as_str);
        Request::post(format!("{scheme}://{authority}/v1/projects/{}/messages:send", self.project))
            .header(AUTHORIZATION, self.bearer.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(self.message().to_string()))
    }

    /// Data alone wakes the app silently. High priority is for what the user sees: Google lowers it for apps that use it otherwise ("Set and
    /// manage Android message priority").
    fn message(&self) -> Value {
        let mut message = json!({
            "token": self.token,
            "data": self.notice.data(),
            "android": {
                "priority": "NORMAL",
                "collapse_key": self.notice.collapse,
                "ttl": format!("{}s", self.notice.ttl_s(self.now_ms)),
            },
        });
        if let Some(shown) = &self.notice.wake.shown {
            message["notification"] = json!({"title": shown.title, "body": shown.text});
            message["android"]["priority"] = Value::from("HIGH");
        }
        json!({ "message": message })
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// This.
    Settled(Verdict),
    /// The access token is not taken: worth one new one.
    Unauthenticated,
}

impl Reply {
    /// When there is nothing left to try.
    pub(super) fn settle(self) -> Verdict {
        match self {
            Reply::Settled(verdict) => verdict,
            Reply::Unauthenticated => Verdict::refused("UNAUTHENTICATED", Fault::App),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    /// The message's name, when it was taken.
    name: Option<String>,
    error: Error,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Error {
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(rename = "errorCode")]
    code: String,
    violations: Vec<Violation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Violation {
    subject: String,
    description: String,
}

impl Error {
    /// FCM's own code, which says more than the status.
    fn code(&self) -> Option<&str> {
        self.details.iter().find(|detail| detail.kind.ends_with("google.firebase.fcm.v1.FcmError")).and_then(|detail| word(&detail.code))
    }

    fn is_bad_request(&self) -> bool {
        self.details.iter().any(|detail| detail.kind.ends_with("google.rpc.BadRequest"))
    }

    /// Whose quota is used up: a device that was sent too much makes nobody else wait.
    fn whose_quota(&self) -> Whom {
        let quotas =
            self.details.iter().filter(|detail| detail.kind.ends_with("google.rpc.QuotaFailure")).flat_map(|detail| &detail.violations);
        let names_device = |text: &str| text.to_ascii_lowercase().contains("device");
        match quotas.into_iter().any(|quota| names_device(&quota.subject) || names_device(&quota.description)) {
            true => Whom::Device,
            false => Whom::App,
        }
    }
}

/// Reads an answer, by FCM's code first and by its status where there is none.
pub(super) fn reply(answer: &Answer, now_ms: u64) -> Reply {
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == 200 {
        return Reply::Settled(Verdict::Accepted { id: body.name });
    }
    let code = body.error.code();
    let said = code.or_else(|| word(&body.error.status)).map_or_else(|| status_reason(answer.status), str::to_owned);
    let wish_ms = || retry_after_ms(&answer.headers, now_ms);
    let settled = match (code, answer.status) {
        (Some("UNREGISTERED"), _) => Verdict::dead(said),
        // With both kinds of details a field of the message is at fault, and it may be ours.
        (Some("INVALID_ARGUMENT"), _) if !body.error.is_bad_request() => Verdict::dead(said),
        (Some("INVALID_ARGUMENT"), _) => Verdict::refused(said, Fault::Payload),
        (Some("SENDER_ID_MISMATCH"), _) => Verdict::refused(said, Fault::Sender),
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => Verdict::refused(said, Fault::App),
        (Some("QUOTA_EXCEEDED"), _) | (_, 429) => {
            Verdict::Later { reason: said, after_ms: Some(too_many_ms(&answer.headers, now_ms)), whom: body.error.whose_quota() }
        }
        (Some("UNAVAILABLE" | "INTERNAL"), _) | (_, 500..) => Verdict::Later { reason: said, after_ms: wish_ms(), whom: Whom::App },
        (_, 401) => return Reply::Unauthenticated,
        // Without a code of FCM's it is not the token that was not found, but the project or the address.
        (_, 403 | 404) => Verdict::refused(said, Fault::App),
        (_, 400..=499) => Verdict::refused(said, Fault::Payload),
        _ => Verdict::Later { reason: said, after_ms: wish_ms(), whom: Whom::App },
    };
    Reply::Settled(settled)
}

#[cfg(test)]
mod tests {
    use super::super::notice::{Form, Wake};
    use super::super::support::{NOW_MS, answer, answer_with, shown_wake, wake};
    use super::*;

    fn request(wake: &Wake) -> Request<Bytes> {
        let notice = Notice::new(wake, &Form::default());
        let (server, bearer) = (Uri::from_static("https://fcm.googleapis.com"), HeaderValue::from_static("Bearer x"));
        Asked { server: &server, project: "notes-1", token: "a:b", bearer, notice: &notice, now_ms: NOW_MS }.request().expect("a request")
    }

    fn message(wake: &Wake) -> Value {
        serde_json::from_slice::<Value>(request(wake).body()).expect("JSON")["message"].take()
    }

    /// An error as Google writes it: details are named by the ends of their types.
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
    fn a_silent_wake_is_data_alone() {
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
    fn a_shown_wake_is_a_notification_with_high_priority() {
        let message = message(&shown_wake());
        assert_eq!(message["notification"], json!({"title": "Notes", "body": "Something is new"}));
        assert_eq!(message["android"]["priority"], "HIGH");
    }

    #[test]
    fn every_code_has_its_verdict() {
        let settled = |status: u16, body: &str| reply(&answer(status, body), NOW_MS).settle();
        let later = |reason: &str, after_ms| Verdict::Later { reason: reason.to_owned(), after_ms, whom: Whom::App };
        let table = [
            (404, vec![code("UNREGISTERED")], Verdict::dead("UNREGISTERED")),
            (400, vec![code("INVALID_ARGUMENT")], Verdict::dead("INVALID_ARGUMENT")),
            (400, vec![code("INVALID_ARGUMENT"), bad_request()], Verdict::refused("INVALID_ARGUMENT", Fault::Payload)),
            (400, vec![bad_request()], Verdict::refused("STATUS", Fault::Payload)),
            (400, vec![], Verdict::refused("STATUS", Fault::Payload)),
            (403, vec![code("SENDER_ID_MISMATCH")], Verdict::refused("SENDER_ID_MISMATCH", Fault::Sender)),
            (403, vec![], Verdict::refused("STATUS", Fault::App)),
            (401, vec![code("THIRD_PARTY_AUTH_ERROR")], Verdict::refused("THIRD_PARTY_AUTH_ERROR", Fault::App)),
            (404, vec![], Verdict::refused("STATUS", Fault::App)),
            (413, vec![], Verdict::refused("STATUS", Fault::Payload)),
            (429, vec![code("QUOTA_EXCEEDED")], later("QUOTA_EXCEEDED", Some(60_000))),
            (429, vec![], later("STATUS", Some(60_000))),
            (500, vec![code("INTERNAL")], later("INTERNAL", None)),
            (503, vec![code("UNAVAILABLE")], later("UNAVAILABLE", None)),
            (502, vec![], later("STATUS", None)),
        ];
        for (status, details, verdict) in table {
            assert_eq!(settled(status, &error(status, "STATUS", &details)), verdict, "{status} {details:?}");
        }
        assert_eq!(reply(&answer(401, &error(401, "UNAUTHENTICATED", &[])), NOW_MS), Reply::Unauthenticated);
        assert_eq!(Reply::Unauthenticated.settle(), Verdict::refused("UNAUTHENTICATED", Fault::App));
        assert_eq!(
            settled(200, r#"{"name": "projects/p/messages/1"}"#),
            Verdict::Accepted { id: Some("projects/p/messages/1".to_owned()) }
        );
    }

    #[test]
    fn a_quota_of_one_device_makes_nobody_else_wait() {
        let quota = |text: &str| {
            let failure =
                json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"subject": text, "description": text}]});
            reply(&answer(429, &error(429, "RESOURCE_EXHAUSTED", &[code("QUOTA_EXCEEDED"), failure])), NOW_MS).settle()
        };
        assert!(matches!(quota("Device message rate exceeded"), Verdict::Later { whom: Whom::Device, .. }));
        assert!(matches!(quota("project:notes-1"), Verdict::Later { whom: Whom::App, .. }));
    }

    #[test]
    fn a_wish_to_wait_is_granted() {
        let after_ms = |status, wish| match reply(&answer_with(status, ("retry-after", wish), ""), NOW_MS).settle() {
            Verdict::Later { after_ms, whom: Whom::App, .. } => after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(after_ms(503, "7"), Some(7_000));
        assert_eq!(after_ms(429, "7"), Some(60_000));
        assert_eq!(after_ms(429, "90"), Some(90_000));
        assert_eq!(after_ms(503, "Mon, 21 Sep 2026 14:14:00 GMT"), Some(40_000));
    }

    #[test]
    fn an_answer_without_details_is_judged_by_its_status() {
        for text in ["", "{", "<html>", "[]", r#"{"error": 5}"#, r#"{"error": {"details": [5]}}"#, r#"{"error": {"status": "two words"}}"#]
        {
            let settled = |status| reply(&answer(status, text), NOW_MS).settle();
            assert_eq!(settled(200), Verdict::Accepted { id: None }, "{text}");
            assert_eq!(settled(400), Verdict::refused("status_400", Fault::Payload), "{text}");
            assert_eq!(settled(404), Verdict::refused("status_404", Fault::App), "{text}");
            for status in [100, 204, 302, 500, 599, 999] {
                assert_eq!(settled(status), Verdict::later(format!("status_{status}"), Whom::App), "{status} {text}");
            }
        }
    }
}
