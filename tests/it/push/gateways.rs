use std::time::Duration;

use driftless_protocol::PushTarget;
use driftless_standin::{ConnectionFault, ScriptedResponse, StandInGateway};
use serde_json::{Value, json};

use crate::support::operator::operator_output;
use crate::support::push::{APP, apns, fcm, pool_with_key, register_offline, start_server, start_server_replacing, webpush};
use crate::support::{TestServer, wait_for};

/// A device's registration and the newest entries of its delivery log.
async fn delivery_log(server: &TestServer, person: &str, device: &str) -> Value {
    let operator = server.operator();
    let identity = operator.identity(person).await;
    operator.get(&format!("/identities/{identity}/devices/{device}/push")).await.json()
}

/// Waits for an entry with this outcome in a device's delivery log, and returns its detail.
async fn wait_for_outcome(server: &TestServer, person: &str, device: &str, outcome: &str) -> String {
    wait_for(outcome, async {
        loop {
            let found = delivery_log(server, person, device).await;
            let entry = found["log"].as_array().unwrap().iter().find(|entry| entry["outcome"] == outcome).cloned();
            if let Some(entry) = entry {
                return entry["detail"].as_str().unwrap().to_owned();
            }
        }
    })
    .await
}

async fn write_from_laptop(server: &TestServer, person: &str) {
    server.device(person, "laptop").await.put("settings", "n", "1").await;
}

#[tokio::test]
async fn a_token_that_the_gateway_reports_dead_is_marked_dead_and_shown() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let targets = [apns(&gateway), fcm(&gateway), webpush(&gateway)];
    for (at, target) in targets.into_iter().enumerate() {
        let (person, token) = (format!("person-{at}"), target.address().to_owned());
        register_offline(&server, &person, "phone", target).await;
        gateway.unregister(&token);
        write_from_laptop(&server, &person).await;
        wait_for_outcome(&server, &person, "phone", "dead").await;
        let found = delivery_log(&server, &person, "phone").await;
        assert!(found["device"]["push"]["dead"]["reason"].is_string(), "{found}");
        let reason = found["device"]["wake"]["reason"].as_str().unwrap();
        assert!(found["device"]["wake"]["state"] == "not woken" && reason.starts_with("no token"), "{found}");
    }
}

#[tokio::test]
async fn an_apns_token_of_the_other_environment_is_switched_to_it() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let PushTarget::Apns(token) = apns(&gateway) else { panic!("apns") };
    register_offline(&server, "alice", "phone", PushTarget::ApnsSandbox(token.clone())).await;
    write_from_laptop(&server, "alice").await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    wait_for_outcome(&server, "alice", "phone", "accepted").await;
    assert_eq!(delivery_log(&server, "alice", "phone").await["device"]["push"]["provider"], "apns");
    let unknown = "00".repeat(32);
    register_offline(&server, "bob", "phone", PushTarget::Apns(unknown)).await;
    write_from_laptop(&server, "bob").await;
    assert_eq!(wait_for_outcome(&server, "bob", "phone", "dead").await, "BadDeviceToken");
}

