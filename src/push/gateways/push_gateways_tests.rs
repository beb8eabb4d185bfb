//! Wakes sent to stand-ins of every gateway.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::super::config::{ApnsConfig, FcmConfig, WebpushConfig};
use super::super::h2_gateway_stand_in::H2GatewayStandIn;
use super::super::support::{NOW_MS, closed_port, plain_text_server, wake};
use super::super::tls_push_service_stand_in::TlsPushServiceStandIn;
use super::super::token_endpoint_stand_in::{TokenEndpointStandIn, rsa_key};
use super::super::webpush_receiver::WebpushReceiver;
use super::*;

const MINUTE_MS: u64 = 60_000;

/// A folder with credential files, and a clock that the test moves.
struct OperatorFolder {
    dir: tempfile::TempDir,
    now_ms: Arc<AtomicU64>,
}

impl OperatorFolder {
    fn new() -> OperatorFolder {
        OperatorFolder { dir: tempfile::tempdir().expect("a folder"), now_ms: Arc::new(AtomicU64::new(NOW_MS)) }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn key(&self) -> PathBuf {
        self.file("AuthKey.p8", &rcgen::KeyPair::generate().expect("a key").serialize_pem())
    }

    /// An app at APNs with a key, whose two environments are both the stand-in.
    fn apns(&self, app: &str, stand_in: &H2GatewayStandIn) -> ApnsConfig {
        let path = self.dir.path().join("AuthKey.p8");
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

    fn fcm(&self, stand_in: &H2GatewayStandIn, tokens: &TokenEndpointStandIn) -> FcmConfig {
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

    /// A root certificate, for machines that have none.
    fn authority(&self) -> PathBuf {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate =
            rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
        self.file("root.pem", &certificate.pem())
    }

    fn gateways(&self, config: &PushConfig) -> ClockedGateways {
        self.gateways_within(config, SEND_TIMEOUT)
    }

    fn gateways_within(&self, config: &PushConfig, timeout: Duration) -> ClockedGateways {
        let gateways = PushGateways::with_timeout(config, timeout, &OutboundProxy::default()).expect("usable settings");
        ClockedGateways { gateways, now_ms: self.now_ms.clone() }
    }

    fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Gateways that take the time from the test's clock.
struct ClockedGateways {
    gateways: PushGateways,
    now_ms: Arc<AtomicU64>,
}

impl ClockedGateways {
    async fn send(&self, target: &PushTarget, app: &str, wake: &Wake) -> Verdict {
        self.gateways.send_at(target, app, wake, &|| self.now_ms.load(Ordering::SeqCst)).await
    }

    fn check_target(&self, target: &PushTarget, app: &str) -> Result<(), String> {
        self.gateways.check_target(target, app)
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
    let (folder, mut apple) = (OperatorFolder::new(), H2GatewayStandIn::answering((0..3).map(|_| (200, String::new()))).await);
    let gateways =
        folder.gateways(&PushConfig { apns: vec![folder.apns("one", &apple), folder.apns("two", &apple)], ..PushConfig::default() });
    let sent = gateways.send(&phone(), "one", &wake()).await;
    let one = apple.next().await;
    assert_eq!(sent, Verdict::Accepted { id: Some(one.headers()["apns-id"].to_str().expect("a text").to_owned()) });
    assert_eq!(one.uri().path(), "/3/device/00ff");
    assert!(is_accepted(&gateways.send(&PushTarget::ApnsSandbox("00ff".to_owned()), "two", &wake()).await));
    folder.pass(49 * MINUTE_MS);
    assert!(is_accepted(&gateways.send(&phone(), "two", &wake()).await));
    let (two, three) = (apple.next().await, apple.next().await);
    assert_eq!((&two.headers()["apns-topic"], &one.headers()["apns-topic"]), (&"two".parse().expect("ok"), &"one".parse().expect("ok")));
    assert_eq!(one.headers()["authorization"], two.headers()["authorization"]);
    assert_eq!(one.headers()["authorization"], three.headers()["authorization"]);
    assert_eq!(apple.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_once() {
    let expired = || (403, reason("ExpiredProviderToken"));
    let (folder, mut apple) =
        (OperatorFolder::new(), H2GatewayStandIn::answering([(200, String::new()), expired(), (200, String::new()), expired()]).await);
    let gateways = folder.gateways(&PushConfig { apns: vec![folder.apns("one", &apple)], ..PushConfig::default() });
    assert!(is_accepted(&gateways.send(&phone(), "one", &wake()).await));
    folder.pass(30 * MINUTE_MS);
    assert!(is_accepted(&gateways.send(&phone(), "one", &wake()).await));
    let bearers: Vec<_> =
        [apple.next().await, apple.next().await, apple.next().await].map(|one| one.headers()["authorization"].clone()).into();
    assert!(bearers[0] == bearers[1] && bearers[1] != bearers[2]);
    // The new one is too new to be renewed.
    assert_eq!(gateways.send(&phone(), "one", &wake()).await, Verdict::refused("ExpiredProviderToken", RefusalCause::App));
    apple.next().await;
    assert!(apple.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_sent_once_more_without_data() {
    let too_large = || (413, reason("PayloadTooLarge"));
    let (folder, mut apple) =
        (OperatorFolder::new(), H2GatewayStandIn::answering([too_large(), (200, String::new()), too_large(), too_large()]).await);
    let gateways = folder.gateways(&PushConfig { apns: vec![folder.apns("one", &apple)], ..PushConfig::default() });
    assert!(is_accepted(&gateways.send(&phone(), "one", &wake()).await));
    let (full, minimal) = (apple.next().await, apple.next().await);
    assert_eq!(body(&full)["data"]["dataset"], "settings");
    assert_eq!(body(&minimal), json!({"aps": {"content-available": 1}}));
    assert_eq!(full.headers()["apns-id"], minimal.headers()["apns-id"]);
    assert_eq!(
        gateways.send(&phone(), "one", &wake()).await,
        Verdict::refused("PayloadTooLarge", RefusalCause::Payload).because(FailureCause::PayloadTooLarge)
    );
}

#[tokio::test]
async fn with_a_client_certificate_no_provider_token_is_sent() {
    let (folder, mut apple) =
        (OperatorFolder::new(), H2GatewayStandIn::answering([(410, json!({"reason": "Unregistered", "timestamp": 5}).to_string())]).await);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["one".to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
    let file = folder.file("push.pem", &format!("{}{}", certificate.pem(), key.serialize_pem()));
    let app = ApnsConfig { key_file: None, key_id: None, team_id: None, certificate_file: Some(file), ..folder.apns("one", &apple) };
    let gateways = folder.gateways(&PushConfig { apns: vec![app], ..PushConfig::default() });
    let dead = Verdict::Dead { failure: FailureCause::TokenDead, reason: "Unregistered".to_owned(), since_ms: Some(5) };
    assert_eq!(gateways.send(&phone(), "one", &wake()).await, dead);
    assert!(!apple.next().await.headers().contains_key("authorization"));
}

#[tokio::test]
async fn a_send_ends_at_its_timeout() {
    let (folder, apple) = (OperatorFolder::new(), H2GatewayStandIn::answering([]).await);
    let config = PushConfig { apns: vec![folder.apns("one", &apple)], ..PushConfig::default() };
    let gateways = folder.gateways_within(&config, Duration::from_millis(50));
    let late = Verdict::later("no answer in time", FaultScope::App).because(FailureCause::Timeout);
    assert_eq!(gateways.send(&phone(), "one", &wake()).await, late);
}

#[tokio::test]
async fn an_access_token_that_fcm_rejects_is_replaced_once() {
    const TOKENS: &[(u16, &str)] =
        &[(200, r#"{"access_token": "one", "expires_in": 3600}"#), (200, r#"{"access_token": "two", "expires_in": 3600}"#)];
    let rejected = || (401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}}).to_string());
    let accepted = (200, json!({"name": "projects/notes-1/messages/1"}).to_string());
    let (folder, mut google, tokens) = (
        OperatorFolder::new(),
        H2GatewayStandIn::answering([rejected(), accepted, rejected(), rejected()]).await,
        TokenEndpointStandIn::answering(TOKENS).await,
    );
    let gateways = folder.gateways(&PushConfig { fcm: vec![folder.fcm(&google, &tokens)], cognito: true, ..PushConfig::default() });
    let target = PushTarget::Fcm("a:b".to_owned());
    let accepted = Verdict::Accepted { id: Some("projects/notes-1/messages/1".to_owned()) };
    assert_eq!(gateways.send(&target, "notes", &wake()).await, accepted);
    let (first, second) = (google.next().await, google.next().await);
    assert_eq!(
        (&first.headers()["authorization"], &second.headers()["authorization"]),
        (&"Bearer one".parse().expect("ok"), &"Bearer two".parse().expect("ok"))
    );
    assert_eq!(second.uri().path(), "/v1/projects/notes-1/messages:send");
    assert_eq!(body(&second)["message"]["data"]["syncCount"], "7");
    assert_eq!(gateways.send(&target, "notes", &wake()).await, Verdict::refused("UNAUTHENTICATED", RefusalCause::App));
    assert_eq!(tokens.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_rejected_service_account_stops_its_app() {
    const GONE: &[(u16, &str)] = &[(400, r#"{"error": "invalid_grant"}"#)];
    let (folder, mut google, tokens) =
        (OperatorFolder::new(), H2GatewayStandIn::answering([]).await, TokenEndpointStandIn::answering(GONE).await);
    let gateways = folder.gateways(&PushConfig { fcm: vec![folder.fcm(&google, &tokens)], ..PushConfig::default() });
    let sent = gateways.send(&PushTarget::Fcm("a:b".to_owned()), "notes", &wake()).await;
    assert_eq!(sent, Verdict::refused("service account refused: invalid_grant", RefusalCause::App));
    assert!(google.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_web_push_message_is_encrypted_for_its_browser() {
    let mut service =
        TlsPushServiceStandIn::answering("HTTP/1.1 201 Created\r\nlocation: /m/1\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let (folder, receiver) = (OperatorFolder::new(), WebpushReceiver::of_rfc_8291());
    let gateways = folder.gateways(&PushConfig {
        webpush: vec![folder.webpush(&service.authority, true)],
        name_hash_key: Some("x".repeat(16)),
        ..PushConfig::default()
    });
    let target = PushTarget::Webpush(receiver.subscription(&format!("https://localhost:{}/push/1", service.port)));
    assert_eq!(gateways.check_target(&target, "web"), Ok(()));
    assert_eq!(gateways.send(&target, "web", &wake()).await, Verdict::Accepted { id: None });
    let (head, encrypted) = service.requests.recv().await.expect("a request");
    assert!(head.starts_with("post /push/1 http/1.1") && head.contains("ttl: 3600") && head.contains("authorization: vapid t="), "{head}");
    let data: Value = serde_json::from_slice(&receiver.decrypt(&encrypted)).expect("JSON");
    assert_eq!((&data["version"], data["identity"].as_str().map(str::len)), (&json!("7"), Some(32)));
}

#[tokio::test]
async fn a_subscription_at_a_private_address_is_dead() {
    let mut service = TlsPushServiceStandIn::answering("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let (folder, receiver) = (OperatorFolder::new(), WebpushReceiver::of_rfc_8291());
    let gateways = folder.gateways(&PushConfig { webpush: vec![folder.webpush(&service.authority, false)], ..PushConfig::default() });
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let target = PushTarget::Webpush(receiver.subscription(&format!("https://{host}:{}/1", service.port)));
        assert_eq!(
            gateways.send(&target, "web", &wake()).await,
            Verdict::dead("address_refused").because(FailureCause::AddressRefused),
            "{host}"
        );
    }
    assert!(service.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_target_that_cannot_be_sent_to_fails_the_check() {
    let (folder, receiver) = (OperatorFolder::new(), WebpushReceiver::of_rfc_8291());
    let root = std::fs::read_to_string(folder.authority()).expect("a root");
    let gateways = folder.gateways(&PushConfig { webpush: vec![folder.webpush(&root, false)], ..PushConfig::default() });
    let good = receiver.subscription("https://push.example/1");
    let check = |subscription, app| gateways.check_target(&PushTarget::Webpush(subscription), app);
    assert_eq!(check(good.clone(), "web"), Ok(()));
    assert!(check(good.clone(), "other").is_err());
    assert!(check(receiver.subscription("https://10.0.0.1/1"), "web").is_err_and(|why| why.contains("public")));
    let off = WebPushSubscription { p256dh: format!("BA{}", "A".repeat(85)), ..good };
    assert!(check(off, "web").is_err_and(|why| why.contains("curve")));
    assert!(gateways.check_target(&phone(), "web").is_err());
    let apps = &gateways.gateways;
    assert!(apps.has_app(Provider::Webpush, "web") && !apps.has_app(Provider::Fcm, "web"));
    assert_eq!(
        gateways.send(&phone(), "web", &wake()).await,
        Verdict::refused("app_unknown", RefusalCause::App).because(FailureCause::UnknownApp)
    );
}

#[tokio::test]
async fn a_credential_file_that_does_not_parse_is_named_and_not_quoted() {
    let (folder, apple) = (OperatorFolder::new(), H2GatewayStandIn::answering([]).await);
    let bad = folder.file("bad.pem", "hush");
    let good = folder.apns("one", &apple);
    let refused = |config: PushConfig| PushGateways::new(&config, &OutboundProxy::default()).expect_err("refused").to_string();
    let apns = |app: ApnsConfig| refused(PushConfig { apns: vec![app], ..PushConfig::default() });
    let messages = [
        apns(ApnsConfig { key_file: Some(bad.clone()), ..good.clone() }),
        apns(ApnsConfig { authority_file: Some(bad.clone()), ..good.clone() }),
        apns(ApnsConfig { key_file: None, key_id: None, team_id: None, certificate_file: Some(bad.clone()), ..good.clone() }),
        refused(PushConfig {
            fcm: vec![FcmConfig { app: "a".to_owned(), service_account_file: bad.clone(), ..FcmConfig::default() }],
            ..PushConfig::default()
        }),
        refused(PushConfig {
            webpush: vec![WebpushConfig { vapid_key_file: bad.clone(), ..folder.webpush("", false) }],
            ..PushConfig::default()
        }),
    ];
    for message in messages {
        assert!(message.contains("bad.pem") && !message.contains("hush"), "{message}");
    }
    assert!(apns(ApnsConfig { certificate_file: Some(bad), ..good.clone() }).contains("certificate_file alone"));
    assert!(apns(ApnsConfig { key_id: None, ..good }).contains("together"));
    let no_contact = WebpushConfig { contact: "push@example.com".to_owned(), ..folder.webpush("", false) };
    assert!(refused(PushConfig { webpush: vec![no_contact], ..PushConfig::default() }).contains("contact"));
}

/// A server of a gateway that cannot be reached, and why.
async fn unreachable_servers() -> Vec<(String, FailureCause)> {
    let (untrusted, plain) = (TlsPushServiceStandIn::answering(String::new()).await, plain_text_server().await);
    vec![
        (format!("https://localhost:{}", closed_port()), FailureCause::ConnectionRefused),
        ("https://x.invalid".to_owned(), FailureCause::NameNotFound),
        (format!("https://localhost:{}", untrusted.port), FailureCause::CertificateNotTrusted),
        (format!("https://localhost:{plain}"), FailureCause::Tls),
    ]
}

#[tokio::test]
async fn a_gateway_that_cannot_be_reached_has_its_cause_and_its_name() {
    let tokens = TokenEndpointStandIn::answering(&[(200, r#"{"access_token": "one", "expires_in": 3600}"#)]).await;
    for (server, cause) in unreachable_servers().await {
        let (folder, stand_in) = (OperatorFolder::new(), H2GatewayStandIn::answering([]).await);
        let apns = ApnsConfig { server: Some(server.clone()), ..folder.apns("one", &stand_in) };
        let fcm = FcmConfig { server: Some(server.clone()), ..folder.fcm(&stand_in, &tokens) };
        let gateways = folder.gateways(&PushConfig { apns: vec![apns], fcm: vec![fcm], ..PushConfig::default() });
        for (target, app) in [(phone(), "one"), (PushTarget::Fcm("a:b".to_owned()), "notes")] {
            let verdict = gateways.send(&target, app, &wake()).await;
            let (found, reason) = verdict.failure().expect("a failure");
            let name = server.strip_prefix("https://").expect("https");
            assert!(found == cause && reason.contains(&cause.to_string()) && reason.contains(name), "{app} {server}: {verdict:?}");
            assert!(matches!(verdict, Verdict::Later { scope: FaultScope::App, .. }), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn the_token_endpoint_of_fcm_has_its_own_cause_and_name() {
    for (server, cause) in unreachable_servers().await {
        let (folder, google) = (OperatorFolder::new(), H2GatewayStandIn::answering([]).await);
        let tokens = TokenEndpointStandIn { token_uri: format!("{server}/token"), requests: Arc::default() };
        let gateways = folder.gateways(&PushConfig { fcm: vec![folder.fcm(&google, &tokens)], ..PushConfig::default() });
        let verdict = gateways.send(&PushTarget::Fcm("a:b".to_owned()), "notes", &wake()).await;
        let (found, reason) = verdict.failure().expect("a failure");
        let name = server.strip_prefix("https://").expect("https");
        assert!(found == cause && reason.starts_with("no access token: ") && reason.contains(name), "{server}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_push_service_that_refuses_or_cannot_be_reached_has_its_cause_and_no_name() {
    let receiver = WebpushReceiver::of_rfc_8291();
    let refuses = "HTTP/1.1 403 No\r\ncontent-length: 24\r\n\r\n{\"reason\":\"BadJwtToken\"}".to_owned();
    let service = TlsPushServiceStandIn::answering(refuses).await;
    let folder = OperatorFolder::new();
    let gateways = folder.gateways(&PushConfig { webpush: vec![folder.webpush(&service.authority, true)], ..PushConfig::default() });
    let own = format!("https://localhost:{}", service.port);
    let mut servers = unreachable_servers().await;
    servers.push((own.replace("localhost", "127.0.0.2"), FailureCause::CertificateWrongName));
    servers.push((own.clone(), FailureCause::CredentialRefused));
    for (server, cause) in servers {
        let verdict = gateways.send(&PushTarget::Webpush(receiver.subscription(&format!("{server}/1"))), "web", &wake()).await;
        let (found, reason) = verdict.failure().expect("a failure");
        assert_eq!(found, cause, "{server}: {verdict:?}");
        assert!(!reason.contains("localhost") && !reason.contains("invalid"), "{reason}");
        assert_eq!(reason == "BadJwtToken", server == own, "{reason}");
    }
}

#[tokio::test]
async fn a_proxy_of_a_kind_that_is_not_supported_is_an_error_only_of_an_app_that_needs_it() {
    let (folder, any) = (OperatorFolder::new(), H2GatewayStandIn::answering([]).await);
    let socks = |no_proxy: &str| OutboundProxy::new("socks5://user:planted@127.0.0.1:1080", no_proxy);
    let apple = |server: &str| {
        let app = ApnsConfig { server: Some(server.to_owned()), sandbox_server: Some(server.to_owned()), ..folder.apns("one", &any) };
        PushConfig { apns: vec![app], ..PushConfig::default() }
    };
    let open =
        |config: &PushConfig, no_proxy: &str| PushGateways::new(config, &socks(no_proxy)).map(drop).map_err(|error| error.to_string());
    assert_eq!(open(&PushConfig::default(), ""), Ok(()), "no app");
    assert_eq!(
        open(
            &PushConfig { webpush: vec![WebpushConfig { authority_file: None, ..folder.webpush("", false) }], ..PushConfig::default() },
            ""
        ),
        Ok(()),
        "never through a proxy"
    );
    let error = open(&apple("https://gateway.example"), "").expect_err("needs it");
    assert!(error.contains("gateway.example") && error.contains("HTTPS_PROXY") && !error.contains("planted"), "{error}");
    assert_eq!(open(&apple("https://gateway.example"), "gateway.example"), Ok(()));
    assert_eq!(open(&apple("http://127.0.0.1:1"), ""), Ok(()), "plain text to this machine");
}
