//! A blocking HTTP/1.1 client with one request at a time per connection. It understands only what the server under test sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub struct HttpConnection {
    stream: BufReader<TcpStream>,
    to: SocketAddr,
}

#[derive(Debug)]
pub struct ServerResponse {
    pub status: u16,
    pub body: Vec<u8>,
}

impl HttpConnection {
    pub fn connect(to: SocketAddr) -> Result<HttpConnection, String> {
        let stream = TcpStream::connect(to).map_err(|error| format!("cannot connect to {to}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(HttpConnection { stream: BufReader::new(stream), to })
    }

    /// Sends a request and reads the response. Reconnects once, because a server may close an old connection.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<ServerResponse, String> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.to, body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let request = [request.as_bytes(), body].concat();
        if let Ok(response) = self.exchange(&request) {
            return Ok(response);
        }
        *self = HttpConnection::connect(self.to)?;
        self.exchange(&request).map_err(|error| format!("{method} {path}: {error}"))
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<ServerResponse> {
        self.stream.get_mut().write_all(request)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(ServerResponse { status, body })
    }
}

/// The body of a GET request.
pub fn get(to: SocketAddr, path: &str) -> Result<String, String> {
    let response = HttpConnection::connect(to)?.request("GET", path, &[], &[])?;
    match response.status {
        200 => Ok(String::from_utf8_lossy(&response.body).into_owned()),
        status => Err(format!("the server responded to {path} with {status}")),
    }
}