#[tokio::test]
async fn a_refused_topic_stops_the_app_without_marking_tokens_dead_until_an_operator_resumes_it() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (target, other) = (apns(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", target).await;
    register_offline(&server, "alice", "android", other).await;
    gateway.script(&tokens[0], [ScriptedResponse::apns(400, "TopicDisallowed")]);
    write_from_laptop(&server, "alice").await;
    assert_eq!(wait_for_outcome(&server, "alice", "phone", "refused").await, "TopicDisallowed");
    wait_for("the other app's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    let operator = server.operator();
    let stopped = operator.get("/push").await.json();
    assert_eq!((stopped["stopped"][0]["app"].as_str(), stopped["stopped"][0]["reason"].as_str()), (Some(APP), Some("TopicDisallowed")));
    wait_for("the metric of stopped apps", async {
        while server.metric("driftless_push_stopped_apps").await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let found = delivery_log(&server, "alice", "phone").await;
    assert!(found["device"]["push"]["dead"].is_null(), "{found}");
    assert_eq!(
        (found["device"]["wake"]["state"].as_str(), found["device"]["wake"]["reason"].as_str()),
        (Some("waiting"), Some("app stopped: TopicDisallowed"))
    );
    operator.post("/push/resume", "{}").await.json();
    assert_eq!(operator.get("/push").await.json()["stopped"], json!([]));
    register_offline(&server, "bob", "phone", apns(&gateway)).await;
    write_from_laptop(&server, "bob").await;
    wait_for_outcome(&server, "bob", "phone", "accepted").await;
}

#[tokio::test]
async fn a_push_key_is_rotated_without_a_restart() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    register_offline(&server, "carol", "phone", apns(&gateway)).await;
    write_from_laptop(&server, "carol").await;
    wait_for_outcome(&server, "carol", "phone", "accepted").await;
    let key = gateway.rotate_apns_key("ROTATED001").unwrap();
    register_offline(&server, "alice", "phone", apns(&gateway)).await;
    write_from_laptop(&server, "alice").await;
    assert_eq!(wait_for_outcome(&server, "alice", "phone", "refused").await, "InvalidProviderToken");
    let pool = Box::leak(pool_with_key(&gateway, "", "grace_ms = 100", (&key, "ROTATED001")).into_boxed_str());
    server.push_service().replace(server.config_with(pool).pool_push().unwrap());
    register_offline(&server, "bob", "phone", apns(&gateway)).await;
    write_from_laptop(&server, "bob").await;
    wait_for_outcome(&server, "bob", "phone", "accepted").await;
    assert_eq!(server.operator().get("/push").await.json()["stopped"], json!([]), "the stopped app was resumed");
}

#[tokio::test]
async fn an_unresponsive_gateway_delays_no_wakes_of_others() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (hangs, flows, garbage) = (fcm(&gateway), fcm(&gateway), apns(&gateway));
    let tokens = [&hangs, &flows, &garbage].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", hangs).await;
    register_offline(&server, "bob", "phone", flows).await;
    register_offline(&server, "carol", "phone", garbage).await;
    gateway.script(&tokens[0], [ScriptedResponse::Hang]);
    gateway.script(&tokens[2], [ScriptedResponse::garbage(400)]);
    for person in ["alice", "bob", "carol"] {
        write_from_laptop(&server, person).await;
    }
    wait_for("the wake of the other device", gateway.wait_for_pushes(&tokens[1], 1)).await;
    wait_for_outcome(&server, "alice", "phone", "later").await;
    let found = delivery_log(&server, "carol", "phone").await;
    assert!(found["device"]["push"]["dead"].is_null(), "an unreadable response marks no token dead: {found}");
}

#[tokio::test]
async fn wakes_are_retried_after_retry_after_and_after_an_outage() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (down, patient) = (apns(&gateway), fcm(&gateway));
    let tokens = [&down, &patient].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", down).await;
    register_offline(&server, "bob", "phone", patient).await;
    gateway.script(&tokens[1], [ScriptedResponse::retry_after(503, 1)]);
    write_from_laptop(&server, "bob").await;
    let later = wait_for_outcome(&server, "bob", "phone", "later").await;
    wait_for("the second attempt", gateway.wait_for_pushes(&tokens[1], 1)).await;
    gateway.inject_fault(ConnectionFault::RefuseConnections);
    gateway.inject_fault(ConnectionFault::CloseConnections);
    write_from_laptop(&server, "alice").await;
    wait_for_outcome(&server, "alice", "phone", "later").await;
    gateway.inject_fault(ConnectionFault::Resume);
    let pushed = wait_for("the wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    assert_eq!((pushed.len(), pushed[0].data()["version"].as_str()), (1, Some("1")), "{later}");
}

#[tokio::test]
async fn goaway_under_load_neither_loses_nor_duplicates_a_wake() {
    const PHONES: usize = 200;
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let mut tokens = Vec::new();
    for at in 0..PHONES {
        let target = apns(&gateway);
        tokens.push(target.address().to_owned());
        register_offline(&server, &format!("person-{at}"), "phone", target).await;
    }
    // The gateway allows few streams, and sends GOAWAY again and again while pushes are in flight that it has not processed.
    gateway.inject_fault(ConnectionFault::StreamLimit(8));
    for part in 0..10 {
        for at in 0..PHONES / 10 {
            if at == 10 {
                gateway.inject_fault(ConnectionFault::PauseRequests);
            }
            write_from_laptop(&server, &format!("person-{}", part * PHONES / 10 + at)).await;
        }
        let before = gateway.counts();
        wait_for("pushes in flight", async {
            while gateway.counts().requests == before.requests.min(gateway.counts().accepted) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gateway.inject_fault(ConnectionFault::GoAway);
        gateway.inject_fault(ConnectionFault::Resume);
    }
    for token in &tokens {
        let pushed = wait_for("a wake", gateway.wait_for_pushes(token, 1)).await;
        assert_eq!(pushed.len(), 1, "a duplicate wake");
    }
    assert!(gateway.counts().connections > 1, "the gateway closed no connection");
}

#[tokio::test]
async fn each_of_many_dead_tokens_is_tried_once() {
    // 25 users with 100 devices each, the limit of an identity.
    const PEOPLE: usize = 25;
    const DEVICES: usize = 100;
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let server = &server;
    let registering = (0..PEOPLE).map(|person| {
        let gateway = gateway.clone();
        async move {
            for device in 0..DEVICES - 1 {
                let target = fcm(&gateway);
                gateway.unregister(target.address());
                let http = server.http(&format!("person-{person}"), &format!("phone-{device}"));
                let body = json!({ "provider": "fcm", "app": APP, "token": target.address() });
                assert_eq!(http.put("/v1/push", &body.to_string()).await.status, 200);
            }
        }
    });
    futures_util::future::join_all(registering).await;
    let before = gateway.counts().requests;
    for person in 0..PEOPLE {
        write_from_laptop(server, &format!("person-{person}")).await;
    }
    let dead = "driftless_push_wakes_total{provider=\"fcm\",outcome=\"dead\",reason=\"token_dead\"}";
    let all = (PEOPLE * (DEVICES - 1)) as f64;
    wait_for("all tokens are dead", async {
        while server.metric(dead).await < all {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for person in 0..PEOPLE {
        server.device(&format!("person-{person}"), "laptop").await.put("settings", "n", "2").await;
    }
    assert_eq!(server.metric(dead).await, all);
    assert_eq!(gateway.counts().requests - before, all as u64, "one request for each token");
}

#[tokio::test]
async fn apns_accepts_a_client_certificate_instead_of_a_key() {
    let gateway = StandInGateway::start().await.unwrap();
    let credentials = gateway.credentials();
    let key = format!(
        "key_file = {:?}\nkey_id = {:?}\nteam_id = {:?}\n",
        credentials.apns_key, credentials.apns_key_id, credentials.apns_team_id
    );
    let server = start_server_replacing(&gateway, &key, &format!("certificate_file = {:?}\n", credentials.certificate)).await;
    let target = apns(&gateway);
    let token = target.address().to_owned();
    register_offline(&server, "alice", "phone", target).await;
    write_from_laptop(&server, "alice").await;
    wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await;
    assert_eq!((gateway.violations(), gateway.counts().provider_tokens), (Vec::new(), 0));
}

#[tokio::test]
async fn an_apple_device_behind_fcm_is_woken_in_the_background_and_shown_an_alert() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let target = fcm(&gateway);
    let token = target.address().to_owned();
    register_offline(&server, "alice", "iphone", target).await;
    write_from_laptop(&server, "alice").await;
    let silent = wait_for("a wake", gateway.wait_for_pushes(&token, 1)).await.remove(0);
    let read = silent.fcm_apns_payload();
    assert_eq!((&read["aps"], &read["dataset"]), (&json!({ "content-available": 1 }), &json!("settings")));
    let headers = &silent.payload["apns"]["headers"];
    assert_eq!((&headers["apns-push-type"], &headers["apns-priority"]), (&json!("background"), &json!("5")));
    operator_output(&server.url(), &["push", "test", "--shown", "--device", "iphone", "--subject", "alice"]).await;
    let shown = wait_for("an alert", gateway.wait_for_pushes(&token, 2)).await.remove(1);
    assert_eq!(shown.fcm_apns_payload()["aps"]["alert"], json!({ "title": "Something new", "body": "Open the app" }));
    let headers = &shown.payload["apns"]["headers"];
    assert_eq!((&headers["apns-push-type"], &headers["apns-priority"]), (&json!("alert"), &json!("10")));
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_server_never_connects_to_a_webpush_endpoint_in_a_private_network() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server_replacing(&gateway, "allow_private = true\n", "").await;
    let PushTarget::Webpush(here) = webpush(&gateway) else { panic!("webpush") };
    let http = server.http("alice", "browser");
    let port = gateway.ports().main;
    for host in ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "0x7f.1", "localhost"] {
        let subscription = json!({ "endpoint": format!("https://{host}:{port}/push/x"), "p256dh": here.p256dh, "auth": here.auth });
        let body = json!({ "provider": "webpush", "app": APP, "subscription": subscription });
        let answer = http.put("/v1/push", &body.to_string()).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("bad_push_token")), "{host}");
    }
    assert_eq!(gateway.counts().connections, 0, "the server connected to no endpoint");
}
