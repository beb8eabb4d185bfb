//! Limits of client addresses and pools, and proxies that name the client. Clients come from several addresses of the loopback interface, which here
//! has limits as any other network.

mod behind_proxies;
mod work;

use std::net::{Ipv4Addr, SocketAddr};

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::raw::{hello, hello_with, upgrade_request};
use crate::support::{
    Bystander, DeviceHttpResponse, RawSocket, ServingChild, TestPool, TestServer, serve_token, token, token_for, wait_for,
};

/// A server whose clients on the loopback interface have limits, but for 127.0.0.1, from which the helpers of tests come.
async fn start(settings: &'static str) -> TestServer {
    TestServer::with_pool(TestPool { server: settings, ..TestPool::default() }).await
}

/// A connection of the client 127.0.0.`host`.
async fn connect(server: &TestServer, host: u8) -> TcpStream {
    connect_to(server.address(), host).await
}

async fn connect_to(server: SocketAddr, host: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).unwrap();
    wait_for("a connection", socket.connect(server)).await.unwrap()
}

/// Sends a request over a connection, and reads until the server closes it. The status is 0 if nothing was answered.
async fn request_over(mut stream: TcpStream, path: &str, token: &str, more: &str) -> DeviceHttpResponse {
    let host = stream.peer_addr().unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nDriftless-Device: phone\r\n{more}\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = wait_for("an answer", stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    DeviceHttpResponse { status, head: head.to_owned(), body: body.to_owned() }
}

/// Asks for the session of a person, from 127.0.0.`host`.
async fn ask(server: &TestServer, host: u8, person: &str, more: &str) -> DeviceHttpResponse {
    request_over(connect(server, host).await, "/v1/session", &token(person), more).await
}

/// The server ends a connection, after an answer or without.
async fn assert_closed_or_answered(mut stream: TcpStream) {
    let _ = wait_for("the end of the connection", stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_connections = 4\n").await;
    let mut bystander = Bystander::connect(&server).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(connect(&server, 2).await);
    }
    for _ in 0..3 {
        let mut answer = String::new();
        let _ = wait_for("the end of the connection", connect(&server, 2).await.read_to_string(&mut answer)).await;
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nRetry-After: 10\r\n"), "{answer}");
    }
    assert_eq!(server.metric("driftless_limit_exceeded_total{outcome=\"address_connections\"}").await, 3.0);
    assert_eq!(ask(&server, 3, "ann", "").await.status, 200, "another address");
    assert_eq!(request_over(open.pop().unwrap(), "/v1/session", &token("ann"), "").await.status, 200);
    // The place of a connection that has ended is free.
    wait_for("a free place", async { while ask(&server, 2, "ann", "").await.status != 200 {} }).await;
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn handshakes_and_requests_over_the_limit_are_told_when_to_come_back() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_handshakes_per_s = 1\n").await;
    for n in 0..10 {
        assert_eq!(ask(&server, 2, "ann", "").await.status, 200, "request {n}");
    }
    let refused = wait_for("a refusal", async {
        loop {
            let answer = ask(&server, 2, "ann", "").await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("too_many_requests")), "{refused:?}");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds) && refused.json()["message"].as_str().unwrap().contains("try again in"), "{refused:?}");
    // A socket is refused by the same limit, of the same address only.
    let mut raw = RawSocket::over(connect(&server, 2).await, Codec::Json);
    raw.upgrade_here().await;
    raw.send(hello(Codec::Json, "ann", "phone"));
    match raw.receive().await {
        ServerMessage::Bye { code, message, reconnect_after_ms, .. } => {
            assert_eq!(code, CloseCode::Overloaded.code());
            assert!(reconnect_after_ms.is_some_and(|ms| (1_000..4_000).contains(&ms)) && message.unwrap().contains("handshakes"));
        }
        // The second has passed meanwhile.
        other => assert!(matches!(other, ServerMessage::Welcome { .. }), "{other:?}"),
    }
    let mut other = RawSocket::over(connect(&server, 3).await, Codec::Json);
    other.upgrade_here().await;
    other.send(hello(Codec::Json, "ann", "tablet"));
    assert!(matches!(other.receive().await, ServerMessage::Welcome { .. }));
}

