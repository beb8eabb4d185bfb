//! Every operation with every kind of token: whoever asks gets at their own data, or at nothing.

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage};
use serde_json::{Value, json};

use crate::support::raw::hello_with;
use crate::support::{Answer, Bystander, Http, Raw, Server, TestPool, token, token_for};

const SECRET: &str = "a secret of another pool, for stories only";

/// A server with two pools.
async fn two_pools() -> Server {
    let server =
        "[[pools.other.issuers]]\nissuer = \"other\"\naudience = [\"other\"]\nsecret = \"a secret of another pool, for stories only\"\n";
    Server::with(TestPool { server, ..TestPool::default() }).await
}

fn token_of_other_pool(person: &str) -> String {
    driftless::dev::mint_for(SECRET, "other", "other", person, 3600).unwrap()
}

/// Tokens, and whose eyes they give: alice's, somebody else's, nobody's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Eyes {
    Own,
    Other,
    None,
}

fn tokens() -> Vec<(&'static str, String, Eyes)> {
    let forged = driftless::dev::mint_for("not the secret of any pool, but long", driftless::dev::ISSUER, "demo", "alice", 3600).unwrap();
    let foreign = driftless::dev::mint_for(SECRET, driftless::dev::ISSUER, driftless::dev::AUDIENCE, "alice", 3600).unwrap();
    vec![
        ("her own", token("alice"), Eyes::Own),
        ("another person's", token("bob"), Eyes::Other),
        ("of the same name in another pool", token_of_other_pool("alice"), Eyes::Other),
        ("expired", token_for("alice", -3600), Eyes::None),
        ("forged", forged, Eyes::None),
        ("with the other pool's secret", foreign, Eyes::None),
        ("garbage", "a.b.c".to_owned(), Eyes::None),
        ("none", String::new(), Eyes::None),
    ]
}

#[tokio::test]
async fn every_operation_on_a_socket_reaches_ones_own_data_only() {
    let server = two_pools().await;
    let mut alice = server.phone("alice", "phone").await;
    alice.put("d", "mine", "1").await;
    let identity = alice.welcome.identity.clone();
    for (n, (what, token, eyes)) in tokens().into_iter().enumerate() {
        let mut raw = Raw::upgraded(server.address(), Codec::Json).await;
        raw.send(hello_with(Codec::Json, &token, &format!("device{n}")));
        if eyes == Eyes::None {
            raw.ends_with(CloseCode::TokenRefused).await;
            continue;
        }
        let ServerMessage::Welcome { identity: who, .. } = raw.hear().await else { panic!("{what}: no welcome") };
        assert_eq!(who == identity, eyes == Eyes::Own, "{what}");
        // There is no field for somebody else's data; one that pretends to be is not looked at.
        let mut ask = async |mut request: Value| {
            request["identity"] = json!(identity);
            request["pool"] = json!("demo");
            request["device"] = json!("phone");
            raw.say(&request);
            raw.hear().await
        };
        let listed = ask(json!({ "type": "list" })).await;
        assert!(matches!(listed, ServerMessage::Datasets { datasets } if datasets.len() == usize::from(eyes == Eyes::Own)), "{what}");
        let opened = ask(json!({ "type": "open", "dataset": "d" })).await;
        assert!(matches!(opened, ServerMessage::Changes { records, .. } if records.len() == usize::from(eyes == Eyes::Own)), "{what}");
        let write = json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "theirs", "op": "put", "value": n }] });
        let ServerMessage::Written { version, .. } = ask(write).await else { panic!("{what}: not written") };
        assert_eq!(version > 1, eyes == Eyes::Own, "{what}");
        let ahead = ask(json!({ "type": "ack", "dataset": "d", "version": 100 })).await;
        assert!(matches!(ahead, ServerMessage::Refused { code: RefusalCode::AheadOfServer, .. }), "{what}");
    }
    let (records, _) = alice.open("d").await;
    let written: Vec<_> = records.iter().map(|record| (record.key.as_str(), record.device.as_str())).collect();
    assert_eq!(written, [("mine", "phone"), ("theirs", "device0")], "only with her own token");
}

#[tokio::test]
async fn every_request_over_http_reaches_ones_own_data_only() {
    let server = two_pools().await;
    let mut alice = server.phone("alice", "phone").await;
    alice.put("d", "mine", "1").await;
    for (n, (what, token, eyes)) in tokens().into_iter().enumerate() {
        let http = Http::new(server.address(), &token, &format!("device{n}"));
        let write = r#"{"id":1,"changes":[{"key":"theirs","op":"put","value":1}],"identity":"local:0","device":"phone"}"#;
        let answers = [
            http.get("/v1/datasets").await,
            http.get("/v1/datasets/d/changes").await,
            http.post("/v1/datasets/d/ack", r#"{"version":1}"#).await,
            http.post("/v1/datasets/d/write", write).await,
        ];
        if eyes == Eyes::None {
            assert!(answers.iter().all(|answer| answer.status == 401), "{what}: {answers:?}");
            continue;
        }
        let own = eyes == Eyes::Own;
        let [listed, changes, acked, written] = answers;
        assert_eq!((count(&listed, "datasets"), count(&changes, "records")), (usize::from(own), usize::from(own)), "{what}");
        assert_eq!(acked.status, if own { 200 } else { 409 }, "{what}");
        assert_eq!(written.json()["version"], if own { 2 } else { 1 }, "{what}");
    }
    assert_eq!(alice.open("d").await.0.len(), 2);
}

#[tokio::test]
async fn a_session_is_renewed_with_ones_own_token_only() {
    let server = two_pools().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "alice").await;
    for (what, token, eyes) in tokens() {
        raw.say(&json!({ "type": "renew", "token": token, "identity": "local:0" }));
        let code = match raw.hear().await {
            ServerMessage::Renew { .. } => None,
            ServerMessage::Refused { code, .. } => Some(code),
            other => panic!("{other:?}"),
        };
        let expected = match eyes {
            Eyes::Own => None,
            Eyes::Other => Some(RefusalCode::OtherIdentity),
            Eyes::None => Some(RefusalCode::TokenRefused),
        };
        assert_eq!(code, expected, "{what}");
    }
    bystander.is_undisturbed().await;
}

fn count(answer: &Answer, what: &str) -> usize {
    answer.json()[what].as_array().unwrap().len()
}
