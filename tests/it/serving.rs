//! The server's commands `serve`, `dev` and `token`; TLS; health and metrics; the demo page.

use std::process::Stdio;
use std::sync::Arc;

use driftless_client::{Connection, Settings, TlsTrust, TokenSource};
use driftless_protocol::{ClientMessage, CloseCode, DeviceId, ServerMessage};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{OperatorClient, TestDevice, TestPool, TestServer, change, driftless, name, token, wait_for};

async fn failed_command(arguments: &[&str]) -> String {
    let output = wait_for("the command's end", driftless().args(arguments).output()).await.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn serve_refuses_development_credentials_and_unknown_settings() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("driftless.toml");
    let config = file.to_str().unwrap();
    let issuer = format!("[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = {:?}\n", driftless::auth::DEVELOPMENT_SECRET);
    std::fs::write(&file, &issuer).unwrap();
    assert!(failed_command(&["serve", "--config", config]).await.contains("development secret"));
    let error = failed_command(&["serve", "--config", config, "--admin-key", driftless::admin::DEVELOPMENT_KEY]).await;
    assert!(error.contains("development key"), "{error}");
    let error = failed_command(&["serve", "--config", config, "--admin-key", "planted-but-short"]).await;
    assert!(error.contains("admin.key") && error.contains("32") && !error.contains("planted"), "{error}");
    std::fs::write(&file, "lissten = \"127.0.0.1:1\"\n").unwrap();
    let error = failed_command(&["serve", "--config", config]).await;
    assert!(error.contains("unknown key lissten") && error.contains("listen"), "{error}");
    assert!(failed_command(&["serve"]).await.contains("--config"));
    assert!(failed_command(&["serve", "--config", "/nowhere/driftless.toml"]).await.contains("/nowhere/driftless.toml"));
}

