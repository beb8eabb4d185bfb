use driftless_standin::{ScriptedResponse, StandInGateway};

use crate::support::operator::{command, commanded};
use crate::support::push::{apns, asleep, server};
use crate::support::soon;

#[tokio::test]
async fn an_operator_sees_why_a_phone_did_not_wake() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let target = apns(&gateway);
    let token = target.address().to_owned();
    asleep(&server, "alice", "phone", target).await;
    let mut laptop = server.phone("alice", "laptop").await;
    laptop.put("settings", "n", "1").await;
    soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
    laptop.put("settings", "n", "2").await;
    let url = server.url();
    let log = soon("the budget", async {
        loop {
            let log = commanded(&url, &["push", "log", "--device", "phone", "--subject", "alice"]).await;
            if log.contains("not sent") && log.contains("budget") {
                return log;
            }
        }
    })
    .await;
    assert!(log.contains("accepted") && log.contains("settings version 1") && log.contains("now: waits: budget"), "{log}");
    assert!(!log.contains(&token), "a token is a secret");
    let devices = commanded(&url, &["devices", "--subject", "alice"]).await;
    assert!(
        devices.contains("phone") && devices.contains("apns") && devices.contains("laptop") && devices.contains("no push"),
        "{devices}"
    );
    assert!(!devices.contains(&token));
}

#[tokio::test]
async fn an_operator_wakes_a_phone_and_is_told_what_the_gateway_said() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let target = apns(&gateway);
    let token = target.address().to_owned();
    asleep(&server, "alice", "phone", target).await;
    let url = server.url();
    let test = ["push", "test", "--device", "phone", "--subject", "alice"];
    let said = commanded(&url, &test).await;
    assert!(said.contains("apns") && said.contains("accepted"), "{said}");
    assert_eq!(gateway.pushes_to(&token).len(), 1);
    gateway.script(&token, [ScriptedResponse::apns(429, "TooManyRequests")]);
    let failed = command(&url, &test).await;
    let why = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && why.contains("TooManyRequests"), "{why}");
    let nobody = command(&url, &["push", "test", "--device", "laptop", "--subject", "alice"]).await;
    let why = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && why.contains("has not registered"), "{why}");
    assert!(commanded(&url, &["push", "status"]).await.contains("no app is stopped"));
    assert!(commanded(&url, &["push", "resume"]).await.contains("no app was stopped"));
    commanded(&url, &["revoke-device", "--device", "phone", "--subject", "alice"]).await;
    assert!(commanded(&url, &["devices", "--subject", "alice"]).await.contains("revoked"));
    commanded(&url, &["allow-device", "--device", "phone", "--subject", "alice"]).await;
}