#[tokio::test]
async fn after_refused_tokens_no_token_of_the_address_is_looked_at_for_a_while() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_refused_tokens_per_min = 1\n").await;
    for _ in 0..20 {
        // An old token is no guess.
        assert_eq!(request_over(connect(&server, 2).await, "/v1/session", &token_for("ann", -3600), "").await.status, 401);
    }
    assert_eq!(request_over(connect(&server, 2).await, "/v1/session", "a.b.c", "").await.status, 401);
    let refused = ask(&server, 2, "ann", "").await;
    assert_eq!(refused.status, 429, "also a good one: {refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("refused tokens"), "{refused:?}");
    assert_eq!(ask(&server, 3, "ann", "").await.status, 200, "another address");
    let mut raw = RawSocket::over(connect(&server, 2).await, Codec::Json);
    raw.upgrade_here().await;
    raw.send(hello_with(Codec::Json, "a.b.c", "phone"));
    raw.expect_close(CloseCode::Overloaded).await;
    // The operator's key is guessed no faster.
    let operator = async |key: &str| request_over(connect(&server, 4).await, "/admin/api/push", key, "").await.status;
    assert_eq!((operator("guess").await, operator(driftless::admin::DEVELOPMENT_KEY).await), (401, 429));
}

#[tokio::test]
async fn a_session_over_the_limit_of_bytes_is_read_more_slowly_and_loses_nothing() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_bytes_per_s = 300000\n").await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::over(connect(&server, 2).await, Codec::Json);
    raw.upgrade_here().await;
    raw.send(hello(Codec::Json, "mallory", "phone"));
    assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
    for id in 1..=5 {
        let value = "x".repeat(900_000);
        raw.send_message(&json!({ "type": "write", "id": id, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": value }] }));
    }
    bystander.assert_undisturbed().await;
    for n in 1..=5 {
        let received = raw.receive().await;
        assert!(matches!(received, ServerMessage::Written { id, .. } if id == n), "{received:?}");
    }
    assert!(server.metric("driftless_limit_exceeded_total{outcome=\"session_paused\"}").await >= 1.0);
    // A request of the address is refused meanwhile, before its body is read; the others' are not.
    let refused = ask(&server, 2, "mallory", "").await;
    assert!(refused.status == 200 || refused.json()["message"].as_str().unwrap().contains("too many bytes"), "{refused:?}");
    assert_eq!(ask(&server, 3, "mallory", "").await.status, 200);
}

#[tokio::test]
async fn a_pool_has_limits_of_its_own() {
    let server = TestServer::with_pool(TestPool {
        pool: "rates.sessions = 2\nrates.handshakes_per_s = 1",
        server: "[[pools.other.issuers]]\nissuer = \"other\"\naudience = [\"other\"]\nsecret = \"a secret of another pool, for tests only\"\n",
    })
    .await;
    let (first, _second) = (server.device("ann", "phone").await, server.device("ben", "phone").await);
    let mut third = RawSocket::upgrade(server.address(), Codec::Json).await;
    third.send(hello(Codec::Json, "cai", "phone"));
    let ServerMessage::Bye { message, reconnect_after_ms, .. } = third.receive().await else { panic!("no bye") };
    assert!(message.unwrap().contains("sessions of this pool") && reconnect_after_ms.is_some_and(|ms| ms >= 10_000));
    drop(first);
    wait_for("the place of a session that has ended", async {
        loop {
            let mut raw = RawSocket::upgrade(server.address(), Codec::Json).await;
            raw.send(hello(Codec::Json, "cai", "phone"));
            match raw.receive().await {
                ServerMessage::Welcome { .. } => return,
                ServerMessage::Bye { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let http = server.http("ann", "web");
    let refused = wait_for("a refusal", async {
        loop {
            let answer = http.get("/v1/session").await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(refused.status, 429);
    assert!(refused.json()["message"].as_str().unwrap().contains("requests of this pool"), "{refused:?}");
    let other = driftless::dev::mint_for("a secret of another pool, for tests only", "other", "other", "ann", 3600).unwrap();
    assert_eq!(crate::support::DeviceHttp::new(server.address(), &other, "web").get("/v1/session").await.status, 200);
}

#[tokio::test]
async fn after_many_refused_tokens_of_a_pool_only_addresses_that_had_one_wait() {
    let server = TestServer::with_pool(TestPool {
        pool: "rates.refused_tokens_per_min = 6",
        server: "[limits]\nexempt = [\"127.0.0.1\"]\naddress_refused_tokens_per_min = 0\n",
    })
    .await;
    let of_pool = token("ann");
    let forged = format!("{}x", &of_pool[..of_pool.len() - 1]);
    let ask_with = async |host, token: &str| request_over(connect(&server, host).await, "/v1/session", token, "").await;
    // A minute has six, so after the first one there is no place for another.
    assert_eq!(ask_with(2, &forged).await.status, 401);
    for token in [&forged, &of_pool] {
        let refused = ask_with(2, token).await;
        assert!(refused.status == 429 && refused.body.contains("refused tokens of this pool"), "{refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    assert_eq!(ask_with(3, &of_pool).await.status, 200, "whose tokens were good");
    assert_eq!((ask_with(4, &forged).await.status, ask_with(4, &forged).await.status), (401, 429));
    assert_eq!(ask_with(5, "a.b.c").await.status, 401, "a token that names no pool");
    assert_eq!(server.metric("driftless_limit_exceeded_total{outcome=\"pool_refused_tokens\"}").await, 3.0);
}

#[tokio::test]
async fn a_request_without_a_token_is_not_read_over_the_limit_of_bytes() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_bytes_per_s = 1000\n").await;
    let post = async |host| {
        let mut stream = connect(&server, host).await;
        let head = "POST /v1/datasets/d/write HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(&[b'x'; 100_000]).await;
        let mut answer = [0; 12];
        wait_for("an answer", stream.read_exact(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    assert_eq!((&*post(2).await, &*post(2).await, &*post(3).await), ("401", "429", "401"));
}

#[tokio::test]
async fn a_renewal_over_a_limit_says_nothing_about_the_token() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_refused_tokens_per_min = 1\n").await;
    let mut raw = RawSocket::over(connect(&server, 2).await, Codec::Json);
    raw.upgrade_here().await;
    raw.send(hello(Codec::Json, "ann", "phone"));
    assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
    for (renewal, refused) in [("a.b.c", RefusalCode::TokenRefused), (&token("ann"), RefusalCode::TooManyRequests)] {
        raw.send_message(&json!({ "type": "renew", "token": renewal }));
        let answer = raw.receive().await;
        assert!(matches!(&answer, ServerMessage::Refused { code, .. } if *code == refused), "{answer:?}");
    }
}

#[tokio::test]
async fn renewals_cost_as_much_as_handshakes() {
    let server = start("[limits]\nexempt = [\"127.0.0.1\"]\naddress_handshakes_per_s = 1\n").await;
    let mut raw = RawSocket::over(connect(&server, 2).await, Codec::Json);
    raw.upgrade_here().await;
    raw.send(hello(Codec::Json, "ann", "phone"));
    assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. }));
    let renewal = token("ann");
    wait_for("a refusal", async {
        loop {
            raw.send_message(&json!({ "type": "renew", "token": renewal }));
            match raw.receive().await {
                ServerMessage::Refused { code: RefusalCode::TooManyRequests, .. } => return,
                other => assert!(matches!(other, ServerMessage::Renewed { .. }), "{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn silent_sockets_of_one_address_keep_nobody_out_of_a_small_server() {
    let server = start("connections = 8\n[limits]\nexempt = [\"127.0.0.1\"]\n").await;
    let mut silent = Vec::new();
    for n in 0..40 {
        let mut stream = connect(&server, 2).await;
        // Silent at each stage: without a byte, within a request, after the upgrade.
        match n % 3 {
            0 => {}
            1 => stream.write_all(b"GET /v1/session HTTP/1.1\r\n").await.unwrap(),
            _ => stream.write_all(upgrade_request(Codec::Json.subprotocol(), "").as_bytes()).await.unwrap(),
        }
        silent.push(stream);
    }
    // A phone from elsewhere comes in at once, and stays in.
    let mut phone = RawSocket::over(connect(&server, 3).await, Codec::Json);
    phone.upgrade_here().await;
    phone.send(hello(Codec::Json, "ann", "phone"));
    assert!(matches!(phone.receive().await, ServerMessage::Welcome { .. }));
    for _ in 0..40 {
        silent.push(connect(&server, 2).await);
    }
    phone.send_message(&json!({ "type": "ping" }));
    assert_eq!(phone.receive().await, ServerMessage::Pong);
    assert!(server.metric("driftless_server_connections_cut_total{outcome=\"made_place\"}").await >= 30.0);
    // Those that are left are closed because they say nothing, and the phone is not.
    for stream in silent {
        assert_closed_or_answered(stream).await;
    }
    assert!(server.metric("driftless_server_connections_cut_total{outcome=\"silent\"}").await >= 1.0);
    phone.send_message(&json!({ "type": "ping" }));
    assert_eq!(phone.receive().await, ServerMessage::Pong);
}

#[tokio::test]
async fn silent_sockets_of_one_address_keep_nobody_out_of_a_process_with_few_files() {
    let folder = TempDir::new().unwrap();
    let server = ServingChild::start_with_files(folder.path(), 200, &["--limits-exempt", "127.0.0.1"]).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect_to(server.address, 2).await);
    }
    let mut phone = RawSocket::over(connect_to(server.address, 3).await, Codec::Json);
    phone.upgrade_here().await;
    phone.send(hello_with(Codec::Json, &serve_token("ann"), "phone"));
    assert!(matches!(phone.receive().await, ServerMessage::Welcome { .. }));
    // The store has files of its own.
    phone.send_message(&json!({ "type": "write", "id": 1, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": 1 }] }));
    assert!(matches!(phone.receive().await, ServerMessage::Written { .. }));
    drop((silent, phone));
    server.signal("-TERM").await;
    let (status, log) = server.end().await;
    assert!(status.success() && !log.contains("cannot accept") && !log.contains("ERROR"), "{status}: {log}");
}
