//! Clients that read a response slowly, over a pipe and over TLS. The time is simulated: these tests wait for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn;
use axum::routing::get;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::connection::serve_connection;
use super::counted::counted_body;
use super::party::RequestParty;
use super::permit::ConnectionPermit;
use super::proxies::ProxiesConfig;
use super::rules::ConnectionRules;
use super::server::tls_handshake;
use super::tls::{ServerCertificate, TlsConfig};
use super::transfers::Transfers;
use crate::clock::{Clock, RunningClock};
use crate::limits::{AddressLimits, ClientAddress, MemoryBudgets, MemoryUse};
use crate::metrics::Metrics;
use crate::session::{DrainControl, FLOOR_BYTES_PER_S, SlowTransfers, TransferParty};

/// More than all buffers between the two ends hold, and than a client at the floor reads within the allowance of a response.
const RESPONSE_BYTES: usize = 200_000;

/// What the connection takes from the server at once, as a system's buffer does.
const PIPE_BYTES: usize = 4096;

/// The server's end of a connection, whose requests are all of this party.
struct ServerEnd {
    router: Router,
    permit: ConnectionPermit,
    transfers: Transfers,
    elapsed_ms: &'static AtomicU64,
}

fn server_end(party: TransferParty, slow: SlowTransfers) -> ServerEnd {
    let authenticate = from_fn(move |request: Request, next: axum::middleware::Next| {
        RequestParty::authenticated(request.extensions(), party);
        next.run(request)
    });
    let router = Router::new().route("/", get(async || vec![b'x'; RESPONSE_BYTES])).layer(authenticate);
    server_end_with(router, slow)
}

fn server_end_with(router: Router, slow: SlowTransfers) -> ServerEnd {
    let elapsed_ms: &AtomicU64 = Box::leak(Box::default());
    let transfers = Transfers { clock: RunningClock::new(Clock::by_hand(elapsed_ms)), slow };
    let client = ClientAddress::without_limits([127, 0, 0, 1].into());
    let rules = ConnectionRules::new(AddressLimits::default(), ProxiesConfig::default(), 1, Metrics::default());
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
    let counted = client.open_connection().expect("has no limits");
    ServerEnd { router, permit: ConnectionPermit::new(place, rules, client, counted), transfers, elapsed_ms }
}

/// How many bytes of the response arrive at a client that reads so many in a second.
async fn arrived(mut client: impl AsyncRead + AsyncWrite + Unpin, server: (Transfers, &AtomicU64), bytes_per_s: u64) -> usize {
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.expect("sends");
    client.flush().await.expect("sends");
    let (transfers, elapsed_ms) = server;
    let mut all = Vec::new();
    loop {
        match (&mut client).take(bytes_per_s).read_to_end(&mut all).await {
            Ok(read) if read as u64 == bytes_per_s => {}
            Ok(_) | Err(_) => break,
        }
        elapsed_ms.fetch_add(1000, Ordering::Relaxed);
        transfers.clock.tick();
        tokio::task::yield_now().await;
    }
    let head = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    all.len() - head - 4
}

async fn arrived_over_pipe(party: TransferParty, slow: &SlowTransfers, bytes_per_s: u64) -> usize {
    let ServerEnd { router, permit, transfers, elapsed_ms } = server_end(party, slow.clone());
    let (client, stream) = tokio::io::duplex(PIPE_BYTES);
    let drain = DrainControl::default();
    tokio::spawn(serve_connection(stream, router, permit, transfers.clone(), drain.watch()));
    arrived(client, (transfers, elapsed_ms), bytes_per_s).await
}

/// The client of a connection with TLS whose server has a certificate of its own.
fn certificate() -> (ServerCertificate, TlsConnector) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsConfig { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&files.certificate, made.cert.pem()).expect("writes");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("writes");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    (ServerCertificate::open(&files).expect("opens"), connector)
}

#[tokio::test]
async fn a_device_at_the_floor_gets_its_response_over_tls_too() {
    let (certificate, connector) = certificate();
    let ServerEnd { router, permit, transfers, elapsed_ms } = server_end(TransferParty::Device, SlowTransfers::default());
    let (client, stream): (DuplexStream, DuplexStream) = tokio::io::duplex(PIPE_BYTES);
    let drain = DrainControl::default();
    let (serving, mut watch) = (transfers.clone(), drain.watch());
    tokio::spawn(async move {
        let stream = tls_handshake(certificate.acceptor(), stream, &permit, &mut watch).await.expect("a handshake");
        serve_connection(Box::new(stream), router, permit, serving, watch).await;
    });
    let client = connector.connect(ServerName::try_from("localhost").expect("a name"), client).await.expect("a handshake");
    assert_eq!(arrived(client, (transfers, elapsed_ms), FLOOR_BYTES_PER_S + 40).await, RESPONSE_BYTES);
}

#[tokio::test]
async fn slow_readers_who_are_nobody_hold_no_place_and_devices_none_of_the_operators() {
    let slow = SlowTransfers::default();
    assert_eq!(arrived_over_pipe(TransferParty::Device, &slow, FLOOR_BYTES_PER_S + 40).await, RESPONSE_BYTES);
    assert!(arrived_over_pipe(TransferParty::Device, &slow, FLOOR_BYTES_PER_S / 2).await < RESPONSE_BYTES);
    let unauthenticated = arrived_over_pipe(TransferParty::Unauthenticated, &slow, 2 * FLOOR_BYTES_PER_S).await;
    assert!((100_000..RESPONSE_BYTES).contains(&unauthenticated), "a minute's worth: {unauthenticated}");
    let devices: Vec<_> = std::iter::from_fn(|| slow.enter(TransferParty::Device)).collect();
    assert!(arrived_over_pipe(TransferParty::Device, &slow, 2 * FLOOR_BYTES_PER_S).await < RESPONSE_BYTES);
    assert_eq!(arrived_over_pipe(TransferParty::Operator, &slow, 2 * FLOOR_BYTES_PER_S).await, RESPONSE_BYTES);
    drop(devices);
}

/// An answer counts as memory until its client has read nearly all of it, and not only until it was produced.
#[tokio::test]
async fn an_answer_that_nobody_reads_counts_until_it_is_read() {
    let (memory, identity) = (MemoryBudgets::default(), Arc::from("alice"));
    let answers = memory.clone();
    let answer = move || {
        let held = answers.try_take(&identity, MemoryUse::Answers, 2 * RESPONSE_BYTES).expect("there is enough");
        async move { counted_body(held, vec![b'x'; RESPONSE_BYTES].into()) }
    };
    let ServerEnd { router, permit, transfers, .. } = server_end_with(Router::new().route("/", get(answer)), SlowTransfers::default());
    let (mut client, stream) = tokio::io::duplex(PIPE_BYTES);
    let drain = DrainControl::default();
    let serving = tokio::spawn(serve_connection(stream, router, permit, transfers, drain.watch()));
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await.expect("sends");
    let held = || memory.held_bytes(MemoryUse::Answers);
    let mut read = vec![0; RESPONSE_BYTES / 2];
    client.read_exact(&mut read).await.expect("half of it");
    assert!(held() >= RESPONSE_BYTES, "{}", held());
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("the rest");
    serving.await.expect("ends");
    assert_eq!(held(), 0);
}
