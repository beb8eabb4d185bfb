//! Every operation with every kind of token: a client reaches the data of its token's identity, or nothing.

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage};
use serde_json::{Value, json};

use crate::support::raw::hello_with;
use crate::support::{Bystander, DeviceHttp, DeviceHttpResponse, RawSocket, TestPool, TestServer, token, token_for};

const SECRET: &str = "a secret of another pool, for tests only";

/// A server with two pools.
async fn start_with_two_pools() -> TestServer {
    let server =
        "[[pools.other.issuers]]\nissuer = \"other\"\naudience = [\"other\"]\nsecret = \"a secret of another pool, for tests only\"\n";
    TestServer::with_pool(TestPool { server, ..TestPool::default() }).await
}

fn token_of_other_pool(person: &str) -> String {
    driftless::dev::mint_for(SECRET, "other", "other", person, 3600).unwrap()
}

/// What a token gives access to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TokenAccess {
    Own,
    OtherIdentity,
    Denied,
}

fn tokens() -> Vec<(&'static str, String, TokenAccess)> {
    let forged = driftless::dev::mint_for("not the secret of any pool, but long", driftless::dev::ISSUER, "demo", "alice", 3600).unwrap();
    let foreign = driftless::dev::mint_for(SECRET, driftless::dev::ISSUER, driftless::dev::AUDIENCE, "alice", 3600).unwrap();
    vec![
        ("her own", token("alice"), TokenAccess::Own),
        ("another person's", token("bob"), TokenAccess::OtherIdentity),
        ("of the same name in another pool", token_of_other_pool("alice"), TokenAccess::OtherIdentity),
        ("expired", token_for("alice", -3600), TokenAccess::Denied),
        ("forged", forged, TokenAccess::Denied),
        ("with the other pool's secret", foreign, TokenAccess::Denied),
        ("garbage", "a.b.c".to_owned(), TokenAccess::Denied),
        ("none", String::new(), TokenAccess::Denied),
    ]
}

#[tokio::test]
async fn a_session_reaches_only_the_data_of_its_own_identity() {
    let server = start_with_two_pools().await;
    let mut alice = server.device("alice", "phone").await;
    alice.put("d", "mine", "1").await;
    let identity = alice.welcome.identity.clone();
    for (n, (what, token, access)) in tokens().into_iter().enumerate() {
        let mut raw = RawSocket::upgrade(server.address(), Codec::Json).await;
        raw.send(hello_with(Codec::Json, &token, &format!("device{n}")));
        if access == TokenAccess::Denied {
            raw.expect_close(CloseCode::TokenRefused).await;
            continue;
        }
        let ServerMessage::Welcome { identity: who, .. } = raw.receive().await else { panic!("{what}: no welcome") };
        assert_eq!(who == identity, access == TokenAccess::Own, "{what}");
        // No field names another identity's data; unknown fields are ignored.
        let mut ask = async |mut request: Value| {
            request["identity"] = json!(identity);
            request["pool"] = json!("demo");
            request["device"] = json!("phone");
            raw.send_message(&request);
            raw.receive().await
        };
        let listed = ask(json!({ "type": "list" })).await;
        assert!(
            matches!(listed, ServerMessage::Datasets { datasets } if datasets.len() == usize::from(access == TokenAccess::Own)),
            "{what}"
        );
        let opened = ask(json!({ "type": "open", "dataset": "d" })).await;
        assert!(
            matches!(opened, ServerMessage::Changes { records, .. } if records.len() == usize::from(access == TokenAccess::Own)),
            "{what}"
        );
        let write = json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "theirs", "op": "put", "value": n }] });
        let ServerMessage::Written { version, .. } = ask(write).await else { panic!("{what}: not written") };
        assert_eq!(version > 1, access == TokenAccess::Own, "{what}");
        let ahead = ask(json!({ "type": "ack", "dataset": "d", "version": 100 })).await;
        assert!(matches!(ahead, ServerMessage::Refused { code: RefusalCode::AheadOfServer, .. }), "{what}");
    }
    let (records, _) = alice.open("d").await;
    let written: Vec<_> = records.iter().map(|record| (record.key.as_str(), record.device.as_str())).collect();
    assert_eq!(written, [("mine", "phone"), ("theirs", "device0")], "only with her own token");
}

#[tokio::test]
async fn an_http_request_reaches_only_the_data_of_its_own_identity() {
    let server = start_with_two_pools().await;
    let mut alice = server.device("alice", "phone").await;
    alice.put("d", "mine", "1").await;
    for (n, (what, token, access)) in tokens().into_iter().enumerate() {
        let http = DeviceHttp::new(server.address(), &token, &format!("device{n}"));
        let write = r#"{"id":1,"changes":[{"key":"theirs","op":"put","value":1}],"identity":"local:0","device":"phone"}"#;
        let answers = [
            http.get("/v1/datasets").await,
            http.get("/v1/datasets/d/changes").await,
            http.post("/v1/datasets/d/ack", r#"{"version":1}"#).await,
            http.post("/v1/datasets/d/write", write).await,
        ];
        if access == TokenAccess::Denied {
            assert!(answers.iter().all(|answer| answer.status == 401), "{what}: {answers:?}");
            continue;
        }
        let own = access == TokenAccess::Own;
        let [listed, changes, acked, written] = answers;
        assert_eq!((count(&listed, "datasets"), count(&changes, "records")), (usize::from(own), usize::from(own)), "{what}");
        assert_eq!(acked.status, if own { 200 } else { 409 }, "{what}");
        assert_eq!(written.json()["version"], if own { 2 } else { 1 }, "{what}");
    }
    assert_eq!(alice.open("d").await.0.len(), 2);
}

#[tokio::test]
async fn a_session_is_renewed_only_with_a_token_of_its_own_identity() {
    let server = start_with_two_pools().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "alice").await;
    for (what, token, access) in tokens() {
        raw.send_message(&json!({ "type": "renew", "token": token, "identity": "local:0" }));
        let code = match raw.receive().await {
            ServerMessage::Renewed { .. } => None,
            ServerMessage::Refused { code, .. } => Some(code),
            other => panic!("{other:?}"),
        };
        let expected = match access {
            TokenAccess::Own => None,
            TokenAccess::OtherIdentity => Some(RefusalCode::OtherIdentity),
            TokenAccess::Denied => Some(RefusalCode::TokenRefused),
        };
        assert_eq!(code, expected, "{what}");
    }
    bystander.assert_undisturbed().await;
}

fn count(answer: &DeviceHttpResponse, what: &str) -> usize {
    answer.json()[what].as_array().unwrap().len()
}
