//! Stories of wakes that go to stand-ins of all gateways.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::super::config::{ApnsConfig, FcmConfig, WebpushConfig};
use super::super::gateway_stand_in::StandIn;
use super::super::sealed::Receiver;
use super::super::support::{NOW_MS, wake};
use super::super::tls_stand_in::PushService;
use super::super::token_stand_in::{TokenEndpoint, rsa_key};
use super::*;

const MINUTE_MS: u64 = 60_000;

/// An operator's folder, and a clock that is moved by hand.
struct PoolPush {
    folder: tempfile::TempDir,
    now_ms: Arc<AtomicU64>,
}

impl PoolPush {
    fn new() -> PoolPush {
        PoolPush { folder: tempfile::tempdir().expect("a folder"), now_ms: Arc::new(AtomicU64::new(NOW_MS)) }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn key(&self) -> PathBuf {
        self.file("AuthKey.p8", &rcgen::KeyPair::generate().expect("a key").serialize_pem())
    }

    /// An app at APNs with a key, whose gateways are both here.
    fn apns(&self, app: &str, stand_in: &StandIn) -> ApnsConfig {
        let path = self.folder.path().join("AuthKey.p8");
        let key = if path.exists() { path } else { self.key() };
        ApnsConfig {
            app: app.to_owned(),
            server: Some(stand_in.server.clone()),
            sandbox_server: Some(stand_in.server.clone()),
            key_file: Some(key),
            key_id: Some("KEY".to_owned()),
            team_id: Some("TEAM".to_owned()),
            authority_file: Some(self.authority()),
            ..ApnsConfig::default()
        }
    }

    fn fcm(&self, stand_in: &StandIn, tokens: &TokenEndpoint) -> FcmConfig {
        let account = json!({
            "type": "service_account", "project_id": "notes-1", "client_email": "a@b", "private_key": rsa_key(), "private_key_id": "K",
            "token_uri": tokens.token_uri,
        });
        let service_account_file = self.file("account.json", &account.to_string());
        FcmConfig {
            app: "notes".to_owned(),
            service_account_file,
            server: Some(stand_in.server.clone()),
            authority_file: Some(self.authority()),
        }
    }

    fn webpush(&self, authority: &str, allow_private: bool) -> WebpushConfig {
        WebpushConfig {
            app: "web".to_owned(),
            vapid_key_file: self.key(),
            contact: "mailto:push@example.com".to_owned(),
            authority_file: Some(self.file("authority.pem", authority)),
            allow_private,
        }
    }

    /// A root, for machines that have none.
    fn authority(&self) -> PathBuf {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate =
            rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
        self.file("root.pem", &certificate.pem())
    }

    fn office(&self, config: &PushConfig) -> PushGateways {
        let clock = self.now_ms.clone();
        PushGateways::with(config, Arc::new(move || clock.load(Ordering::SeqCst)), SEND_TIMEOUT).expect("an office")
    }

    fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

fn reason(reason: &str) -> String {
    json!({ "reason": reason }).to_string()
}

fn body(request: &http::Request<bytes::Bytes>) -> Value {
    serde_json::from_slice(request.body()).expect("JSON")
}

fn phone() -> PushTarget {
    PushTarget::Apns("00ff".to_owned())
}

fn is_accepted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Accepted { .. })
}

