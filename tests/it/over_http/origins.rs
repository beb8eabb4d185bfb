//! Web pages of another origin: what a preflight is answered, what a page may read, and which origins a pool allows.

use driftless_protocol::{CloseCode, Codec, ServerMessage};

use crate::support::raw::{hello_with, upgrade_request};
use crate::support::{Bystander, DeviceHttpResponse, RawSocket, TestPool, TestServer, raw_request, token};

const APP: &str = "https://app.example";
const OTHER: &str = "https://other.example";
const EVIL: &str = "https://evil.example";

/// A server whose pool `demo` allows `APP`, and whose pool `other` allows `OTHER`.
async fn start_with_two_pools() -> TestServer {
    let server = "[pools.other]\norigins = [\"https://other.example\"]\n\
                  [[pools.other.issuers]]\nissuer = \"other\"\naudience = [\"other\"]\nsecret = \"a secret of another pool, for tests only\"\n";
    TestServer::with_pool(TestPool { pool: "origins = [\"HTTPS://App.example:443/\"]", server }).await
}

fn token_of_other_pool() -> String {
    driftless::dev::mint_for("a secret of another pool, for tests only", "other", "other", "alice", 3600).unwrap()
}

async fn send(server: &TestServer, line: &str, headers: &str) -> DeviceHttpResponse {
    raw_request(server.address(), format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n").as_bytes()).await
}

async fn preflight(server: &TestServer, path: &str, origin: &str, more: &str) -> DeviceHttpResponse {
    let headers = format!(
        "Origin: {origin}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization,driftless-device\r\n{more}"
    );
    send(server, &format!("OPTIONS {path}"), &headers).await
}

fn of(token: &str, origin: &str) -> String {
    format!("Authorization: Bearer {token}\r\nDriftless-Device: page\r\nOrigin: {origin}\r\n")
}

fn allow_origin(answer: &DeviceHttpResponse) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn a_server_that_names_no_origin_allows_every_page() {
    let server = TestServer::start().await;
    for path in ["/v1/session", "/v1/datasets/d/write", "/v1/push", "/v1/identity/link", "/v1/nowhere"] {
        for origin in [APP, "null", "http://localhost:5173"] {
            let answer = preflight(&server, path, origin, "").await;
            assert_eq!((answer.status, answer.body.as_str(), allow_origin(&answer)), (204, "", Some("*")), "{path}: {answer:?}");
            assert_eq!(answer.header("vary"), None, "{answer:?}");
            assert!(
                answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PUT") && methods.contains("DELETE"))
            );
            let headers = answer.header("access-control-allow-headers").unwrap().to_lowercase();
            assert!(["authorization", "driftless-device", "driftless-identity", "content-type"].iter().all(|name| headers.contains(name)));
            assert!(answer.header("access-control-max-age").is_some());
            assert_eq!(answer.header("access-control-allow-credentials"), None, "no cookie is taken");
        }
    }
    let answer = send(&server, "GET /v1/session", &of(&token("alice"), APP)).await;
    assert_eq!((answer.status, allow_origin(&answer)), (200, Some("*")));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(["Driftless-Identity", "Retry-After", "WWW-Authenticate"].iter().all(|name| exposed.contains(name)), "{exposed}");
    // An app gets no headers that are for pages.
    assert_eq!(allow_origin(&server.http("alice", "phone").get("/v1/session").await), None);
}

#[tokio::test]
async fn a_page_can_read_every_refusal() {
    let server = TestServer::start().await;
    let alice = of(&token("alice"), APP);
    for (line, headers, status) in [
        ("GET /v1/datasets", format!("Origin: {APP}\r\n"), 401),
        ("GET /v1/datasets", of("a.b.c", APP), 401),
        ("GET /v1/datasets", format!("Origin: {APP}\r\nAuthorization: Bearer {}\r\n", token("alice")), 400),
        ("GET /v1/nowhere", alice.clone(), 404),
        ("DELETE /v1/datasets", alice.clone(), 405),
        ("GET /v1/datasets/%ff/changes", alice.clone(), 400),
        ("POST /v1/datasets/d/write", format!("{alice}Content-Length: 0\r\n"), 400),
        ("GET /v1/datasets", format!("{alice}Authorization: Bearer x\r\n"), 400),
        ("GET /v1/sync", alice.clone(), 426),
    ] {
        let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n"));
        let head = raw.read_http_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {head}");
        assert!(head.contains("access-control-allow-origin: *\r\n"), "{line}: {head}");
    }
    let large = "x".repeat(2_100_000);
    let head =
        format!("POST /v1/datasets/d/write HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{alice}Content-Length: {}\r\n\r\n", large.len());
    let answer = raw_request(server.address(), format!("{head}{large}").as_bytes()).await;
    assert_eq!((answer.status, allow_origin(&answer)), (413, Some("*")), "{answer:?}");
}

#[tokio::test]
async fn a_pool_allows_its_own_origins_only() {
    let server = start_with_two_pools().await;
    let (demo, other) = (token("alice"), token_of_other_pool());
    // Which pool a request is for is not known before its token is read: an origin of any pool may ask.
    for (origin, status) in [(APP, 204), (OTHER, 204), (EVIL, 403), ("null", 403), ("https://app.example.evil.example", 403)] {
        let answer = preflight(&server, "/v1/datasets", origin, "").await;
        assert_eq!((answer.status, allow_origin(&answer)), (status, (status == 204).then_some(origin)), "{answer:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
    }
    for (token, origin, status) in [
        (&demo, APP, 200),
        (&demo, OTHER, 403),
        (&demo, EVIL, 403),
        (&demo, "null", 403),
        (&demo, "http://app.example", 403),
        (&demo, "HTTPS://APP.EXAMPLE", 403),
        (&other, OTHER, 200),
        (&other, APP, 403),
    ] {
        let answer = send(&server, "GET /v1/datasets", &of(token, origin)).await;
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
        let may_read = [APP, OTHER].contains(&origin);
        assert_eq!(allow_origin(&answer), may_read.then_some(origin), "{origin}: {answer:?}");
        if status == 403 {
            assert_eq!(answer.json()["code"], "origin_not_allowed");
        }
    }
    // A refused page has not signed a device in, whatever it asks for; one that is allowed has once it does more than read.
    assert_eq!(send(&server, "DELETE /v1/push", &of(&demo, EVIL)).await.status, 403);
    let devices = server.operator().get(&format!("/identities/{}/devices", server.operator().identity("alice").await)).await.json();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(0), "{devices}");
    assert_eq!(send(&server, "DELETE /v1/push", &of(&demo, APP)).await.status, 200);
    let devices = server.operator().get(&format!("/identities/{}/devices", server.operator().identity("alice").await)).await.json();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
    let answer = server.http("alice", "phone").get("/v1/datasets").await;
    assert_eq!((answer.status, answer.header("vary")), (200, Some("Origin")), "an app sends no origin");
}

#[tokio::test]
async fn a_socket_of_a_page_is_for_the_pools_that_allow_it() {
    let server = start_with_two_pools().await;
    let (demo, other) = (token("alice"), token_of_other_pool());
    for (origin, token, is_welcome) in [(APP, &demo, true), (APP, &other, false), (OTHER, &other, true), (OTHER, &demo, false)] {
        let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
        raw.send(upgrade_request(Codec::Json.subprotocol(), &format!("Origin: {origin}\r\n")));
        assert!(raw.read_http_head().await.starts_with("HTTP/1.1 101 "));
        raw.send(hello_with(Codec::Json, token, "page"));
        match is_welcome {
            true => assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }), "{origin}"),
            false => raw.expect_close(CloseCode::OriginNotAllowed).await,
        }
    }
    let mut raw = RawSocket::connect(server.address(), Codec::Json).await;
    raw.send(upgrade_request(Codec::Json.subprotocol(), &format!("Origin: {EVIL}\r\n")));
    assert!(raw.read_http_head().await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn the_origins_of_the_server_are_allowed_in_every_pool() {
    let server =
        TestServer::with_pool(TestPool { pool: "origins = [\"https://app.example\"]", server: "origins = [\"https://other.example\"]" })
            .await;
    for (origin, status) in [(APP, 200), (OTHER, 200), (EVIL, 403)] {
        assert_eq!(send(&server, "GET /v1/datasets", &of(&token("alice"), origin)).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn pages_reach_neither_the_admin_api_nor_health_and_metrics() {
    let server = TestServer::start().await;
    for path in ["/admin/api/push", "/admin/api/nowhere", "/health/ready", "/metrics", "/v1x"] {
        let asked = preflight(&server, path, APP, "").await;
        let got = send(&server, &format!("GET {path}"), &format!("Origin: {APP}\r\n")).await;
        for answer in [asked, got] {
            assert!(!answer.head.to_lowercase().contains("access-control-"), "{path}: {answer:?}");
        }
    }
    // At the root AWS's clients in pages send their calls, which are signed; what is not one of them has nothing that a page may read.
    let got = send(&server, "GET /", &format!("Origin: {APP}\r\n")).await;
    assert!(!got.head.to_lowercase().contains("access-control-"), "{got:?}");
}

#[tokio::test]
async fn only_a_page_that_the_operator_has_named_may_look_into_a_private_network() {
    let named = TestServer::with_pool(TestPool { pool: "origins = [\"https://app.example\"]", ..TestPool::default() }).await;
    let (any, ask) = (TestServer::start().await, "Access-Control-Request-Private-Network: true\r\n");
    let answer = async |server, more| {
        let answer = preflight(server, "/v1/session", APP, more).await;
        (answer.status, answer.header("access-control-allow-private-network").map(str::to_owned))
    };
    assert_eq!(answer(&named, ask).await, (204, Some("true".to_owned())));
    assert_eq!(answer(&named, "").await, (204, None));
    assert_eq!(answer(&any, ask).await, (204, None));
}

#[tokio::test]
async fn strange_preflights_are_answered_like_any_other() {
    let server = TestServer::with_pool(TestPool { pool: "origins = [\"https://app.example\"]", ..TestPool::default() }).await;
    let mut bystander = Bystander::connect(&server).await;
    let long = format!("https://{}.example", "a".repeat(20_000));
    let many: String = (0..90).map(|n| format!("X-{n}: x\r\n")).collect();
    let wide = format!("Access-Control-Request-Headers: {}\r\n", "x-a,".repeat(5_000));
    for (origin, more, status) in [
        (APP, many.as_str(), 204),
        (APP, wide.as_str(), 204),
        (APP, "Authorization: Bearer a.b.c\r\n", 204),
        (long.as_str(), "", 403),
        ("\u{fc}", "", 403),
        ("", "", 403),
        (APP, "Origin: https://evil.example\r\n", 400),
    ] {
        let answer = preflight(&server, "/v1/datasets", origin, more).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.head.len() < 1000, "nothing of the request is repeated: {answer:?}");
    }
    // A plain OPTIONS is not a preflight.
    let plain = send(&server, "OPTIONS /v1/datasets", &format!("Origin: {APP}\r\n")).await;
    assert_eq!((plain.status, plain.header("allow"), allow_origin(&plain)), (204, Some("GET,HEAD,OPTIONS"), Some(APP)));
    bystander.assert_undisturbed().await;
}