#[tokio::test]
async fn a_production_server_accepts_the_tokens_of_its_issuer_only() {
    let folder = TempDir::new().unwrap();
    let (file, data) = (folder.path().join("driftless.toml"), folder.path().join("data"));
    let secret = "a secret that only this test and its issuer know";
    std::fs::write(&file, format!("[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = {secret:?}\n")).unwrap();
    let config = file.to_str().unwrap();
    let mut serving = driftless()
        .args(["serve", "--config", config, "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines();
    let (address, admin) = wait_for("the addresses", async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the server runs");
            if let Some((_, rest)) = line.split_once("address=") {
                let (address, rest) = rest.split_once(" admin=").unwrap();
                return (address.to_owned(), rest.split(' ').next().unwrap().to_owned());
            }
        }
    })
    .await;
    let minted = driftless().args(["token", "--config", config, "--pool", "app", "--subject", "ann"]).output().await.unwrap();
    let minted = String::from_utf8(minted.stdout).unwrap();
    assert_eq!(minted.lines().count(), 1, "the token is the only output");
    let url = format!("http://{address}");
    TestDevice::connect(&url, minted.trim(), "phone").await.put("d", "k", "1").await;
    // Neither its pool nor its secret is that of `dev`.
    assert_eq!(TestDevice::connect_refused(&url, &token("ann"), "phone").await.code(), Some(CloseCode::TokenRefused));
    assert!(failed_command(&["token", "--pool", "app", "--subject", "ann"]).await.contains("--config"));
    // No operator key is configured, so the admin API is off.
    for key in ["", driftless::admin::DEVELOPMENT_KEY] {
        let reply = OperatorClient::with_key(admin.parse().unwrap(), key).get("/identities?pool=app&subject=ann").await;
        assert!(reply.status == 404 && reply.text().contains("admin.key"), "{} {}", reply.status, reply.text());
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_or_port_is_refused() {
    let server = TestServer::start().await;
    let data = server.folder().join("store");
    let error = failed_command(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]).await;
    let holder = format!("process {} has it open since", std::process::id());
    assert!(error.contains("another process") && error.contains(&holder) && error.contains("--data"), "{error}");
    let folder = TempDir::new().unwrap();
    let address = server.address().to_string();
    let error = failed_command(&["dev", "--listen", &address, "--data", folder.path().to_str().unwrap()]).await;
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn a_server_with_a_certificate_speaks_only_tls() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let server = TestServer::with_pool(TestPool { server: tls.leak(), ..TestPool::default() }).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trusting = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let trusting = TlsTrust::Custom(Arc::new(trusting.with_root_certificates(roots).with_no_client_auth()));
    let url = format!("https://localhost:{}", server.address().port());
    let settings = |device: &str| Settings {
        tls: trusting.clone(),
        ..Settings::new(&url, DeviceId::new(device).unwrap(), TokenSource::fixed("")).unwrap()
    };
    let (phone, laptop) = (settings("phone"), settings("laptop"));
    let (mut phone, _) = wait_for("a welcome", Connection::connect(&phone, token("alice"))).await.unwrap();
    let (mut laptop, _) = wait_for("a welcome", Connection::connect(&laptop, token("alice"))).await.unwrap();
    laptop.send(&ClientMessage::Open { dataset: name("d"), position: None }).await.unwrap();
    assert!(matches!(wait_for("the open", laptop.recv()).await, Ok(ServerMessage::Changes { .. })));
    let large = format!("put k \"{}\"", "x".repeat(500_000));
    phone.send(&ClientMessage::Write { id: 1, dataset: name("d"), changes: vec![change(&large)], offer: false }).await.unwrap();
    let Ok(ServerMessage::Changes { records, .. }) = wait_for("the change", laptop.recv()).await else { panic!("no change") };
    assert_eq!(records[0].content.value(), change(&large).value.as_ref());

    // An operator command that trusts the certificate is answered over TLS.
    let asked = ["identities", "--subject", "alice", "--url", &url];
    let found = wait_for("an answer", driftless().args(asked).env("SSL_CERT_FILE", &certificate).output()).await.unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let untrusted = wait_for("a refusal", driftless().args(asked).output()).await.unwrap();
    assert_eq!(untrusted.status.code(), Some(5), "{untrusted:?}");

    // A client that does not trust the certificate, and one that speaks plain HTTP, cannot connect.
    let strict = Settings::new(&url, DeviceId::new("phone").unwrap(), TokenSource::fixed("")).unwrap();
    assert!(wait_for("a refusal", Connection::connect(&strict, token("alice"))).await.is_err());
    assert_eq!(server.http("alice", "phone").get("/health/live").await.status, 0);
}

#[tokio::test]
async fn an_unusable_certificate_is_refused_with_its_file_name() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "no pem").unwrap();
    let (data, broken) = (data.to_str().unwrap(), broken.to_str().unwrap());
    let error = failed_command(&["dev", "--listen", "127.0.0.1:0", "--data", data, "--tls-certificate", broken, "--tls-key", broken]).await;
    assert!(error.contains("broken.pem"), "{error}");
    assert!(failed_command(&["dev", "--data", data, "--tls-key", broken]).await.contains("tls.key is set without tls.certificate"));
}

