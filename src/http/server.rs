//! Reserves the port, accepts connections, and gives each one a task with timeouts.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::connection::serve_connection;
use super::error::refused_connection;
use super::page_guard::EncryptedPort;
use super::permit::ConnectionPermit;
use super::proxy_v2::{self, ProxiedClient};
use super::rules::ConnectionRules;
use super::tls::{ListenError, ServerCertificate};
use super::transfers::Transfers;
use crate::limits::LimitExceeded;
use crate::session::{DrainControl, DrainWatch, FLOOR_BYTES_PER_S, STALL_MS};

/// How long a client may take for the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How much may wait in the system to be sent on a connection, in bytes. Without it the system takes megabytes for a client that reads slowly,
/// and then nothing for minutes: the client would look stalled though it reads all the time.
const UNSENT_BYTES: u32 = 16 * 1024;

/// How much TLS may hold that the system has not taken, in bytes: one record. Its bytes count as written when TLS takes them, so a client that
/// reads slowly makes no progress until TLS has sent what it holds: within [`STALL_MS`] at the floor ([`FLOOR_BYTES_PER_S`]).
const TLS_BUFFER_BYTES: usize = 16 * 1024;

const _: () = assert!((TLS_BUFFER_BYTES as u64) < FLOOR_BYTES_PER_S * STALL_MS / 1000 * 2 / 3);

/// How many connections may wait to be accepted; the system may allow fewer (`net.core.somaxconn`). When all devices reconnect at once, a
/// client that finds the backlog full retries only after a second.
const BACKLOG: u32 = 16 * 1024;

/// How often the log says that no connection can be accepted, while that lasts.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How many files of the process are kept for the store, for connections to push gateways and issuers, and for the log, so that a full port leaves
/// these untouched.
const RESERVED_FILES: u64 = 128;

/// How long a client that has to make place may take, before another one is asked, too: the first one may have proved who it is meanwhile.
const GIVE_WAY: Duration = Duration::from_millis(200);

/// How long to wait before the next accept if the system has no resources for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How the port is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The flag that sets the address, for an error.
    pub flag: &'static str,
    /// The maximum number of open connections. Further ones wait in the backlog.
    pub connections: u32,
}

/// The stream of a connection with TLS. Boxed, as its state is large.
pub(super) type TlsSocket = Box<TlsStream<TcpStream>>;

/// A port that is this process's, and accepts nothing yet: a client is refused as if no server ran, and another server that wants the port
/// fails at once.
pub struct ReservedPort {
    socket: TcpSocket,
    address: SocketAddr,
    flag: &'static str,
    certificate: Option<ServerCertificate>,
    connections: u32,
}

/// A port that accepts connections.
pub struct Listener {
    listener: TcpListener,
    certificate: Option<ServerCertificate>,
    permits: Arc<Semaphore>,
    connections: u32,
    failures: AcceptFailures,
}

/// How many of these connections the process has files for: the hard limit of open files (`ulimit -n`), less those of the store. With fewer
/// files than connections the port would fail to accept, and the store to open a file.
fn usable_connections(connections: u32) -> u32 {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    files.map_or(connections, |files| connections_of_files(connections, files))
}

/// The same on a system that gives the process so many files. Of very few, half are for connections.
fn connections_of_files(connections: u32, files: u64) -> u32 {
    let usable = files - RESERVED_FILES.min(files / 2);
    connections.min(u32::try_from(usable).unwrap_or(u32::MAX)).max(1)
}

/// The failures of accepting connections since the log last named them.
#[derive(Default)]
struct AcceptFailures {
    count: u64,
    logged: Option<Instant>,
}

/// A port that is served by a task of its own.
pub struct ServedPort {
    drain: DrainControl,
    accepting: Option<JoinHandle<()>>,
    permits: Arc<Semaphore>,
    connections: u32,
}

