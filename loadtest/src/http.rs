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
        let (mut length, mut is_chunked) = (0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
            is_chunked |= name.eq_ignore_ascii_case("transfer-encoding");
        }
        let mut body = vec![0; length];
        match is_chunked {
            true => self.read_chunks(&mut body)?,
            false => self.stream.read_exact(&mut body)?,
        }
        Ok(ServerResponse { status, body })
    }

    /// Reads a body that is sent in chunks (RFC 9112, section 7.1), as exports and backups are. Trailers are skipped.
    fn read_chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim_end(), 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
            let read = self.stream.by_ref().take(length).read_to_end(body)?;
            if (read as u64) < length {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            loop {
                line.clear();
                match self.stream.read_line(&mut line)? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    _ if line.trim_end().is_empty() => break,
                    _ => {}
                }
            }
            if length == 0 {
                return Ok(());
            }
        }
    }
}

/// The body of a response that is a success; otherwise an error with what the server said.
pub fn check_status(response: ServerResponse) -> Result<Vec<u8>, String> {
    match response.status {
        200..300 => Ok(response.body),
        status => Err(format!("the server responded with {status}: {}", String::from_utf8_lossy(&response.body))),
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_body_in_chunks_is_read_to_its_end_and_one_that_is_cut_is_an_error() {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n, chunks.\n\r\n0\r\n\r\n";
        for (bytes, body) in [(whole, Some("hello, chunks.\n")), (&whole[..whole.len() - 12], None)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let to = listener.local_addr().expect("an address");
            std::thread::scope(|scope| {
                // The client connects a second time after an error.
                scope.spawn(move || {
                    for _ in 0..if body.is_some() { 1 } else { 2 } {
                        let (mut stream, _) = listener.accept().expect("a connection");
                        let _ = stream.read(&mut [0; 1024]);
                        stream.write_all(bytes.as_bytes()).expect("is sent");
                    }
                });
                let response = HttpConnection::connect(to).expect("connects").request("GET", "/", &[], &[]);
                assert_eq!(response.ok().map(|response| response.body), body.map(|body| body.as_bytes().to_vec()));
            });
        }
    }
}
