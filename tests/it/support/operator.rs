//! An operator: requests with a key, written to the socket by hand, and the commands of the real binary.

use std::net::SocketAddr;
use std::process::Output;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{driftless, soon};

/// Somebody with a key, right or wrong.
pub struct Operator {
    address: SocketAddr,
    authorization: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the answer came to its end.
    pub whole: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of an answer that is granted, as JSON.
    pub fn json(&self) -> Value {
        assert!(self.status == 200 && self.whole, "{}: {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Operator {
    pub fn with(address: SocketAddr, key: &str) -> Operator {
        Operator { address, authorization: Some(format!("Bearer {key}")) }
    }

    /// Somebody who shows this, or nothing.
    pub fn showing(address: SocketAddr, authorization: Option<&str>) -> Operator {
        Operator { address, authorization: authorization.map(str::to_owned) }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.request("POST", path, body).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.request("DELETE", path, "").await
    }

    pub async fn request(&self, method: &str, path: &str, body: &str) -> Reply {
        read(self.begin(method, path, body).await).await
    }

    /// Sends a request and reads nothing yet.
    pub async fn begin(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a reader who does not read is soon noticed.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut socket = socket.connect(self.address).await.unwrap();
        let key = self.authorization.as_ref().map_or_else(String::new, |shown| format!("Authorization: {shown}\r\n"));
        let length = body.len();
        let text =
            format!("{method} /admin/api{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{key}Content-Length: {length}\r\n\r\n{body}");
        socket.write_all(text.as_bytes()).await.unwrap();
        socket
    }

    /// The identity of a person of the demo pool.
    pub async fn identity(&self, person: &str) -> String {
        let found = self.get(&format!("/identities?pool=demo&subject={person}")).await.json();
        found["logins"][0]["identity"].as_str().unwrap_or_else(|| panic!("nobody is {person}")).to_owned()
    }
}

/// Reads an answer until the server closes.
pub async fn read(mut socket: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let _ = soon("an answer", socket.read_to_end(&mut bytes)).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let rest = bytes.get(end + 4..).unwrap_or_default();
    let (body, whole) = if head.contains("transfer-encoding: chunked") { chunks(rest) } else { (rest.to_vec(), true) };
    Reply { status, body, whole }
}

/// The content of chunks (RFC 9112 section 7.1), and whether the last one is there.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, bool) {
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

/// Runs an operator's command against a server.
pub async fn command(url: &str, arguments: &[&str]) -> Output {
    soon(arguments[0], driftless().args(arguments).args(["--url", url]).output()).await.unwrap()
}

/// Runs one that must succeed, and returns what it printed.
pub async fn commanded(url: &str, arguments: &[&str]) -> String {
    let output = command(url, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