impl ReservedPort {
    /// Binds the port. Without a certificate it is served without TLS.
    pub fn reserve(config: &HttpConfig, certificate: Option<ServerCertificate>) -> Result<ReservedPort, ListenError> {
        let failed = |error| ListenError::bind(config.listen, config.flag, &error);
        let socket = bind(config.listen).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let connections = usable_connections(config.connections);
        Ok(ReservedPort { socket, address, flag: config.flag, certificate, connections })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections may be open.
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Whether others in a network can read what is sent over it.
    pub fn is_readable(&self) -> bool {
        self.certificate.is_none() && !self.address.ip().is_loopback()
    }

    /// Begins to accept connections. Must be called inside a Tokio runtime.
    pub fn listen(self) -> Result<Listener, ListenError> {
        let ReservedPort { socket, address, flag, certificate, connections } = self;
        // Of two servers that have reserved one port, which the system permits, the second fails here.
        let listener = socket.listen(BACKLOG).map_err(|error| ListenError::bind(address, flag, &error))?;
        Ok(Listener {
            listener,
            certificate,
            permits: Arc::new(Semaphore::new(connections as usize)),
            connections,
            failures: AcceptFailures::default(),
        })
    }
}

impl Listener {
    /// Serves the port until it is drained.
    pub fn serve(self, router: Router, transfers: Transfers, rules: ConnectionRules) -> ServedPort {
        let router = if self.certificate.is_some() { router.layer(Extension(EncryptedPort)) } else { router };
        let (drain, permits, connections) = (DrainControl::default(), Arc::clone(&self.permits), self.connections);
        let accepting = Some(tokio::spawn(self.accept_all(router, transfers, rules, drain.watch())));
        ServedPort { drain, accepting, permits, connections }
    }

    async fn accept_all(mut self, router: Router, transfers: Transfers, rules: ConnectionRules, drain: DrainWatch) {
        let mut until = drain.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = until.begun() => return,
                accepted = self.accept(&rules, &transfers) => accepted,
            };
            let Some(AcceptedConnection { stream, permit, peer }) = accepted else { continue };
            let (router, transfers, mut drain) = (router.clone(), transfers.clone(), drain.clone());
            let tls = self.certificate.as_ref().map(ServerCertificate::acceptor);
            tokio::spawn(async move {
                let Some((stream, permit)) = begin(stream, permit, peer, tls.is_some(), &transfers, &mut drain).await else { return };
                match tls {
                    None => serve_connection(stream, router, permit, transfers, drain).await,
                    // Boxed: the state of a handshake is large and short-lived.
                    Some(tls) => {
                        if let Some(stream) = Box::pin(tls_handshake(tls, stream, &permit, &mut drain)).await {
                            serve_connection(Box::new(stream), router, permit, transfers, drain).await;
                        }
                    }
                }
            });
        }
    }

    async fn accept(&mut self, rules: &ConnectionRules, transfers: &Transfers) -> Option<AcceptedConnection> {
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                let client = rules.connection_client(peer.ip(), transfers.clock.running_ms());
                // A client that may have no more connections is closed at once: it has no place to wait in.
                let counted = match client.open_connection() {
                    Ok(counted) => counted,
                    Err(exceeded) => {
                        rules.refused(&client, exceeded);
                        refuse(stream, self.certificate.is_some(), exceeded);
                        return None;
                    }
                };
                let permit = self.permit(rules).await?;
                // Nagle's algorithm would delay a small message until the one before it is acknowledged.
                let _ = stream.set_nodelay(true);
                limit_unsent(&stream);
                let permit = ConnectionPermit::new(permit, rules.clone(), client, counted);
                Some(AcceptedConnection { stream, permit, peer })
            }
            Err(error) => {
                self.failures.count += 1;
                if self.failures.logged.is_none_or(|logged| logged.elapsed() >= ACCEPT_LOG_INTERVAL) {
                    warn!(%error, failures = std::mem::take(&mut self.failures.count), "cannot accept a connection");
                    self.failures.logged = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
                None
            }
        }
    }

    /// A place for one more connection. If none is free a client that has not proved who it is gives up its place; if there is no such client, the
    /// next one whose connection ends.
    async fn permit(&self, rules: &ConnectionRules) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        loop {
            rules.unauthenticated().close_one();
            if let Ok(permit) = tokio::time::timeout(GIVE_WAY, Arc::clone(&self.permits).acquire_owned()).await {
                return permit.ok();
            }
        }
    }
}

/// A connection that was accepted.
struct AcceptedConnection {
    stream: TcpStream,
    permit: ConnectionPermit,
    peer: SocketAddr,
}

