//! One device's connection: a socket, and what of a message came or went only in part. Nothing else: there are very many.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes read at a time, into a buffer that all links share.
pub const READ_BYTES: usize = 128 * 1024;

/// A connection. Small: its rests are there only while there are any, and boxed twice, because hardly any link has one.
#[derive(Debug)]
#[allow(clippy::box_collection)]
pub struct Link {
    pub stream: TcpStream,
    unread: Option<Box<Vec<u8>>>,
    unsent: Option<Box<Vec<u8>>>,
}

/// Whether a link has more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Open,
    Ended,
}

impl Link {
    /// Begins to connect; to a server on this machine, from this address of it.
    pub fn connect(to: SocketAddr, from: SocketAddrV4, receive_bytes: Option<usize>) -> io::Result<Link> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if to.ip().is_loopback() {
            // A port that was used a minute ago is free for another connection.
            socket.set_reuse_address(true)?;
            socket.bind(&from.into())?;
        }
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(Link { stream: TcpStream::from_std(socket.into()), unread: None, unsent: None })
    }

    /// Sends, now or as soon as the peer takes it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(unsent) = &mut self.unsent {
            unsent.extend_from_slice(bytes);
            return self.flush();
        }
        let sent = match self.stream.write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if sent < bytes.len() {
            self.unsent = Some(Box::new(bytes[sent..].to_vec()));
        }
        Ok(())
    }

    /// Sends what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(unsent) = &mut self.unsent else { return Ok(()) };
        match self.stream.write(unsent) {
            Ok(sent) if sent == unsent.len() => self.unsent = None,
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads all there is; `take` is given what came, after what it left last time, and says how much of it it took. `ends`: the peer sends no more after it.
    pub fn read(&mut self, buffer: &mut [u8], ends: bool, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<Flow> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Ok(Flow::Ended),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flow::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match &mut self.unread {
                None => {
                    let taken = take(&buffer[..length]);
                    if taken < length {
                        self.unread = Some(Box::new(buffer[taken..length].to_vec()));
                    }
                }
                Some(unread) => {
                    unread.extend_from_slice(&buffer[..length]);
                    let taken = take(unread);
                    unread.drain(..taken);
                    if unread.is_empty() {
                        self.unread = None;
                    }
                }
            }
            // A short read has emptied the socket (epoll(7)): asking again would cost a call for nothing, unless its end is behind it.
            if length < buffer.len() && !ends {
                return Ok(Flow::Open);
            }
        }
    }
}
