use driftless_standin::{ScriptedResponse, StandInGateway};

use crate::support::operator::{operator_command, operator_output};
use crate::support::push::{apns, register_phone, start_server};
use crate::support::wait_for;

#[tokio::test]
async fn an_operator_sees_why_a_device_was_not_woken() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let token = register_phone(&server, apns(&gateway)).await;
    let mut laptop = server.device("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    laptop.put("settings", "n", "2").await;
    let url = server.url();
    let log = wait_for("the budget", async {
        loop {
            let log = operator_output(&url, &["push", "log", "--device", "phone", "--subject", "alice"]).await;
            if log.contains("not sent") && log.contains("budget") {
                return log;
            }
        }
    })
    .await;
    assert!(log.contains("accepted") && log.contains("settings version 1") && log.contains("now: waiting: budget"), "{log}");
    assert!(!log.contains(&token), "a token is a secret");
    let devices = operator_output(&url, &["devices", "--subject", "alice"]).await;
    assert!(
        devices.contains("phone") && devices.contains("apns") && devices.contains("laptop") && devices.contains("no push"),
        "{devices}"
    );
    assert!(!devices.contains(&token));
}

#[tokio::test]
async fn an_operator_sends_a_test_wake_and_sees_the_gateways_answer() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let token = register_phone(&server, apns(&gateway)).await;
    let url = server.url();
    let test = ["push", "test", "--device", "phone", "--subject", "alice"];
    let printed = operator_output(&url, &test).await;
    assert!(printed.contains("apns") && printed.contains("accepted"), "{printed}");
    assert_eq!(gateway.pushes_to(&token).len(), 1);
    gateway.script(&token, [ScriptedResponse::apns(429, "TooManyRequests")]);
    let failed = operator_command(&url, &test).await;
    let why = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && why.contains("TooManyRequests"), "{why}");
    let nobody = operator_command(&url, &["push", "test", "--device", "laptop", "--subject", "alice"]).await;
    let why = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && why.contains("has not registered"), "{why}");
    assert!(operator_output(&url, &["push", "status"]).await.contains("no app is stopped"));
    assert!(operator_output(&url, &["push", "resume"]).await.contains("no app was stopped"));
    operator_output(&url, &["revoke-device", "--device", "phone", "--subject", "alice"]).await;
    assert!(operator_output(&url, &["devices", "--subject", "alice"]).await.contains("revoked"));
    operator_output(&url, &["allow-device", "--device", "phone", "--subject", "alice"]).await;
}
