//! Every answer is JSON, every refusal has one form, and every answer to an authenticated request names the identity.

use driftless_protocol::Codec;

use crate::support::raw::hello;
use crate::support::{DeviceHttp, DeviceHttpResponse, RawSocket, TestPool, TestServer, raw_request, token, token_for};

/// A request with these header lines beside `Host`.
async fn request(server: &TestServer, line: &str, headers: &str, body: &str) -> DeviceHttpResponse {
    let length = body.len();
    let text = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    raw_request(server.address(), text.as_bytes()).await
}

fn assert_refused(what: &str, answer: &DeviceHttpResponse, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}: {answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}: {answer:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}: {answer:?}");
    let refused = answer.json();
    assert_eq!((refused["type"].as_str(), refused["code"].as_str()), (Some("refused"), Some(code)), "{what}: {refused}");
    assert!(refused["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {refused}");
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{what}: {answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), status == 503, "{what}: {answer:?}");
}

#[tokio::test]
async fn every_refusal_is_json_of_one_form() {
    let server = TestServer::with_pool(TestPool { pool: "limits = { devices = 1 }", ..TestPool::default() }).await;
    let token = token("alice");
    let phone = format!("Authorization: Bearer {token}\r\nDriftless-Device: phone\r\n");
    // Its session keeps the only place.
    let _session = server.device("alice", "phone").await;
    assert_eq!(request(&server, "GET /v1/datasets", &phone, "").await.status, 200);
    let of = |scheme: &str, token: &str, device: &str| format!("Authorization: {scheme} {token}\r\nDriftless-Device: {device}\r\n");
    let encoded = format!("{phone}Content-Encoding: gzip\r\n");
    let large = format!("\"{}\"", "x".repeat(2_100_000));
    let write = "POST /v1/datasets/d/write";
    for (what, line, headers, body, status, code) in [
        ("no path", "GET /no_where", "", "", 404, "not_found"),
        ("no path of the protocol", "GET /v1/nowhere", &*phone, "", 404, "not_found"),
        ("a path that ends in a slash", "GET /v1/datasets/", &phone, "", 404, "not_found"),
        ("no admin path", "GET /admin", "", "", 404, "not_found"),
        ("another method", "PUT /v1/datasets", &phone, "", 405, "method_not_allowed"),
        ("another method without a token", "PUT /v1/datasets", "", "", 405, "method_not_allowed"),
        ("another method of a health check", "POST /health/live", "", "", 405, "method_not_allowed"),
        ("no token", "GET /v1/datasets", "Driftless-Device: phone\r\n", "", 401, "token_refused"),
        ("another scheme", "GET /v1/datasets", &of("Basic", &token, "phone"), "", 401, "token_refused"),
        ("a forged token", "GET /v1/datasets", &of("Bearer", "a.b.c", "phone"), "", 401, "token_refused"),
        ("an expired token", "GET /v1/datasets", &of("Bearer", &token_for("alice", -3600), "phone"), "", 401, "token_refused"),
        ("another identity", "GET /v1/datasets", &format!("{phone}Driftless-Identity: local:0\r\n"), "", 401, "other_identity"),
        ("no device", "GET /v1/datasets", &format!("Authorization: Bearer {token}\r\n"), "", 400, "bad_name"),
        ("a device with a space", "GET /v1/datasets", &of("Bearer", &token, "a b"), "", 400, "bad_name"),
        ("a device of the server", "GET /v1/datasets", &of("Bearer", &token, "~operator"), "", 400, "bad_name"),
        ("one device too many", write, &of("Bearer", &token, "laptop"), "{}", 403, "too_many_devices"),
        ("a path that is no UTF-8", "GET /v1/datasets/%ff/changes", &phone, "", 400, "bad_request"),
        ("a dataset without a valid name", "GET /v1/datasets/a%20b/changes", &phone, "", 400, "bad_name"),
        ("half a position", "GET /v1/datasets/d/changes?version=1", &phone, "", 400, "bad_request"),
        ("no number", "GET /v1/datasets/d/changes?epoch=e&version=x", &phone, "", 400, "bad_request"),
        ("a member twice", "GET /v1/datasets/d/changes?epoch=e&version=1&version=2", &phone, "", 400, "bad_request"),
        ("no body", write, &phone, "", 400, "bad_request"),
        ("a form", write, &format!("{phone}Content-Type: application/x-www-form-urlencoded\r\n"), "id=1", 400, "bad_request"),
        ("a compressed body", write, &encoded, "{}", 415, "bad_request"),
        ("a large body", write, &phone, &large, 413, "too_large"),
        ("a version ahead", "POST /v1/datasets/d/ack", &phone, "{\"version\":9}", 409, "ahead_of_server"),
        ("no login", "POST /v1/identity/link", &phone, "{}", 400, "bad_request"),
        ("a forged login", "POST /v1/identity/link", &phone, "{\"token\":\"a.b.c\"}", 401, "token_refused"),
        ("no push token", "PUT /v1/push", &phone, "{\"provider\":\"apns\",\"app\":\"a\",\"token\":\"\"}", 400, "bad_push_token"),
        ("no operator key", "GET /admin/api/push", "", "", 401, "token_refused"),
        ("no admin path, no key", "GET /admin/api/nowhere", "", "", 401, "token_refused"),
        ("no WebSocket", "GET /v1/sync", &phone, "", 426, "bad_request"),
    ] {
        assert_refused(what, &request(&server, line, headers, body).await, status, code);
    }
}