#[tokio::test]
async fn apps_of_a_team_share_a_token_and_a_connection() {
    let (desk, mut apple) = (PoolPush::new(), StandIn::answering((0..3).map(|_| (200, String::new()))).await);
    let office = desk.office(&PushConfig { apns: vec![desk.apns("one", &apple), desk.apns("two", &apple)], ..PushConfig::default() });
    let sent = office.send(&phone(), "one", &wake()).await;
    let one = apple.next().await;
    assert_eq!(sent, Verdict::Accepted { id: Some(one.headers()["apns-id"].to_str().expect("a text").to_owned()) });
    assert_eq!(one.uri().path(), "/3/device/00ff");
    assert!(is_accepted(&office.send(&PushTarget::ApnsSandbox("00ff".to_owned()), "two", &wake()).await));
    desk.pass(49 * MINUTE_MS);
    assert!(is_accepted(&office.send(&phone(), "two", &wake()).await));
    let (two, three) = (apple.next().await, apple.next().await);
    assert_eq!((&two.headers()["apns-topic"], &one.headers()["apns-topic"]), (&"two".parse().expect("ok"), &"one".parse().expect("ok")));
    assert_eq!(one.headers()["authorization"], two.headers()["authorization"]);
    assert_eq!(one.headers()["authorization"], three.headers()["authorization"]);
    assert_eq!(apple.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_once() {
    let expired = || (403, reason("ExpiredProviderToken"));
    let (desk, mut apple) = (PoolPush::new(), StandIn::answering([(200, String::new()), expired(), (200, String::new()), expired()]).await);
    let office = desk.office(&PushConfig { apns: vec![desk.apns("one", &apple)], ..PushConfig::default() });
    assert!(is_accepted(&office.send(&phone(), "one", &wake()).await));
    desk.pass(30 * MINUTE_MS);
    assert!(is_accepted(&office.send(&phone(), "one", &wake()).await));
    let bearers: Vec<_> =
        [apple.next().await, apple.next().await, apple.next().await].map(|one| one.headers()["authorization"].clone()).into();
    assert!(bearers[0] == bearers[1] && bearers[1] != bearers[2]);
    // The new one is too young to be renewed.
    assert_eq!(office.send(&phone(), "one", &wake()).await, Verdict::refused("ExpiredProviderToken", Fault::App));
    apple.next().await;
    assert!(apple.asked.try_recv().is_err());
}

#[tokio::test]
async fn what_is_too_large_is_sent_once_more_with_the_least() {
    let large = || (413, reason("PayloadTooLarge"));
    let (desk, mut apple) = (PoolPush::new(), StandIn::answering([large(), (200, String::new()), large(), large()]).await);
    let office = desk.office(&PushConfig { apns: vec![desk.apns("one", &apple)], ..PushConfig::default() });
    assert!(is_accepted(&office.send(&phone(), "one", &wake()).await));
    let (whole, least) = (apple.next().await, apple.next().await);
    assert_eq!(body(&whole)["data"]["dataset"], "settings");
    assert_eq!(body(&least), json!({"aps": {"content-available": 1}}));
    assert_eq!(whole.headers()["apns-id"], least.headers()["apns-id"]);
    assert_eq!(office.send(&phone(), "one", &wake()).await, Verdict::refused("PayloadTooLarge", Fault::Payload));
}

#[tokio::test]
async fn with_a_certificate_no_token_is_sent() {
    let (desk, mut apple) =
        (PoolPush::new(), StandIn::answering([(410, json!({"reason": "Unregistered", "timestamp": 5}).to_string())]).await);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["one".to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
    let file = desk.file("push.pem", &format!("{}{}", certificate.pem(), key.serialize_pem()));
    let app = ApnsConfig { key_file: None, key_id: None, team_id: None, certificate_file: Some(file), ..desk.apns("one", &apple) };
    let office = desk.office(&PushConfig { apns: vec![app], ..PushConfig::default() });
    let dead = Verdict::Dead { reason: "Unregistered".to_owned(), since_ms: Some(5) };
    assert_eq!(office.send(&phone(), "one", &wake()).await, dead);
    assert!(!apple.next().await.headers().contains_key("authorization"));
}

#[tokio::test]
async fn a_gateway_that_never_answers_is_not_waited_for() {
    let (desk, apple) = (PoolPush::new(), StandIn::answering([]).await);
    let config = PushConfig { apns: vec![desk.apns("one", &apple)], ..PushConfig::default() };
    let office = PushGateways::with(&config, Arc::new(|| NOW_MS), Duration::from_millis(50)).expect("an office");
    assert_eq!(office.send(&phone(), "one", &wake()).await, Verdict::later("no_answer_in_time", Whom::App));
}

#[tokio::test]
async fn google_is_asked_with_a_token_that_is_renewed_once_when_it_is_not_taken() {
    const TOKENS: &[(u16, &str)] =
        &[(200, r#"{"access_token": "one", "expires_in": 3600}"#), (200, r#"{"access_token": "two", "expires_in": 3600}"#)];
    let no = || (401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}}).to_string());
    let taken = (200, json!({"name": "projects/notes-1/messages/1"}).to_string());
    let (desk, mut google, tokens) =
        (PoolPush::new(), StandIn::answering([no(), taken, no(), no()]).await, TokenEndpoint::answering(TOKENS).await);
    let office = desk.office(&PushConfig { fcm: vec![desk.fcm(&google, &tokens)], cognito: true, ..PushConfig::default() });
    let target = PushTarget::Fcm("a:b".to_owned());
    let taken = Verdict::Accepted { id: Some("projects/notes-1/messages/1".to_owned()) };
    assert_eq!(office.send(&target, "notes", &wake()).await, taken);
    let (first, second) = (google.next().await, google.next().await);
    assert_eq!(
        (&first.headers()["authorization"], &second.headers()["authorization"]),
        (&"Bearer one".parse().expect("ok"), &"Bearer two".parse().expect("ok"))
    );
    assert_eq!(second.uri().path(), "/v1/projects/notes-1/messages:send");
    assert_eq!(body(&second)["message"]["data"]["syncCount"], "7");
    assert_eq!(office.send(&target, "notes", &wake()).await, Verdict::refused("UNAUTHENTICATED", Fault::App));
    assert_eq!(tokens.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_account_that_gets_no_token_stops_its_app() {
    const GONE: &[(u16, &str)] = &[(400, r#"{"error": "invalid_grant"}"#)];
    let (desk, mut google, tokens) = (PoolPush::new(), StandIn::answering([]).await, TokenEndpoint::answering(GONE).await);
    let office = desk.office(&PushConfig { fcm: vec![desk.fcm(&google, &tokens)], ..PushConfig::default() });
    let sent = office.send(&PushTarget::Fcm("a:b".to_owned()), "notes", &wake()).await;
    assert_eq!(sent, Verdict::refused("service_account_refused", Fault::App));
    assert!(google.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_browser_is_woken_by_what_only_it_can_read() {
    let mut service = PushService::answering("HTTP/1.1 201 Created\r\nlocation: /m/1\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let (desk, receiver) = (PoolPush::new(), Receiver::of_rfc_8291());
    let office = desk.office(&PushConfig {
        webpush: vec![desk.webpush(&service.authority, true)],
        name_hash_key: Some("x".repeat(16)),
        ..PushConfig::default()
    });
    let target = PushTarget::Webpush(receiver.subscription(&format!("https://localhost:{}/push/1", service.port)));
    assert_eq!(office.check(&target, "web"), Ok(()));
    assert_eq!(office.send(&target, "web", &wake()).await, Verdict::Accepted { id: None });
    let (head, sealed) = service.asked.recv().await.expect("a request");
    assert!(head.starts_with("post /push/1 http/1.1") && head.contains("ttl: 3600") && head.contains("authorization: vapid t="), "{head}");
    let data: Value = serde_json::from_slice(&receiver.open(&sealed)).expect("JSON");
    assert_eq!((&data["version"], data["identity"].as_str().map(str::len)), (&json!("7"), Some(32)));
}

#[tokio::test]
async fn a_subscription_in_ones_own_network_is_dead() {
    let mut service = PushService::answering("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let (desk, receiver) = (PoolPush::new(), Receiver::of_rfc_8291());
    let office = desk.office(&PushConfig { webpush: vec![desk.webpush(&service.authority, false)], ..PushConfig::default() });
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let target = PushTarget::Webpush(receiver.subscription(&format!("https://{host}:{}/1", service.port)));
        assert_eq!(office.send(&target, "web", &wake()).await, Verdict::dead("address_refused"), "{host}");
    }
    assert!(service.asked.try_recv().is_err());
}

#[tokio::test]
async fn what_cannot_be_sent_to_is_not_registered() {
    let (desk, receiver) = (PoolPush::new(), Receiver::of_rfc_8291());
    let root = std::fs::read_to_string(desk.authority()).expect("a root");
    let office = desk.office(&PushConfig { webpush: vec![desk.webpush(&root, false)], ..PushConfig::default() });
    let good = receiver.subscription("https://push.example/1");
    let check = |subscription, app| office.check(&PushTarget::Webpush(subscription), app);
    assert_eq!(check(good.clone(), "web"), Ok(()));
    assert!(check(good.clone(), "other").is_err());
    assert!(check(receiver.subscription("https://10.0.0.1/1"), "web").is_err_and(|why| why.contains("public")));
    let off = Subscription { p256dh: format!("BA{}", "A".repeat(85)), ..good };
    assert!(check(off, "web").is_err_and(|why| why.contains("curve")));
    assert!(office.check(&phone(), "web").is_err());
    assert!(office.knows(Provider::Webpush, "web") && !office.knows(Provider::Fcm, "web"));
    assert_eq!(office.send(&phone(), "web", &wake()).await, Verdict::refused("app_unknown", Fault::App));
}

#[tokio::test]
async fn a_credential_that_does_not_parse_is_refused_with_its_files_name() {
    let (desk, apple) = (PoolPush::new(), StandIn::answering([]).await);
    let bad = desk.file("bad.pem", "hush");
    let good = desk.apns("one", &apple);
    let refused = |config: PushConfig| PushGateways::new(&config).expect_err("refused").to_string();
    let apns = |app: ApnsConfig| refused(PushConfig { apns: vec![app], ..PushConfig::default() });
    let said = [
        apns(ApnsConfig { key_file: Some(bad.clone()), ..good.clone() }),
        apns(ApnsConfig { authority_file: Some(bad.clone()), ..good.clone() }),
        apns(ApnsConfig { key_file: None, key_id: None, team_id: None, certificate_file: Some(bad.clone()), ..good.clone() }),
        refused(PushConfig {
            fcm: vec![FcmConfig { app: "a".to_owned(), service_account_file: bad.clone(), ..FcmConfig::default() }],
            ..PushConfig::default()
        }),
        refused(PushConfig {
            webpush: vec![WebpushConfig { vapid_key_file: bad.clone(), ..desk.webpush("", false) }],
            ..PushConfig::default()
        }),
    ];
    for said in said {
        assert!(said.contains("bad.pem") && !said.contains("hush"), "{said}");
    }
    assert!(apns(ApnsConfig { certificate_file: Some(bad), ..good.clone() }).contains("certificate_file alone"));
    assert!(apns(ApnsConfig { key_id: None, ..good }).contains("together"));
    let nobody = WebpushConfig { contact: "push@example.com".to_owned(), ..desk.webpush("", false) };
    assert!(refused(PushConfig { webpush: vec![nobody], ..PushConfig::default() }).contains("contact"));
}
