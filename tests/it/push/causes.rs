//! The operator who asks, and the log, are told why a wake failed.

use driftless_protocol::PushTarget;
use driftless_standin::StandInGateway;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::killed::{token, write_config_with};
use crate::support::operator::operator_command;
use crate::support::push::{APP, apns, fcm, pool, register_offline, registration, start_server, start_server_replacing, webpush};
use crate::support::{DriftlessProcess, TestDevice, TestServer, wait_for};

/// What `driftless push test` prints about a wake that fails.
async fn test_failure(server: &TestServer, device: &str) -> String {
    let output = operator_command(&server.url(), &["push", "test", "--device", device, "--subject", "alice"]).await;
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_test_wake_says_why_the_gateway_was_not_reached() {
    let gateway = StandInGateway::start().await.unwrap();
    let server_setting = format!("server = {:?}", gateway.url());
    let authority = format!("authority_file = {:?}\n", gateway.credentials().authority.to_str().unwrap());
    let closed = format!("https://localhost:{}", closed_port().await);
    let cases = [
        (server_setting.clone(), format!("server = {closed:?}"), format!("connection refused ({}", closed.trim_start_matches("https://"))),
        (server_setting, "server = \"https://x.invalid\"".to_owned(), "name not found (x.invalid".to_owned()),
        (authority, String::new(), "certificate not trusted (".to_owned()),
    ];
    for (setting, instead, why) in cases {
        let server = start_server_replacing(&gateway, &setting, &instead).await;
        register_offline(&server, "alice", "phone", apns(&gateway)).await;
        register_offline(&server, "alice", "android", fcm(&gateway)).await;
        for device in ["phone", "android"] {
            let printed = test_failure(&server, device).await;
            assert!(printed.contains(": later, ") && printed.contains(&why), "{device}: {printed}");
        }
        let log = server.operator().get(&format!("/identities/{}/devices/phone/push", server.operator().identity("alice").await)).await;
        let log = log.json();
        assert!(log["log"].as_array().unwrap().iter().any(|entry| entry["detail"].as_str().unwrap().contains(&why)), "{log}");
    }
}

#[tokio::test]
async fn a_test_wake_says_what_the_gateway_or_the_push_service_refuses() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let PushTarget::Webpush(known) = webpush(&gateway) else { panic!("webpush") };
    let closed = PushTarget::Webpush(driftless_protocol::WebPushSubscription {
        endpoint: format!("https://localhost:{}/push/1", closed_port().await),
        ..known.clone()
    });
    register_offline(&server, "alice", "browser", closed).await;
    assert!(test_failure(&server, "browser").await.contains("webpush com.example.app: later, connection refused, in"));
    let target = PushTarget::Webpush(known);
    gateway.unregister(target.address().rsplit('/').next().unwrap());
    register_offline(&server, "alice", "browser", target).await;
    assert!(test_failure(&server, "browser").await.contains("dead, token dead: status_410"));
    let phone = apns(&gateway);
    let refused = driftless_standin::ScriptedResponse::apns(403, "InvalidProviderToken");
    gateway.script(phone.address(), [refused, driftless_standin::ScriptedResponse::apns(413, "PayloadTooLarge").always()]);
    register_offline(&server, "alice", "phone", phone).await;
    assert!(test_failure(&server, "phone").await.contains("refused, credential refused: InvalidProviderToken"));
    assert!(test_failure(&server, "phone").await.contains("refused, payload too large: PayloadTooLarge"));
    let operator = server.operator();
    let path = format!("/identities/{}/devices/phone/push/test", operator.identity("alice").await);
    let answer = operator.post(&path, "{}").await.json();
    assert_eq!((&answer["outcome"], &answer["cause"]), (&json!("refused"), &json!("payload_too_large")));
}

#[tokio::test]
async fn the_log_says_why_wakes_fail_and_names_no_token_and_no_endpoint() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = TempDir::new().unwrap();
    let closed = closed_port().await;
    let settings = pool(&gateway, "", "grace_ms = 100");
    let settings = settings.replace(&format!("server = {:?}", gateway.url()), &format!("server = \"https://localhost:{closed}\""));
    let mut server = DriftlessProcess::serve(&write_config_with(folder.path(), &settings)).await;
    let PushTarget::Webpush(known) = webpush(&gateway) else { panic!("webpush") };
    let endpoint = "https://planted-service.invalid/planted-endpoint".to_owned();
    let targets = [
        ("phone", apns(&gateway)),
        ("android", fcm(&gateway)),
        ("browser", PushTarget::Webpush(driftless_protocol::WebPushSubscription { endpoint, ..known })),
    ];
    for (device, target) in &targets {
        TestDevice::connect(&server.url, &token("alice"), device).await.register(registration(target.clone())).await;
    }
    TestDevice::connect(&server.url, &token("alice"), "laptop").await.put("settings", "n", "1").await;
    let wanted = [("\"apns\"", "connection_refused"), ("\"fcm\"", "connection_refused"), ("\"webpush\"", "name_not_found")];
    let mut missing = wanted.to_vec();
    while !missing.is_empty() {
        let line = wait_for("a line of the log", server.log_line()).await;
        for (_, target) in &targets {
            assert!(!line.contains(target.address()) && !line.contains("planted"), "{line}");
        }
        missing.retain(|(provider, cause)| !(line.contains(provider) && line.contains(cause) && line.contains(APP)));
    }
}
