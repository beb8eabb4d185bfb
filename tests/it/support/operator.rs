//! An operator's requests to the admin API, written to the socket by hand, and the operator commands of the real binary.

use std::net::SocketAddr;
use std::process::Output;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{driftless, wait_for};

/// A client of the admin API, with a right key, a wrong one or none.
pub struct OperatorClient {
    address: SocketAddr,
    authorization: Option<String>,
}

#[derive(Debug)]
pub struct OperatorResponse {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the response was received to its end.
    pub is_complete: bool,
}

impl OperatorResponse {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of a complete response with status 200, as JSON.
    pub fn json(&self) -> Value {
        assert!(self.status == 200 && self.is_complete, "{}: {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl OperatorClient {
    pub fn with_key(address: SocketAddr, key: &str) -> OperatorClient {
        OperatorClient { address, authorization: Some(format!("Bearer {key}")) }
    }

    /// A client that sends this `Authorization` header, or none.
    pub fn with_authorization(address: SocketAddr, authorization: Option<&str>) -> OperatorClient {
        OperatorClient { address, authorization: authorization.map(str::to_owned) }
    }

    pub async fn get(&self, path: &str) -> OperatorResponse {
        self.request("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> OperatorResponse {
        self.request("POST", path, body).await
    }

    pub async fn delete(&self, path: &str) -> OperatorResponse {
        self.request("DELETE", path, "").await
    }

    pub async fn request(&self, method: &str, path: &str, body: &str) -> OperatorResponse {
        read_response(self.send_request(method, path, body).await).await
    }

    /// Sends a request and returns the socket; `read_response` reads the response.
    pub async fn send_request(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that the server soon notices a client that does not read.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut socket = socket.connect(self.address).await.unwrap();
        let key = self.authorization.as_ref().map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
        let length = body.len();
        let text = format!(
            "{method} /admin/api{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}Content-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(text.as_bytes()).await.unwrap();
        socket
    }

    /// The identity of a user of the demo pool, by the subject of the user's token.
    pub async fn identity(&self, person: &str) -> String {
        let found = self.get(&format!("/identities?pool=demo&subject={person}")).await.json();
        found["logins"][0]["identity"].as_str().unwrap_or_else(|| panic!("no identity of {person}")).to_owned()
    }
}

/// Reads a response until the server closes the connection.
pub async fn read_response(mut socket: TcpStream) -> OperatorResponse {
    let mut bytes = Vec::new();
    let _ = wait_for("a response", socket.read_to_end(&mut bytes)).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let rest = bytes.get(end + 4..).unwrap_or_default();
    let (body, is_complete) = if head.contains("transfer-encoding: chunked") { decode_chunks(rest) } else { (rest.to_vec(), true) };
    OperatorResponse { status, body, is_complete }
}

/// The content of a chunked body (RFC 9112 section 7.1), and whether its last chunk was received.
fn decode_chunks(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return (content, false) };
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (content, true);
        }
        let Some(chunk) = bytes.get(end + 2..end + 2 + length) else { return (content, false) };
        content.extend_from_slice(chunk);
        bytes = bytes.get(end + 4 + length..).unwrap_or_default();
    }
}

/// Runs an operator command against a server.
pub async fn operator_command(url: &str, arguments: &[&str]) -> Output {
    wait_for(arguments[0], driftless().args(arguments).args(["--url", url]).output()).await.unwrap()
}

/// Runs an operator command, which must succeed, and returns what it printed.
pub async fn operator_output(url: &str, arguments: &[&str]) -> String {
    let output = operator_command(url, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
