use std::time::Duration;

use driftless_protocol::PushTarget;
use driftless_standin::{ConnectionFault, ScriptedResponse, StandInGateway};
use serde_json::{Value, json};

use crate::support::push::{APP, apns, asleep, fcm, pool_with_key, server, server_but, webpush};
use crate::support::{Server, soon};

/// A device's registration and the newest entries of its log.
async fn log(server: &Server, person: &str, device: &str) -> Value {
    let operator = server.operator();
    let identity = operator.identity(person).await;
    operator.get(&format!("/identities/{identity}/devices/{device}/push")).await.json()
}

/// Waits for an entry of this outcome in a device's log; its detail.
async fn said(server: &Server, person: &str, device: &str, outcome: &str) -> String {
    soon(outcome, async {
        loop {
            let found = log(server, person, device).await;
            let entry = found["log"].as_array().unwrap().iter().find(|entry| entry["outcome"] == outcome).cloned();
            if let Some(entry) = entry {
                return entry["detail"].as_str().unwrap().to_owned();
            }
        }
    })
    .await
}

async fn writes(server: &Server, person: &str) {
    server.phone(person, "laptop").await.put("settings", "n", "1").await;
}

#[tokio::test]
async fn a_dead_token_is_dropped_once_and_can_be_seen() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let targets = [apns(&gateway), fcm(&gateway), webpush(&gateway)];
    for (at, target) in targets.into_iter().enumerate() {
        let (person, token) = (format!("person-{at}"), target.address().to_owned());
        asleep(&server, &person, "phone", target).await;
        gateway.unregister(&token);
        writes(&server, &person).await;
        said(&server, &person, "phone", "dead").await;
        let found = log(&server, &person, "phone").await;
        assert!(found["device"]["push"]["dead"]["reason"].is_string(), "{found}");
        let why = found["device"]["now"]["why"].as_str().unwrap();
        assert!(found["device"]["now"]["state"] == "not woken" && why.starts_with("no token"), "{found}");
    }
}

#[tokio::test]
async fn a_token_of_the_other_environment_is_tried_there_and_stays_there() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let PushTarget::Apns(token) = apns(&gateway) else { panic!("apns") };
    asleep(&server, "alice", "phone", PushTarget::ApnsSandbox(token.clone())).await;
    writes(&server, "alice").await;
    soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
    said(&server, "alice", "phone", "accepted").await;
    assert_eq!(log(&server, "alice", "phone").await["device"]["push"]["provider"], "apns");
    let unknown = "00".repeat(32);
    asleep(&server, "bob", "phone", PushTarget::Apns(unknown)).await;
    writes(&server, "bob").await;
    assert_eq!(said(&server, "bob", "phone", "dead").await, "BadDeviceToken");
}

