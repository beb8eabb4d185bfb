//! Tokens of issuers: what a rejected one tells its sender and the operator.

use tempfile::TempDir;

use crate::support::{DeviceHttp, DriftlessProcess, TestDevice, TestPool, TestServer, token, token_for};

#[tokio::test]
async fn a_rejected_token_is_counted_once_by_its_reason() {
    let server = TestServer::start().await;
    let expired = token_for("alice", -3600);
    for rejected in [expired.as_str(), "no.token.atall"] {
        assert!(TestDevice::connect_refused(&server.url(), rejected, "phone").await.code().is_some());
    }
    assert_eq!(DeviceHttp::new(server.address(), &expired, "phone").get("/v1/datasets").await.status, 401);
    for (metric, count) in [
        ("driftless_session_handshakes_total{outcome=\"token_expired\"}", 1.0),
        ("driftless_session_handshakes_total{outcome=\"token_malformed\"}", 1.0),
        ("driftless_session_handshakes_total{outcome=\"token_refused\"}", 0.0),
        ("driftless_auth_tokens_rejected_total{outcome=\"token_expired\"}", 2.0),
        ("driftless_auth_tokens_rejected_total{outcome=\"token_malformed\"}", 1.0),
    ] {
        assert_eq!(server.metric(metric).await, count, "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_says_why_a_token_was_rejected_and_has_nothing_else_of_it() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let expired = token_for("planted-subject", -3600);
    assert!(TestDevice::connect_refused(&server.url, &expired, "phone").await.code().is_some());
    let of_another =
        driftless::dev::mint_for("a secret that only this test and its issuer know", "https://other\u{1b}[31m", "app", "s", 60);
    assert!(TestDevice::connect_refused(&server.url, &of_another.unwrap(), "phone").await.code().is_some());
    assert!(TestDevice::connect_refused(&server.url, &token("x").replace('.', "x"), "phone").await.code().is_some());
    let log = server.terminate().await;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("token rejected")).collect();
    let [expired_line, other_line, _] = lines[..] else { panic!("{log}") };
    for part in [driftless::dev::ISSUER, driftless::dev::AUDIENCE, "token_expired", "the token has expired", "INFO"] {
        assert!(expired_line.contains(part), "{part}: {expired_line}");
    }
    assert!(other_line.contains("unknown_issuer") && other_line.contains(r"https://other\u{1b}[31m"), "{other_line}");
    assert!(!log.contains("planted-subject") && expired.split('.').all(|part| !log.contains(part)), "{log}");
}

#[tokio::test]
async fn an_issuer_whose_keys_cannot_be_had_is_named_by_readiness_and_the_others_go_on() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = format!("[[pools.other.issuers]]\nissuer = \"http://{nobody}/realm\"\naudience = [\"app\"]\n");
    let server = TestServer::with_pool(TestPool { pool: down.leak(), ..TestPool::default() }).await;
    let ready = server.http("nobody", "probe").get("/health/ready").await;
    assert_eq!(ready.status, 200, "one issuer of several must not take the server out of rotation");
    let json = ready.json();
    let named = &json["issuers_without_keys"][0];
    assert_eq!((named["pool"].as_str(), named["issuer"].as_str()), (Some("other"), Some(&*format!("http://{nobody}/realm"))), "{json}");
    assert!(named["reason"].is_string(), "{json}");
    server.device("alice", "phone").await;
}