#[tokio::test]
async fn a_401_says_how_and_why_as_rfc_6750_has_it() {
    let server = TestServer::start().await;
    let challenge = async |headers: String| {
        let answer = request(&server, "GET /v1/datasets", &headers, "").await;
        assert_eq!(answer.status, 401, "{answer:?}");
        answer.header("www-authenticate").unwrap().to_owned()
    };
    assert_eq!(challenge("Driftless-Device: phone\r\n".to_owned()).await, "Bearer realm=\"driftless\"", "no error without a token");
    let expired = token_for("alice", -3600);
    let expired = challenge(format!("Authorization: Bearer {expired}\r\nDriftless-Device: phone\r\n")).await;
    let (start, why) = expired.split_once("error_description=").unwrap();
    assert_eq!(start, "Bearer realm=\"driftless\", error=\"invalid_token\", ");
    assert!(why.starts_with('"') && why.ends_with('"') && why.contains("expired"), "{why}");
    for scheme in ["bearer", "BEARER", "Bearer  ", "bEARER \t"] {
        let headers = format!("Authorization: {scheme} {}\r\nDriftless-Device: phone\r\n", token("alice"));
        assert_eq!(request(&server, "GET /v1/datasets", &headers, "").await.status, 200, "{scheme:?}");
    }
}

