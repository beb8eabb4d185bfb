//! Plain requests, one after the other over one connection: HTTP/1.1 as far as it goes to one's own server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection.
pub struct Http {
    stream: BufReader<TcpStream>,
    to: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    /// Connects.
    pub fn connect(to: SocketAddr) -> Result<Http, String> {
        let stream = TcpStream::connect(to).map_err(|error| format!("{to} cannot be reached: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Http { stream: BufReader::new(stream), to })
    }

    /// Asks, and waits for the answer. A server may end a connection that is old: then it is asked over another one.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.to, body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let request = [request.as_bytes(), body].concat();
        if let Ok(answer) = self.exchange(&request) {
            return Ok(answer);
        }
        *self = Http::connect(self.to)?;
        self.exchange(&request).map_err(|error| format!("{method} {path}: {error}"))
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer> {
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
        Ok(Answer { status, body })
    }
}

/// One page's text.
pub fn get(to: SocketAddr, path: &str) -> Result<String, String> {
    let answer = Http::connect(to)?.ask("GET", path, &[], &[])?;
    match answer.status {
        200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => Err(format!("{path} is answered with {status}")),
    }
}
