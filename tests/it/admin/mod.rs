//! The admin API of a running server: authorization, history, backups, exports, erasure, merges.

mod accounts;
mod backups;
mod commands;
mod history;
mod linking;
mod merging;

use crate::support::{DeviceHttp, OperatorClient, TestServer, token};

/// Every request of the admin API: method, path and body. `ID` stands for an identity.
const REQUESTS: [(&str, &str, &str); 21] = [
    ("GET", "/pools", ""),
    ("GET", "/logins?pool=demo", ""),
    ("GET", "/identities?pool=demo&subject=alice", ""),
    ("GET", "/identities/ID", ""),
    ("GET", "/identities/ID/export", ""),
    ("POST", "/identities/ID/logins", r#"{"issuer":"i","subject":"s"}"#),
    ("POST", "/identities/ID/merge", r#"{"into":"local:other"}"#),
    ("GET", "/identities/ID/datasets/d/history", ""),
    ("GET", "/identities/ID/datasets/d/at/1", ""),
    ("GET", "/identities/ID/datasets/d/compare?first=0&second=1", ""),
    ("POST", "/identities/ID/datasets/d/restore", r#"{"version":0}"#),
    ("GET", "/backup", ""),
    ("GET", "/identities/ID/devices", ""),
    ("GET", "/identities/ID/devices/phone/push", ""),
    ("POST", "/identities/ID/devices/phone/push/test", "{}"),
    ("POST", "/identities/ID/devices/phone/revoke", "{}"),
    ("POST", "/identities/ID/devices/phone/allow", "{}"),
    ("DELETE", "/identities/ID/devices/phone", ""),
    ("GET", "/push", ""),
    ("POST", "/push/resume", "{}"),
    ("DELETE", "/identities/ID", ""),
];

#[tokio::test]
async fn a_request_without_the_operator_key_is_unauthorized() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    phone.put("d", "secret", "\"planted\"").await;
    let key = driftless::admin::DEVELOPMENT_KEY;
    let shown = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some(format!("Bearer {}", token("alice"))),
        Some(format!("Bearer {}", driftless::auth::DEVELOPMENT_SECRET)),
        Some(format!("Bearer {}", &key[..key.len() - 1])),
        Some(format!("Bearer {key}x")),
        Some(format!("Bearer {}", key.to_uppercase())),
        Some(format!("Basic {key}")),
        Some(key.to_owned()),
    ];
    for shown in &shown {
        let nobody = OperatorClient::with_authorization(server.address(), shown.as_deref());
        let nowhere = [("GET", "/nowhere", ""), ("PUT", "/backup", "")];
        for (method, path, body) in REQUESTS.into_iter().chain(nowhere) {
            let reply = nobody.request(method, &path.replace("ID", &phone.welcome.identity), body).await;
            assert_eq!(reply.status, 401, "{shown:?} {method} {path}: {}", reply.text());
            assert!(!reply.text().contains("planted"), "{}", reply.text());
        }
    }
    // No request changed anything, and the device's session is still open.
    assert_eq!(phone.put("d", "secret", "2").await, 2);
    // With the key each request is answered, so the table has no path that does not exist.
    for (method, path, body) in REQUESTS {
        let reply = server.operator().request(method, &path.replace("ID", &phone.welcome.identity), body).await;
        let is_there = reply.status == 200 || path.ends_with("/merge") || path.ends_with("/push/test");
        assert!(is_there, "{method} {path}: {} {}", reply.status, reply.text());
    }
}

#[tokio::test]
async fn an_operator_key_is_not_accepted_as_a_token() {
    let server = TestServer::start().await;
    let http = DeviceHttp::new(server.address(), driftless::admin::DEVELOPMENT_KEY, "phone");
    assert_eq!(http.get("/v1/datasets").await.status, 401);
}

#[tokio::test]
async fn a_wrong_operator_request_is_refused_with_a_reason() {
    let server = TestServer::start().await;
    let (operator, mut phone) = (server.operator(), server.device("alice", "phone").await);
    phone.put("d", "k", "1").await;
    let own = format!("/identities/{}", phone.welcome.identity);
    for (method, path, body, status, says) in [
        ("GET", "/identities?pool=demo".to_owned(), "", 400, "subject"),
        ("GET", "/identities?pool=demo&subject=".to_owned(), "", 400, "bytes"),
        ("GET", "/identities/local:nobody".to_owned(), "", 404, "no such identity"),
        ("GET", "/identities/no%0Aidentity%00".to_owned(), "", 404, "no such identity"),
        ("GET", "/identities/local:nobody/export".to_owned(), "", 404, "no such identity"),
        ("DELETE", "/identities/local:nobody".to_owned(), "", 404, "no such identity"),
        ("GET", format!("{own}/datasets/none/history"), "", 404, "no such dataset"),
        ("GET", format!("{own}/datasets/no%20name/history"), "", 400, "name"),
        ("GET", format!("{own}/datasets/d/at/one"), "", 400, "whole number"),
        ("GET", format!("{own}/datasets/d/at/7"), "", 404, "versions 0 to 1"),
        ("GET", format!("{own}/datasets/d/compare?first=0"), "", 400, "second"),
        ("POST", format!("{own}/datasets/d/restore"), "{}", 400, "version"),
        ("POST", format!("{own}/datasets/none/restore"), r#"{"version":0}"#, 404, "no such dataset"),
        ("POST", format!("{own}/datasets/d/restore"), r#"{"version":2}"#, 404, "versions 0 to 1"),
        ("POST", format!("{own}/merge"), r#"{"into":"local:nobody"}"#, 404, "local:nobody"),
        ("POST", format!("{own}/logins"), r#"{"issuer":"","subject":"s"}"#, 400, "bytes"),
        ("PUT", own.clone(), "", 405, "method"),
        ("GET", "/nowhere".to_owned(), "", 404, "path"),
    ] {
        let reply = operator.request(method, &path, body).await;
        assert!(reply.status == status && reply.text().contains(says), "{method} {path}: {} {}", reply.status, reply.text());
    }
    let same = operator.post(&format!("{own}/merge"), &format!(r#"{{"into":"{}"}}"#, phone.welcome.identity)).await;
    assert!(same.status == 409 && same.text().contains("itself"), "{}", same.text());
    assert_eq!(phone.put("d", "k", "2").await, 2, "nothing was changed");
}
