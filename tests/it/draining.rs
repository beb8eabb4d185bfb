//! What a server that stops does with its connections: a request in progress is answered, everything else ends at once.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::{CloseCode, Codec};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::raw::{BINARY, LAST, frame_header};
use crate::support::{DeviceHttp, RawSocket, ServingChild, serve_command, serve_token, wait_for};

const KEY: &str = "an-operator-key-of-more-than-32-characters";

/// So long that whatever has to wait for its end fails its test.
const NEVER: [&str; 4] = ["--drain-wait-s", "0", "--drain-s", "3600"];

/// The end of a connection: an empty read, or a reset if bytes were on their way.
async fn assert_ends(stream: &mut TcpStream, what: &str) {
    let mut rest = Vec::new();
    let _ = wait_for(what, stream.read_to_end(&mut rest)).await;
}

/// Writes more than all buffers on the way to a client hold.
async fn write_much(server: &ServingChild) -> DeviceHttp {
    let http = DeviceHttp::new(server.address, &serve_token("alice"), "phone");
    for id in 1..=4 {
        let body = format!(r#"{{"id":{id},"changes":[{{"key":"k{id}","op":"put","value":"{}"}}]}}"#, "x".repeat(900_000));
        assert_eq!(http.post("/v1/datasets/d/write", &body).await.status, 200);
    }
    http
}

/// Asks for a backup, and reads its first byte.
async fn begin_backup(server: &ServingChild) -> (TcpStream, u8) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut backup = socket.connect(server.admin).await.unwrap();
    let request = format!("GET /admin/api/backup HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n");
    backup.write_all(request.as_bytes()).await.unwrap();
    let first = wait_for("the backup's first byte", backup.read_u8()).await.unwrap();
    (backup, first)
}

#[tokio::test]
async fn a_backup_that_nobody_reads_is_cut_when_the_drain_is_over_and_does_not_hold_the_store() {
    let folder = TempDir::new().unwrap();
    let flags = ["--drain-wait-s", "0", "--drain-s", "10", "--admin-key", KEY];
    let server = ServingChild::start(folder.path(), &flags).await;
    write_much(&server).await;
    let (backup, _) = begin_backup(&server).await;
    server.signal("-TERM").await;
    let (status, log) = server.end().await;
    assert!(status.success() && log.contains("drain timed out"), "{status} {log}");
    drop(backup);
}

#[tokio::test]
async fn what_has_no_request_in_progress_ends_when_the_drain_begins() {
    let folder = TempDir::new().unwrap();
    let server = ServingChild::start(folder.path(), &NEVER).await;
    let mut streams = Vec::new();
    for address in [server.address, server.admin] {
        for (what, sent) in [
            ("a silent connection", ""),
            ("the first byte of a head", "G"),
            ("a head without its end", "GET /health/live HTTP/1.1\r\nHost: test\r\n"),
            ("a kept connection", "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            if sent.ends_with("\r\n\r\n") {
                assert!(wait_for(what, stream.read(&mut [0; 1024])).await.unwrap() > 0);
                // And a part of the next one.
                stream.write_all(b"GET /health").await.unwrap();
            }
            streams.push((stream, what));
        }
    }
    let mut sockets = Vec::new();
    for (codec, sent) in [(Codec::Json, vec![]), (Codec::MsgPack, frame_header(LAST | BINARY, 1000))] {
        let socket = RawSocket::upgrade(server.address, codec).await;
        socket.send(sent);
        sockets.push(socket);
    }
    server.signal("-TERM").await;
    for socket in &mut sockets {
        socket.expect_close(CloseCode::Restarting).await;
    }
    for (stream, what) in &mut streams {
        assert_ends(stream, what).await;
    }
    let (status, log) = server.end().await;
    assert!(status.success() && !log.contains("drain timed out"), "{status} {log}");
}

