//! Connections that say nothing. The server closes each after a while; the attack opens it again.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::signals::AttackSignals;
use crate::machine;

/// How often closed connections are opened again.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a connection may take: longer only if the server's backlog is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Each attack has a local address of its own: the ports of earlier connections may still be waiting for late packets.
static NEXT_ADDRESS: AtomicU8 = AtomicU8::new(1);

/// Holds this number of connections open until the attack is stopped. Returns how many were opened.
pub fn hold_silent_sockets(to: SocketAddr, count: u32, signals: &AttackSignals) -> Result<u64, String> {
    machine::check_file_limit(count)?;
    machine::lower_thread_priority();
    let from = Ipv4Addr::new(127, 251, 1, NEXT_ADDRESS.fetch_add(1, Ordering::Relaxed) % 250 + 1);
    let (mut opened, mut sockets) = (0, Vec::new());
    while !signals.must_stop() {
        while sockets.len() < count as usize && !signals.must_stop() {
            match connect(to, from) {
                Ok(socket) => sockets.push(socket),
                // The server's backlog is full.
                Err(_) => break,
            }
            opened += 1;
        }
        signals.begin();
        sockets.retain(is_open);
        std::thread::sleep(CHECK_INTERVAL);
    }
    Ok(opened)
}

fn connect(to: SocketAddr, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn is_open(socket: &TcpStream) -> bool {
    let mut socket = socket;
    matches!(socket.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}