#[tokio::test]
async fn every_answer_to_an_authenticated_request_names_the_identity() {
    let server = TestServer::start().await;
    let identity = server.device("alice", "laptop").await.welcome.identity.clone();
    let http = server.http("alice", "phone");
    let put = |value: u64| format!("{{\"id\":1,\"changes\":[{{\"key\":\"k\",\"op\":\"put\",\"value\":{value}}}]}}");
    for (what, answer, status) in [
        ("a session", http.get("/v1/session").await, 200),
        ("a list", http.get("/v1/datasets").await, 200),
        ("changes", http.get("/v1/datasets/d/changes").await, 200),
        ("a write", http.post("/v1/datasets/d/write", &put(1)).await, 200),
        ("a reused number", http.post("/v1/datasets/d/write", &put(2)).await, 409),
        ("an acknowledgement", http.post("/v1/datasets/d/ack", "{\"version\":1}").await, 200),
        ("a version ahead", http.post("/v1/datasets/d/ack", "{\"version\":2}").await, 409),
        ("no registration", http.get("/v1/push").await, 200),
        ("an unknown app", http.put("/v1/push", "{\"provider\":\"fcm\",\"app\":\"a\",\"token\":\"t\"}").await, 400),
        ("no login", http.post("/v1/identity/link", "{}").await, 400),
        ("no dataset", http.get("/v1/datasets/a%20b/changes").await, 400),
        ("a large body", http.post("/v1/datasets/d/write", &"x".repeat(2_100_000)).await, 413),
        ("a head", http.request("HEAD", "/v1/datasets", "").await, 200),
    ] {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.header("driftless-identity"), Some(identity.as_str()), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn an_app_without_a_socket_learns_what_a_welcome_says() {
    let pool = "[pools.demo.limits]\nrecords = 7\ndevices = 3";
    let server = TestServer::with_pool(TestPool { pool, ..TestPool::default() }).await;
    let http = DeviceHttp::new(server.address(), &token_for("alice", 100), "phone");
    let session = http.get("/v1/session").await.json();
    assert_eq!(
        (session["type"].as_str(), session["patch"].as_u64(), session["limits"]["records"].as_u64()),
        (Some("welcome"), Some(0), Some(7))
    );
    assert!((100..=160).contains(&session["token_expires_in_s"].as_u64().unwrap()), "{session}");
    http.post("/v1/datasets/d/write", "{\"id\":41,\"changes\":[{\"key\":\"k\",\"op\":\"put\",\"value\":1}]}").await;
    assert_eq!(http.get("/v1/session").await.json()["patch"].as_u64(), Some(41), "a fresh installation begins after it");

    // The members are those of a socket's welcome, without two of them, once the server knows the device.
    let session = http.get("/v1/session").await.json();
    let mut socket = RawSocket::upgrade(server.address(), Codec::Json).await;
    socket.send(hello(Codec::Json, "alice", "phone"));
    let mut of_socket = serde_json::to_value(socket.receive().await).unwrap();
    let members = of_socket.as_object_mut().unwrap();
    assert!(members.remove("session").is_some() && members.remove("heartbeat_s").is_some());
    assert_eq!(members.keys().collect::<Vec<_>>(), session.as_object().unwrap().keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_app_without_a_socket_learns_which_identity_became_its_own() {
    let server = TestServer::start().await;
    let (guest, user) = (server.http("guest", "phone"), server.http("alice", "laptop"));
    let before = guest.get("/v1/session").await.json()["identity"].as_str().unwrap().to_owned();
    let after = user.get("/v1/session").await.json()["identity"].as_str().unwrap().to_owned();
    let linked = guest.post("/v1/identity/link", &format!("{{\"token\":{:?}}}", token("alice"))).await;
    assert_eq!((linked.status, linked.json()["identity"].as_str()), (200, Some(after.as_str())), "{linked:?}");
    assert_eq!(linked.header("driftless-identity"), Some(before.as_str()), "the identity that asked");
    let headers = format!("Authorization: Bearer {}\r\nDriftless-Device: phone\r\nDriftless-Identity: {before}\r\n", token("guest"));
    assert_refused("the identity before", &request(&server, "GET /v1/session", &headers, "").await, 401, "other_identity");
    let session = guest.get("/v1/session").await.json();
    assert_eq!((session["identity"].as_str(), session["merged"][0].as_str()), (Some(after.as_str()), Some(before.as_str())));
}

#[tokio::test]
async fn head_and_options_are_answered_on_every_path() {
    let server = TestServer::start().await;
    let http = server.http("alice", "phone");
    for (path, allowed) in [
        ("/v1/session", "GET,HEAD,OPTIONS"),
        ("/v1/datasets", "GET,HEAD,OPTIONS"),
        ("/v1/datasets/d/write", "POST,OPTIONS"),
        ("/v1/push", "GET,HEAD,PUT,DELETE,OPTIONS"),
        ("/health/ready", "GET,HEAD,OPTIONS"),
    ] {
        let answer = request(&server, &format!("OPTIONS {path}"), "", "").await;
        assert_eq!((answer.status, answer.header("allow"), answer.body.as_str()), (204, Some(allowed), ""), "{path}: {answer:?}");
        let refused = http.request("PATCH", path, "").await;
        assert_refused(path, &refused, 405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some(allowed), "{path}: {refused:?}");
    }
    let (head, get) = (http.request("HEAD", "/v1/datasets", "").await, http.get("/v1/datasets").await);
    assert_eq!((head.status, head.body.as_str(), head.header("content-length")), (200, "", get.header("content-length")));
    assert_refused(
        "options of an operator's path without the key",
        &request(&server, "OPTIONS /admin/api/push", "", "").await,
        401,
        "token_refused",
    );
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends_its_body() {
    let server = TestServer::start().await;
    let expired = DeviceHttp::new(server.address(), &token_for("alice", -3600), "phone");
    let http = server.http("alice", "phone");
    let body = "x".repeat(4_000_000);
    for _ in 0..5 {
        assert_refused("an expired token", &expired.post("/v1/datasets/d/write", &body).await, 401, "token_refused");
        assert_refused("a large body", &http.post("/v1/datasets/d/write", &body).await, 413, "too_large");
        assert_refused("no path", &http.post("/v1/nowhere", &body).await, 404, "not_found");
        assert_refused("another method", &http.post("/v1/datasets", &body).await, 405, "method_not_allowed");
    }
}
