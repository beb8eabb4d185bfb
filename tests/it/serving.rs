//! The commands of an operator: `serve`, `config`, `token`; TLS; health and metrics.

use std::process::Stdio;
use std::sync::Arc;

use driftless_client::{Connection, Settings, TlsTrust, TokenSource};
use driftless_protocol::{ClientMessage, CloseCode, DeviceId, ServerMessage};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Operator, Phone, Server, TestPool, change, driftless, name, soon, token};

async fn fails(arguments: &[&str]) -> String {
    let output = soon("an end", driftless().args(arguments).output()).await.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn serve_refuses_a_development_secret_and_what_it_does_not_know() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("driftless.toml");
    let config = file.to_str().unwrap();
    let issuer = format!("[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = {:?}\n", driftless::auth::DEVELOPMENT_SECRET);
    std::fs::write(&file, &issuer).unwrap();
    assert!(fails(&["serve", "--config", config]).await.contains("development secret"));
    let said = fails(&["serve", "--config", config, "--admin-key", driftless::admin::DEVELOPMENT_KEY]).await;
    assert!(said.contains("development key"), "{said}");
    let said = fails(&["serve", "--config", config, "--admin-key", "planted-but-short"]).await;
    assert!(said.contains("admin.key") && said.contains("32") && !said.contains("planted"), "{said}");
    std::fs::write(&file, "lissten = \"127.0.0.1:1\"\n").unwrap();
    let said = fails(&["serve", "--config", config]).await;
    assert!(said.contains("unknown key lissten") && said.contains("listen"), "{said}");
    assert!(fails(&["serve"]).await.contains("--config"));
    assert!(fails(&["serve", "--config", "/nowhere/driftless.toml"]).await.contains("/nowhere/driftless.toml"));
}

#[tokio::test]
async fn a_production_server_believes_its_issuer() {
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
    let address = soon("the address", async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it serves");
            if let Some((_, rest)) = line.split_once("address=") {
                return rest.split(' ').next().unwrap().to_owned();
            }
        }
    })
    .await;
    let minted = driftless().args(["token", "--config", config, "--pool", "app", "--subject", "ann"]).output().await.unwrap();
    let minted = String::from_utf8(minted.stdout).unwrap();
    assert_eq!(minted.lines().count(), 1, "a token and nothing else");
    let url = format!("http://{address}");
    Phone::welcomed(&url, minted.trim(), "phone").await.put("d", "k", "1").await;
    // Its pool is not the one of `dev`, and its secret is not either.
    assert_eq!(Phone::refused(&url, &token("ann"), "phone").await.code(), Some(CloseCode::TokenRefused));
    assert!(fails(&["token", "--pool", "app", "--subject", "ann"]).await.contains("--config"));
    // No operator key is configured, so nobody is an operator.
    for key in ["", driftless::admin::DEVELOPMENT_KEY] {
        let reply = Operator::with(address.parse().unwrap(), key).get("/identities?pool=app&subject=ann").await;
        assert!(reply.status == 404 && reply.text().contains("admin.key"), "{} {}", reply.status, reply.text());
    }
}

