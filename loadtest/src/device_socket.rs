//! One device's socket, with partly received and partly sent bytes. It holds nothing else, because a run has very many of them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes read at a time, into a buffer that all sockets share.
pub const READ_BYTES: usize = 128 * 1024;

/// A socket. The two buffers exist only while they hold bytes, and are boxed twice to keep the struct small: hardly any socket has one.
#[derive(Debug)]
#[allow(clippy::box_collection)]
pub struct DeviceSocket {
    pub stream: TcpStream,
    unread: Option<Box<Vec<u8>>>,
    unsent: Option<Box<Vec<u8>>>,
}

/// Whether a socket is still open for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFlow {
    Open,
    Ended,
}

impl DeviceSocket {
    /// Starts to connect. If the server is on this machine, `from` is the local address.
    pub fn connect(to: SocketAddr, from: SocketAddrV4, receive_bytes: Option<usize>) -> io::Result<DeviceSocket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if to.ip().is_loopback() {
            // Allows a port that is still in TIME_WAIT.
            socket.set_reuse_address(true)?;
            socket.bind(&from.into())?;
        }
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(DeviceSocket { stream: TcpStream::from_std(socket.into()), unread: None, unsent: None })
    }

    /// Sends as much as the socket accepts now, and keeps the rest for [`DeviceSocket::flush`].
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

    /// Whether no bytes are kept for [`DeviceSocket::flush`].
    pub fn has_sent_all(&self) -> bool {
        self.unsent.is_none()
    }

    /// Sends the bytes that were kept.
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

    /// Reads until the socket is empty. `take` gets the unconsumed bytes and returns how many it consumed. `ends`: the peer has shut down its
    /// side, so the read must go on to the end of the stream.
    pub fn read(&mut self, buffer: &mut [u8], ends: bool, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<SocketFlow> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Ok(SocketFlow::Ended),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(SocketFlow::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match &mut self.unread {
                None => {
                    let consumed = take(&buffer[..length]);
                    if consumed < length {
                        self.unread = Some(Box::new(buffer[consumed..length].to_vec()));
                    }
                }
                Some(unread) => {
                    unread.extend_from_slice(&buffer[..length]);
                    let consumed = take(unread);
                    unread.drain(..consumed);
                    if unread.is_empty() {
                        self.unread = None;
                    }
                }
            }
            // A short read has emptied the socket (epoll(7)); another read would only cost a system call, unless the end of the stream follows.
            if length < buffer.len() && !ends {
                return Ok(SocketFlow::Open);
            }
        }
    }
}
