//! A JWKS endpoint for tests: a real HTTP server on this machine that counts its requests.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How the server responds.
#[derive(Clone)]
pub(super) enum JwksResponse {
    /// It sends these bytes.
    Raw(String),
    /// It sends these bytes, and then keeps the connection open without sending anything else.
    Stall(String),
    /// It sends these bytes once it is notified.
    After(Arc<Notify>, String),
    /// It answers each path with its own bytes.
    Paths(Vec<(String, String)>),
}

pub(super) struct JwksServer {
    address: SocketAddr,
    state: Arc<JwksServerState>,
    server: JoinHandle<()>,
}

struct JwksServerState {
    fetches: AtomicUsize,
    requested: Notify,
    response: Mutex<JwksResponse>,
}

impl JwksServer {
    /// A server that responds with 404 for now.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let response = Mutex::new(JwksResponse::Raw(response("404 Not Found", "")));
        let state = Arc::new(JwksServerState { fetches: AtomicUsize::new(0), requested: Notify::new(), response });
        let server = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, server }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// `http://127.0.0.1:port`, the name of an issuer that is discovered.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.respond_with(JwksResponse::Raw(document(keys)));
    }

    pub(super) fn respond_with(&self, response: JwksResponse) {
        *self.state.response.lock().unwrap() = response;
    }

    pub(super) fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }

    /// Waits for the next request, or for one that was not waited for yet.
    pub(super) async fn requested(&self) {
        self.state.requested.notified().await;
    }

    /// Stops the server: from now on connections are refused.
    pub(super) async fn stop(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A response that publishes these keys.
pub(super) fn document(keys: &[Value]) -> String {
    response("200 OK", &json!({ "keys": keys }).to_string())
}

pub(super) fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn serve(listener: TcpListener, state: Arc<JwksServerState>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(respond(stream, state.clone()));
    }
}

async fn respond(mut stream: TcpStream, state: Arc<JwksServerState>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let response = state.response.lock().unwrap().clone();
    state.requested.notify_one();
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    let bytes = match response {
        JwksResponse::Raw(bytes) => bytes,
        JwksResponse::Paths(paths) => {
            paths.into_iter().find(|(known, _)| *known == path).map_or_else(|| self::response("404 Not Found", ""), |(_, bytes)| bytes)
        }
        JwksResponse::Stall(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            return std::future::pending().await;
        }
        JwksResponse::After(notify, bytes) => {
            notify.notified().await;
            bytes
        }
    };
    let _ = stream.write_all(bytes.as_bytes()).await;
}