#[tokio::test]
async fn two_servers_do_not_share_a_folder_nor_a_port() {
    let server = Server::start().await;
    let data = server.folder().join("store");
    let said = fails(&["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]).await;
    let holder = format!("process {} has it open since", std::process::id());
    assert!(said.contains("another process") && said.contains(&holder) && said.contains("--data"), "{said}");
    let folder = TempDir::new().unwrap();
    let address = server.address().to_string();
    let said = fails(&["dev", "--listen", &address, "--data", folder.path().to_str().unwrap()]).await;
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[tokio::test]
async fn with_a_certificate_everything_is_encrypted() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let server = Server::with(TestPool { server: tls.leak(), ..TestPool::default() }).await;

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
    let (mut phone, _) = soon("a welcome", Connection::connect(&phone, token("alice"))).await.unwrap();
    let (mut laptop, _) = soon("a welcome", Connection::connect(&laptop, token("alice"))).await.unwrap();
    laptop.send(&ClientMessage::Open { dataset: name("d"), position: None }).await.unwrap();
    assert!(matches!(soon("the open", laptop.recv()).await, Ok(ServerMessage::Changes { .. })));
    let large = format!("put k \"{}\"", "x".repeat(500_000));
    phone.send(&ClientMessage::Write { id: 1, dataset: name("d"), changes: vec![change(&large)], offer: false }).await.unwrap();
    let Ok(ServerMessage::Changes { records, .. }) = soon("the change", laptop.recv()).await else { panic!("no change") };
    assert_eq!(records[0].content.value(), change(&large).value.as_ref());

    // An operator who trusts it gets an answer, in secret too.
    let asked = ["identities", "--subject", "alice", "--url", &url];
    let found = soon("an answer", driftless().args(asked).env("SSL_CERT_FILE", &certificate).output()).await.unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let untrusted = soon("a refusal", driftless().args(asked).output()).await.unwrap();
    assert_eq!(untrusted.status.code(), Some(5), "{untrusted:?}");

    // Whoever does not trust the certificate, or speaks in the clear, does not come in.
    let strict = Settings::new(&url, DeviceId::new("phone").unwrap(), TokenSource::fixed("")).unwrap();
    assert!(soon("a refusal", Connection::connect(&strict, token("alice"))).await.is_err());
    assert_eq!(server.http("alice", "phone").get("/health/live").await.status, 0);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "no pem").unwrap();
    let (data, broken) = (data.to_str().unwrap(), broken.to_str().unwrap());
    let said = fails(&["dev", "--listen", "127.0.0.1:0", "--data", data, "--tls-certificate", broken, "--tls-key", broken]).await;
    assert!(said.contains("broken.pem"), "{said}");
    assert!(fails(&["dev", "--data", data, "--tls-key", broken]).await.contains("tls.certificate and tls.key"));
}

#[tokio::test]
async fn health_and_metrics_tell_what_happens() {
    let mut server = Server::start().await;
    let http = server.http("alice", "watch");
    assert_eq!((http.get("/health/live").await.status, http.get("/health/ready").await.status), (200, 200));
    let (mut phone, mut laptop) = (server.phone("alice", "phone").await, server.phone("alice", "laptop").await);
    laptop.open("d").await;
    phone.put("d", "k", "1").await;
    laptop.changes().await;
    phone.send("d", &[change("add k \"x\"")]).await;
    phone.refusal().await;
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
async fn the_demo_page_is_served_with_a_strict_policy() {
    let server = Server::start().await;
    let http = server.http("nobody", "browser");
    let page = http.get("/demo/").await;
    assert!(page.status == 200 && page.head.contains("default-src 'self'"), "{}", page.head);
    assert!(http.get("/demo/token").await.json()["token"].as_str().is_some_and(|token| token.split('.').count() == 3));
    assert_eq!(http.get("/").await.status, 307);
    assert_eq!(http.get("/demo/../src/main.rs").await.status, 404);
}

/// A token signed with an Ed25519 key, as an issuer's own server would make it.
fn signed(key: &jsonwebtoken::EncodingKey, kid: &str, subject: &str) -> String {
    let header = jsonwebtoken::Header { kid: Some(kid.to_owned()), ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA) };
    let expires_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let claims = serde_json::json!({ "iss": "https://accounts.test", "aud": "app", "sub": subject, "exp": expires_s });
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

#[tokio::test]
async fn an_issuer_with_a_key_file_is_believed_and_the_pools_stay_apart() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let pem = folder.path().join("issuer.pem");
    std::fs::write(&pem, made.public_key_pem()).unwrap();
    let pool = format!("\n[[pools.app.issuers]]\nissuer = \"https://accounts.test\"\naudience = [\"app\"]\nkeys_file = {pem:?}\n");
    let server = Server::with(TestPool { pool: pool.leak(), ..TestPool::default() }).await;
    let key = jsonwebtoken::EncodingKey::from_ed_der(&made.serialize_der());
    let mut ann = Phone::welcomed(&server.url(), &signed(&key, "any", "alice"), "phone").await;
    // The same subject of another issuer and pool is somebody else.
    let mut alice = server.phone("alice", "phone").await;
    assert_ne!(ann.welcome.identity, alice.welcome.identity);
    ann.put("d", "k", "1").await;
    assert!(alice.open("d").await.0.is_empty());
    let foreign = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let foreign = jsonwebtoken::EncodingKey::from_ed_der(&foreign.serialize_der());
    let refused = Phone::refused(&server.url(), &signed(&foreign, "any", "alice"), "phone").await;
    assert_eq!(refused.code(), Some(CloseCode::TokenRefused));
}

#[tokio::test]
async fn what_dev_prints_can_be_pasted() {
    let folder = TempDir::new().unwrap();
    let mut dev = driftless()
        .args(["dev", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.contains("Ctrl-C")) {
        said.push(soon("the banner", lines.next_line()).await.unwrap().expect("it serves"));
    }
    let commands: Vec<_> = said.iter().filter_map(|line| line.trim().strip_prefix("cargo run --release -- ")).collect();
    assert!(
        commands.len() == 5
            && commands[0].starts_with("client watch settings")
            && commands[1].starts_with("client put settings")
            && commands[2].starts_with("history settings")
            && commands[3].starts_with("backup demo.backup")
            && commands[4].starts_with("devices"),
        "{said:?}"
    );
    let url = said.iter().find_map(|line| Some(line[line.find("http://")?..].trim_end_matches("/demo/").to_owned())).unwrap();
    for command in &commands[1..] {
        let output = soon(command, driftless().args(command.split(' ')).current_dir(folder.path()).output()).await.unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(folder.path().join("demo.backup").exists());
    assert!(said.iter().any(|line| line.trim() == driftless::admin::DEVELOPMENT_KEY), "{said:?}");
    for device in ["laptop", "phone"] {
        let token = said
            .iter()
            .find_map(|line| {
                line.trim().strip_prefix(device)?.trim().starts_with("ey").then(|| line.trim()[device.len()..].trim().to_owned())
            })
            .unwrap();
        let (records, _) = Phone::welcomed(&url, &token, device).await.open("settings").await;
        assert_eq!(records[0].key.as_str(), "theme");
    }
}