#[tokio::test]
async fn health_and_metrics_report_what_happened() {
    let mut server = TestServer::start().await;
    let http = server.http("alice", "watch");
    assert_eq!((http.get("/health/live").await.status, http.get("/health/ready").await.status), (200, 200));
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    laptop.open("d").await;
    phone.put("d", "k", "1").await;
    laptop.receive_changes().await;
    phone.send_patch("d", &[change("add k \"x\"")]).await;
    phone.receive_refusal().await;
    for (metric, at_least) in [
        ("driftless_session_open", 2.0),
        ("driftless_session_handshakes_total{outcome=\"welcome\"}", 2.0),
        ("driftless_sync_writes_total{outcome=\"written\"}", 1.0),
        ("driftless_sync_writes_total{outcome=\"wrong_type\"}", 1.0),
        ("driftless_session_pages_total{outcome=\"ring\"}", 1.0),
        ("driftless_session_pages_total{outcome=\"store\"}", 1.0),
        ("driftless_session_refusals_total{outcome=\"wrong_type\"}", 1.0),
        ("driftless_committer_groups_total", 2.0),
        ("driftless_committer_commit_seconds_count", 2.0),
        ("driftless_store_disk_bytes", 1.0),
        ("driftless_server_tasks", 3.0),
    ] {
        let value = server.metric(metric).await;
        assert!(value >= at_least, "{metric} is {value}");
    }
    assert_eq!(http.get("/nowhere").await.status, 404);
    assert_eq!(http.post("/v1/datasets", "").await.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn the_demo_page_is_served_with_a_strict_content_security_policy() {
    let server = TestServer::start().await;
    let http = server.http("nobody", "browser");
    let page = http.get("/demo/").await;
    assert!(page.status == 200 && page.head.contains("default-src 'self'"), "{}", page.head);
    assert!(http.get("/demo/token").await.json()["token"].as_str().is_some_and(|token| token.split('.').count() == 3));
    assert_eq!(http.get("/").await.status, 307);
    assert_eq!(http.get("/demo/../src/main.rs").await.status, 404);
}

/// A token signed with an Ed25519 key, as an issuer would sign it.
fn signed(key: &jsonwebtoken::EncodingKey, kid: &str, subject: &str) -> String {
    let header = jsonwebtoken::Header { kid: Some(kid.to_owned()), ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA) };
    let expires_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = serde_json::json!({ "iss": "https://accounts.test", "aud": "app", "sub": subject, "exp": expires_s });
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

#[tokio::test]
async fn tokens_of_an_issuer_with_a_key_file_are_accepted_and_pools_are_isolated() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let pem = folder.path().join("issuer.pem");
    std::fs::write(&pem, made.public_key_pem()).unwrap();
    let pool = format!("\n[[pools.app.issuers]]\nissuer = \"https://accounts.test\"\naudience = [\"app\"]\nkeys_file = {pem:?}\n");
    let server = TestServer::with_pool(TestPool { pool: pool.leak(), ..TestPool::default() }).await;
    let key = jsonwebtoken::EncodingKey::from_ed_der(&made.serialize_der());
    let mut ann = TestDevice::connect(&server.url(), &signed(&key, "any", "alice"), "phone").await;
    // The same subject of another issuer in another pool is another identity.
    let mut alice = server.device("alice", "phone").await;
    assert_ne!(ann.welcome.identity, alice.welcome.identity);
    ann.put("d", "k", "1").await;
    assert!(alice.open("d").await.0.is_empty());
    let foreign = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let foreign = jsonwebtoken::EncodingKey::from_ed_der(&foreign.serialize_der());
    let refused = TestDevice::connect_refused(&server.url(), &signed(&foreign, "any", "alice"), "phone").await;
    assert_eq!(refused.code(), Some(CloseCode::TokenRefused));
}

#[tokio::test]
async fn the_commands_that_dev_prints_work_as_printed() {
    let folder = TempDir::new().unwrap();
    let mut dev = driftless()
        .args(["dev", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    while !printed.last().is_some_and(|line: &String| line.contains("Ctrl-C")) {
        printed.push(wait_for("the banner", lines.next_line()).await.unwrap().expect("the server runs"));
    }
    let commands: Vec<_> = printed.iter().filter_map(|line| line.trim().strip_prefix("cargo run -- ")).collect();
    assert!(
        commands.len() == 5
            && commands[0].starts_with("client watch settings")
            && commands[1].starts_with("client put settings")
            && commands[2].starts_with("history settings")
            && commands[3].starts_with("backup demo.backup")
            && commands[4].starts_with("devices"),
        "{printed:?}"
    );
    let url = printed.iter().find_map(|line| Some(line[line.find("http://")?..].trim_end_matches("/demo/").to_owned())).unwrap();
    for command in &commands[1..] {
        let output = wait_for(command, driftless().args(command.split(' ')).current_dir(folder.path()).output()).await.unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(folder.path().join("demo.backup").exists());
    assert!(printed.iter().any(|line| line.trim() == driftless::admin::DEVELOPMENT_KEY), "{printed:?}");
    for device in ["laptop", "phone"] {
        let token = printed
            .iter()
            .find_map(|line| {
                line.trim().strip_prefix(device)?.trim().starts_with("ey").then(|| line.trim()[device.len()..].trim().to_owned())
            })
            .unwrap();
        let (records, _) = TestDevice::connect(&url, &token, device).await.open("settings").await;
        assert_eq!(records[0].key.as_str(), "theme");
    }
}
