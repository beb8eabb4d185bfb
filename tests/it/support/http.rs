//! HTTP/1.1 requests written to the socket by hand, so that a test controls every byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait_for;

/// Sends the requests of one device.
pub struct DeviceHttp {
    address: SocketAddr,
    token: String,
    device: String,
}

#[derive(Debug)]
pub struct DeviceHttpResponse {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl DeviceHttpResponse {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a header, by its name in lower case or as it is usually written.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find_map(|(one, value)| one.eq_ignore_ascii_case(name).then_some(value))
    }
}

impl DeviceHttp {
    pub fn new(address: SocketAddr, token: &str, device: &str) -> DeviceHttp {
        DeviceHttp { address, token: token.to_owned(), device: device.to_owned() }
    }

    pub async fn get(&self, path: &str) -> DeviceHttpResponse {
        self.request("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> DeviceHttpResponse {
        self.request("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: &str) -> DeviceHttpResponse {
        self.request("PUT", path, body).await
    }

    pub async fn delete(&self, path: &str) -> DeviceHttpResponse {
        self.request("DELETE", path, "").await
    }

    /// Sends a request with the token and the device.
    pub async fn request(&self, method: &str, path: &str, body: &str) -> DeviceHttpResponse {
        let DeviceHttp { token, device, .. } = self;
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Driftless-Device: {device}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw_request(self.address, text.as_bytes()).await
    }
}

/// Sends these bytes and reads until the server closes the connection.
pub async fn raw_request(address: SocketAddr, bytes: &[u8]) -> DeviceHttpResponse {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = wait_for("an answer", socket.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    DeviceHttpResponse { status, head: head.to_owned(), body: body.to_owned() }
}
