//! An issuer to ask in tests: a real HTTP server on this machine that counts how often it is asked.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How the issuer answers.
#[derive(Clone)]
pub(super) enum Answer {
    /// With these bytes, as they are.
    Raw(String),
    /// With these bytes, and then it keeps the connection and stays silent.
    Stall(String),
    /// With the bytes, once the gate is opened.
    After(Arc<Notify>, String),
}

pub(super) struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    fetches: AtomicUsize,
    asked: Notify,
    answer: Mutex<Answer>,
}

impl StandIn {
    /// An issuer that answers 404 so far.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Mutex::new(Answer::Raw(response("404 Not Found", "")));
        let shared = Arc::new(Shared { fetches: AtomicUsize::new(0), asked: Notify::new(), answer });
        let server = tokio::spawn(serve(listener, shared.clone()));
        Self { address, shared, server }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer(Answer::Raw(document(keys)));
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub(super) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }

    /// Waits until it is asked once more.
    pub(super) async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    /// Goes down: connections are refused from now on.
    pub(super) async fn stop(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer that publishes keys.
pub(super) fn document(keys: &[Value]) -> String {
    response("200 OK", &json!({ "keys": keys }).to_string())
}

pub(super) fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(reply(stream, shared.clone()));
    }
}

async fn reply(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    let answer = shared.answer.lock().unwrap().clone();
    shared.asked.notify_one();
    let bytes = match answer {
        Answer::Raw(bytes) => bytes,
        Answer::Stall(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            return std::future::pending().await;
        }
        Answer::After(gate, bytes) => {
            gate.notified().await;
            bytes
        }
    };
    let _ = stream.write_all(bytes.as_bytes()).await;
}