/// Waits for the client's first byte, and reads who the client is from a proxy's header, if there is one before it.
async fn begin(
    mut stream: TcpStream,
    permit: ConnectionPermit,
    peer: SocketAddr,
    has_tls: bool,
    transfers: &Transfers,
    drain: &mut DrainWatch,
) -> Option<(TcpStream, ConnectionPermit)> {
    await_first_byte(&stream, &permit, transfers, drain).await?;
    let rules = permit.rules().clone();
    if !rules.expects_proxy_header(peer.ip()) {
        return Some((stream, permit));
    }
    let header = tokio::select! {
        biased;
        header = proxy_v2::read_header(&mut stream) => header,
        () = permit.silence(&transfers.clock) => return None,
        () = drain.begun() => return None,
    };
    let now_ms = transfers.clock.running_ms();
    let client = match header {
        Ok(ProxiedClient::Proxy) => None,
        Ok(ProxiedClient::Address(address)) => Some(rules.connection_client(address, now_ms)),
        Ok(ProxiedClient::Unnamed) => Some(rules.unnamed_client(peer.ip(), now_ms)),
        Err(error) => {
            warn!(%error, proxy = %peer.ip(), "connection of a trusted proxy refused");
            return None;
        }
    };
    let permit = match client {
        None => permit,
        Some(client) => match permit.proxied(&client) {
            Ok(permit) => permit,
            Err(exceeded) => {
                rules.refused(&client, exceeded);
                refuse(stream, has_tls, exceeded);
                return None;
            }
        },
    };
    // The header was the proxy's word; a client behind it that says nothing has no more time than any other.
    await_first_byte(&stream, &permit, transfers, drain).await?;
    Some((stream, permit))
}

/// Returns when there is something to read. `None`: the connection ends.
async fn await_first_byte(stream: &TcpStream, permit: &ConnectionPermit, transfers: &Transfers, drain: &mut DrainWatch) -> Option<()> {
    let mut first_byte = [0];
    // What arrived while the process was paused is seen before the silence.
    tokio::select! {
        biased;
        // A look at the first byte, which stays where it is: a socket can be reported as readable without one.
        peeked = stream.peek(&mut first_byte) => peeked.ok().filter(|bytes| *bytes > 0).map(|_| ()),
        () = permit.silence(&transfers.clock) => None,
        () = permit.must_close() => None,
        () = drain.begun() => None,
    }
}

/// Closes a connection that is over a limit. Without TLS its client is told when to come back, if the system takes the answer at once.
fn refuse(stream: TcpStream, has_tls: bool, exceeded: LimitExceeded) {
    if !has_tls && let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(&refused_connection(exceeded)).and_then(|_| stream.shutdown(Shutdown::Write));
    }
}

/// Begins TLS on a connection. `None` if that fails, takes too long, or the server drains.
pub(super) async fn tls_handshake<S: AsyncRead + AsyncWrite + Unpin>(
    tls: TlsAcceptor,
    stream: S,
    permit: &ConnectionPermit,
    drain: &mut DrainWatch,
) -> Option<TlsStream<S>> {
    tokio::select! {
        handshake = tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)) => match handshake {
            Ok(Ok(mut stream)) => {
                stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER_BYTES));
                return Some(stream);
            }
            Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
            Err(_) => debug!("TLS handshake timed out"),
        },
        () = permit.must_close() => {}
        () = drain.begun() => {}
    }
    None
}

impl ServedPort {
    /// Accepts no connection any more, and closes those that have no request in progress.
    pub async fn begin_drain(&mut self) {
        self.drain.begin();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.await;
        }
    }

    /// Returns when the last connection has closed. No more may be accepted.
    pub async fn closed(&self) {
        // The semaphore is never closed, and the number is that of all its permits, so this cannot fail.
        let _ = self.permits.acquire_many(self.connections).await;
    }
}

/// No connection is accepted any more, and those that are still open are closed, whatever is in progress on them. Sessions end by themselves.
impl Drop for ServedPort {
    fn drop(&mut self) {
        self.drain.end();
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // After a restart the port may still have sockets of the previous process in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(stream: &TcpStream) {
    // A system that refuses this only notices slow clients later.
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(_stream: &TcpStream) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_for_the_store() {
        assert_eq!(connections_of_files(1_000_000, 1024), 1024 - 128);
        assert_eq!(connections_of_files(1_000_000, 100), 50);
        assert_eq!(connections_of_files(8, 1024), 8);
        assert_eq!(connections_of_files(1_000_000, 1 << 40), 1_000_000);
        assert_eq!(connections_of_files(5, 0), 1);
    }
}