#[tokio::test]
async fn a_wrong_topic_stops_the_app_drops_no_token_and_goes_on_when_it_is_resumed() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (target, other) = (apns(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    asleep(&server, "alice", "phone", target).await;
    asleep(&server, "alice", "android", other).await;
    gateway.script(&tokens[0], [ScriptedResponse::apns(400, "TopicDisallowed")]);
    writes(&server, "alice").await;
    assert_eq!(said(&server, "alice", "phone", "refused").await, "TopicDisallowed");
    soon("the other app's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    let operator = server.operator();
    let stopped = operator.get("/push").await.json();
    assert_eq!((stopped["stopped"][0]["app"].as_str(), stopped["stopped"][0]["why"].as_str()), (Some(APP), Some("TopicDisallowed")));
    soon("it can be seen", async {
        while server.metric("driftless_push_stopped_apps").await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let found = log(&server, "alice", "phone").await;
    assert!(found["device"]["push"]["dead"].is_null(), "{found}");
    assert_eq!(
        (found["device"]["now"]["state"].as_str(), found["device"]["now"]["why"].as_str()),
        (Some("waits"), Some("queue stopped: TopicDisallowed"))
    );
    operator.post("/push/resume", "{}").await.json();
    assert_eq!(operator.get("/push").await.json()["stopped"], json!([]));
    asleep(&server, "bob", "phone", apns(&gateway)).await;
    writes(&server, "bob").await;
    said(&server, "bob", "phone", "accepted").await;
}

#[tokio::test]
async fn a_key_is_rotated_without_a_restart() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    asleep(&server, "carol", "phone", apns(&gateway)).await;
    writes(&server, "carol").await;
    said(&server, "carol", "phone", "accepted").await;
    let key = gateway.rotate_apns_key("ROTATED001").unwrap();
    asleep(&server, "alice", "phone", apns(&gateway)).await;
    writes(&server, "alice").await;
    assert_eq!(said(&server, "alice", "phone", "refused").await, "InvalidProviderToken");
    let pool = Box::leak(pool_with_key(&gateway, "", "grace_ms = 100", (&key, "ROTATED001")).into_boxed_str());
    server.post().replace(server.config_with(pool).pool_push().unwrap());
    asleep(&server, "bob", "phone", apns(&gateway)).await;
    writes(&server, "bob").await;
    said(&server, "bob", "phone", "accepted").await;
    assert_eq!(server.operator().get("/push").await.json()["stopped"], json!([]), "what was stopped goes on");
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_holds_up_nobody_else() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (hangs, flows, garbage) = (fcm(&gateway), fcm(&gateway), apns(&gateway));
    let tokens = [&hangs, &flows, &garbage].map(|target| target.address().to_owned());
    asleep(&server, "alice", "phone", hangs).await;
    asleep(&server, "bob", "phone", flows).await;
    asleep(&server, "carol", "phone", garbage).await;
    gateway.script(&tokens[0], [ScriptedResponse::Hang]);
    gateway.script(&tokens[2], [ScriptedResponse::garbage(400)]);
    for person in ["alice", "bob", "carol"] {
        writes(&server, person).await;
    }
    soon("the other's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    said(&server, "alice", "phone", "later").await;
    let found = log(&server, "carol", "phone").await;
    assert!(found["device"]["push"]["dead"].is_null(), "garbage costs no token: {found}");
}

#[tokio::test]
async fn a_gateway_that_was_down_or_asks_for_patience_gets_its_wakes_later() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (down, patient) = (apns(&gateway), fcm(&gateway));
    let tokens = [&down, &patient].map(|target| target.address().to_owned());
    asleep(&server, "alice", "phone", down).await;
    asleep(&server, "bob", "phone", patient).await;
    gateway.script(&tokens[1], [ScriptedResponse::retry_after(503, 1)]);
    writes(&server, "bob").await;
    let later = said(&server, "bob", "phone", "later").await;
    soon("the second try", gateway.wait_for_pushes(&tokens[1], 1)).await;
    gateway.inject_fault(ConnectionFault::RefuseConnections);
    gateway.inject_fault(ConnectionFault::CloseConnections);
    writes(&server, "alice").await;
    said(&server, "alice", "phone", "later").await;
    gateway.inject_fault(ConnectionFault::Resume);
    let pushed = soon("the wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    assert_eq!((pushed.len(), pushed[0].data()["version"].as_str()), (1, Some("1")), "{later}");
}

#[tokio::test]
async fn goaway_under_load_loses_and_doubles_nothing() {
    const PHONES: usize = 200;
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let mut tokens = Vec::new();
    for at in 0..PHONES {
        let target = apns(&gateway);
        tokens.push(target.address().to_owned());
        asleep(&server, &format!("person-{at}"), "phone", target).await;
    }
    // It lets few streams be, and leaves again and again while pushes are under way that it has not begun with.
    gateway.inject_fault(ConnectionFault::StreamLimit(8));
    for part in 0..10 {
        for at in 0..PHONES / 10 {
            if at == 10 {
                gateway.inject_fault(ConnectionFault::PauseRequests);
            }
            writes(&server, &format!("person-{}", part * PHONES / 10 + at)).await;
        }
        let before = gateway.counts();
        soon("pushes under way", async {
            while gateway.counts().requests == before.requests.min(gateway.counts().accepted) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gateway.inject_fault(ConnectionFault::GoAway);
        gateway.inject_fault(ConnectionFault::Resume);
    }
    for token in &tokens {
        let pushed = soon("a wake", gateway.wait_for_pushes(token, 1)).await;
        assert_eq!(pushed.len(), 1, "doubled");
    }
    assert!(gateway.counts().connections > 1, "the story needs a connection that was left");
}

#[tokio::test]
async fn many_dead_tokens_go_once_each_without_a_storm() {
    // 100 people of 100 devices: the bound of an identity.
    const PEOPLE: usize = 100;
    const DEVICES: usize = 100;
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
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
        writes(server, &format!("person-{person}")).await;
    }
    let dead = "driftless_push_wakes_total{provider=\"fcm\",outcome=\"dead\",reason=\"token\"}";
    let all = (PEOPLE * (DEVICES - 1)) as f64;
    soon("all are dropped", async {
        while server.metric(dead).await < all {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for person in 0..PEOPLE {
        server.phone(&format!("person-{person}"), "laptop").await.put("settings", "n", "2").await;
    }
    assert_eq!(server.metric(dead).await, all);
    assert_eq!(gateway.counts().requests - before, all as u64, "one request for each");
}

#[tokio::test]
async fn a_certificate_wakes_as_a_key_does() {
    let gateway = StandInGateway::start().await.unwrap();
    let credentials = gateway.credentials();
    let key = format!(
        "key_file = {:?}\nkey_id = {:?}\nteam_id = {:?}\n",
        credentials.apns_key, credentials.apns_key_id, credentials.apns_team_id
    );
    let server = server_but(&gateway, &key, &format!("certificate_file = {:?}\n", credentials.certificate)).await;
    let target = apns(&gateway);
    let token = target.address().to_owned();
    asleep(&server, "alice", "phone", target).await;
    writes(&server, "alice").await;
    soon("a wake", gateway.wait_for_pushes(&token, 1)).await;
    assert_eq!((gateway.violations(), gateway.counts().provider_tokens), (Vec::new(), 0));
}

#[tokio::test]
async fn an_endpoint_in_a_private_network_is_not_spoken_to() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server_but(&gateway, "allow_private = true\n", "").await;
    let PushTarget::Webpush(here) = webpush(&gateway) else { panic!("webpush") };
    let http = server.http("alice", "browser");
    let port = gateway.ports().main;
    for host in ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "0x7f.1", "localhost"] {
        let subscription = json!({ "endpoint": format!("https://{host}:{port}/push/x"), "p256dh": here.p256dh, "auth": here.auth });
        let body = json!({ "provider": "webpush", "app": APP, "subscription": subscription });
        let answer = http.put("/v1/push", &body.to_string()).await;
        if answer.status == 200 {
            // A name is looked up when a wake is due, and what it leads to is looked at then.
            writes(&server, "alice").await;
            assert_eq!(said(&server, "alice", "browser", "dead").await, "address_refused", "{host}");
        } else {
            assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("bad_push_token")), "{host}");
        }
    }
    assert_eq!(gateway.counts().connections, 0, "nobody was spoken to");
}