#[tokio::test]
async fn a_tls_handshake_that_is_not_done_ends_when_the_drain_begins() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["c.pem", "k.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let flags = ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = ServingChild::start(folder.path(), &[&NEVER[..], &flags].concat()).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    // The head of a record that is a handshake of 256 bytes.
    half.write_all(&[0x16, 0x03, 0x01, 0x01, 0x00, 0x01]).await.unwrap();
    server.signal("-TERM").await;
    assert_ends(&mut silent, "a silent connection").await;
    assert_ends(&mut half, "half of a handshake").await;
    let (status, log) = server.end().await;
    assert!(status.success() && !log.contains("drain timed out"), "{status} {log}");
}

#[tokio::test]
async fn a_backup_and_a_request_in_progress_are_finished_and_sessions_told_to_come_back() {
    let folder = TempDir::new().unwrap();
    let mut server = ServingChild::start(folder.path(), &[&NEVER[..], &["--admin-key", KEY]].concat()).await;
    write_much(&server).await;
    let mut session = RawSocket::upgrade(server.address, Codec::Json).await;
    session.send(crate::support::raw::hello_with(Codec::Json, &serve_token("alice"), "tablet"));
    session.receive().await;
    // A backup, and a write of which a part has arrived.
    let (mut backup, first) = begin_backup(&server).await;
    let mut answer = vec![first];
    let mut writing = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"id":5,"changes":[{"key":"k5","op":"put","value":1}]}"#;
    let head = format!(
        "POST /v1/datasets/d/write HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nDriftless-Device: phone\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        serve_token("alice"),
        body.len()
    );
    writing.write_all(head.as_bytes()).await.unwrap();
    // Its head was read: the server asks for the body.
    let mut go_on = [0; 25];
    wait_for("100 Continue", writing.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    writing.write_all(&body.as_bytes()[..10]).await.unwrap();
    server.signal("-TERM").await;
    server.wait_for_log("draining sessions").await;
    session.expect_close(CloseCode::Restarting).await;
    writing.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut written = String::new();
    wait_for("the write's answer", writing.read_to_string(&mut written)).await.unwrap();
    assert!(written.starts_with("HTTP/1.1 200") && written.contains(r#""type":"written""#), "{written}");
    // The operators' port is open until the devices are gone, and what is in progress on it goes on after that.
    wait_for("the backup", backup.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 3_600_000, "{} bytes", answer.len());
    assert!(answer.ends_with(b"0\r\n\r\n"), "the body has its end");
    let (status, log) = server.end().await;
    assert!(status.success() && !log.contains("drain timed out"), "{status} {log}");
}

#[tokio::test]
async fn a_device_whose_issuer_does_not_answer_is_told_to_come_back_when_the_drain_begins() {
    let folder = TempDir::new().unwrap();
    // An issuer that accepts connections and says nothing.
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let command = serve_command(folder.path(), &NEVER);
    let keys = format!("jwks_url = \"http://{}/keys\"", issuer.local_addr().unwrap());
    let entry = format!("[[pools.demo.issuers]]\nissuer = \"slow\"\naudience = [\"app\"]\n{keys}\n");
    std::fs::write(folder.path().join("driftless.toml"), entry).unwrap();
    let server = ServingChild::of_command(command).await;
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let claims = r#"{"iss":"slow","aud":"app","sub":"alice","exp":4102444800}"#;
    let token = format!("{}.{}.{}", part(r#"{"alg":"ES256","kid":"k"}"#), part(claims), part(&"s".repeat(64)));
    let mut socket = RawSocket::upgrade(server.address, Codec::Json).await;
    socket.send(crate::support::raw::hello_with(Codec::Json, &token, "phone"));
    // A later connection is answered: the hello has very likely been read. If not, the socket ends in the same way.
    assert_eq!(DeviceHttp::new(server.address, "", "monitor").get("/health/live").await.status, 200);
    server.signal("-TERM").await;
    socket.expect_close(CloseCode::Restarting).await;
    let (status, log) = server.end().await;
    assert!(status.success() && !log.contains("drain timed out"), "{status} {log}");
}
