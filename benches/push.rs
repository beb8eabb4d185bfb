//! Push performance against the stand-in gateway over real TLS and HTTP/2: `cargo bench --bench push`.
//!
//! - Pushes per second over one connection, with several numbers of pushes in flight, and the CPU time of sender and gateway.
//! - Latency from a durable write to the gateway's acceptance of the wake, through the real binary: p50 and p99, with and without the grace
//!   period, for one write after the other and for all writes at once.
//!
//! The gateway does the same checks as in tests, and shares the machine with the sender.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driftless::auth::{MintClaims, OutboundProxy, mint};
use driftless::clock::Clock;
use driftless::push::{ApnsConfig, PushConfig, PushGateways, Verdict, Wake};
use driftless_client::{Connection, Settings, TokenSource};
use driftless_protocol::{Change, ClientMessage, DatasetName, DeviceId, Key, Op, PushTarget, Registration, ServerMessage, Value};
use driftless_standin::{ApnsEnvironment, StandInGateway};
use tokio::runtime::Runtime;

const APP: &str = "com.example.app";
const SECRET: &str = "a secret of this benchmark and of its issuer";
const RUN: Duration = Duration::from_secs(5);
const IN_FLIGHT: [usize; 4] = [1, 16, 128, 512];
const TOKENS: usize = 1000;
const GRACE_MS: u64 = 50;
const PEOPLE: usize = 1000;

fn main() {
    let gateway_runtime = runtime("gateway");
    let gateway = gateway_runtime.block_on(StandInGateway::start()).unwrap();
    one_connection(&gateway);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // A second gateway: the server signs its own provider token, and Apple rejects a second one within 20 minutes.
    let gateway = gateway_runtime.block_on(StandInGateway::start()).unwrap();
    let server = BenchServer::start(folder.path(), &gateway);
    let devices = runtime("device");
    devices.block_on(write_to_acceptance(&server, &gateway));
}

/// A runtime whose threads have this name, so that their CPU time can be told apart.
fn runtime(name: &str) -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

fn apns(gateway: &StandInGateway) -> ApnsConfig {
    let credentials = gateway.credentials();
    ApnsConfig {
        app: APP.to_owned(),
        server: Some(gateway.url()),
        sandbox_server: Some(gateway.sandbox_url()),
        key_file: Some(credentials.apns_key.clone()),
        key_id: Some(credentials.apns_key_id.to_owned()),
        team_id: Some(credentials.apns_team_id.to_owned()),
        authority_file: Some(credentials.authority.clone()),
        ..ApnsConfig::default()
    }
}

fn one_connection(gateway: &StandInGateway) {
    gateway.set_kept_pushes(0);
    let senders = runtime("sender");
    let gateways = senders.block_on(async {
        PushGateways::new(&PushConfig { apns: vec![apns(gateway)], ..PushConfig::default() }, &OutboundProxy::default()).unwrap()
    });
    let tokens: Arc<Vec<PushTarget>> =
        Arc::new((0..TOKENS).map(|_| PushTarget::Apns(gateway.new_apns_token(APP, ApnsEnvironment::Production))).collect());
    println!("one connection to the stand-in, APNs, {} s each", RUN.as_secs());
    println!("{:>10} {:>12} {:>14} {:>14}", "in flight", "pushes/s", "sender us", "gateway us");
    for in_flight in IN_FLIGHT {
        let (sender, receiver) = (cpu_us("sender"), cpu_us("gateway"));
        let sent = senders.block_on(run(&gateways, &tokens, in_flight));
        let each = |before: u64, name: &str| (cpu_us(name) - before) as f64 / sent as f64;
        let rate = sent as f64 / RUN.as_secs_f64();
        println!("{in_flight:>10} {rate:>12.0} {:>14.1} {:>14.1}", each(sender, "sender"), each(receiver, "gateway"));
    }
    let counts = gateway.counts();
    assert_eq!((counts.connections, counts.refused.len()), (1, 0), "{counts:?}");
    println!("connections {}, provider tokens {}\n", counts.connections, counts.provider_tokens);
}

async fn run(gateways: &PushGateways, tokens: &Arc<Vec<PushTarget>>, in_flight: usize) -> u64 {
    let (sent, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + RUN);
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..in_flight {
        let (gateways, tokens, sent) = (gateways.clone(), tokens.clone(), sent.clone());
        tasks.spawn(async move {
            let mut at = first;
            while Instant::now() < end {
                let wake = Wake {
                    cognito_pool: None,
                    pool: "demo".to_owned(),
                    identity: "local:3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
                    dataset: dataset(),
                    version: at as u64,
                    alert: None,
                    expires_unix_s: unix_ms() / 1000 + 3600,
                };
                let verdict = gateways.send(&tokens[at % TOKENS], APP, &wake, Clock::start()).await;
                assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
                sent.fetch_add(1, Ordering::Relaxed);
                at += in_flight;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    sent.load(Ordering::Relaxed)
}

/// The CPU time of the threads with this name, in microseconds.
fn cpu_us(name: &str) -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    threads.filter(|path| std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim() == name).map(|path| stat_us(&path)).sum()
}

/// User and system time in a `stat` file, in microseconds.
fn stat_us(folder: &Path) -> u64 {
    let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0 };
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks * 10_000
}

struct BenchServer {
    child: Child,
    url: String,
}

impl BenchServer {
    fn start(folder: &Path, gateway: &StandInGateway) -> BenchServer {
        let credentials = gateway.credentials();
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndata = {:?}\nlog_format = \"json\"\n\
             [pools.demo.wakes]\ngrace_ms = {GRACE_MS}\napple_per_hour = 3600\napple_burst = 100\n\
             [[pools.demo.push.apns]]\napp = {APP:?}\nserver = {:?}\nsandbox_server = {:?}\nkey_file = {:?}\nkey_id = {:?}\nteam_id = {:?}\n\
             authority_file = {:?}\n[[pools.demo.issuers]]\nissuer = \"bench\"\naudience = [\"app\"]\nsecret = {SECRET:?}\n",
            folder.join("store"),
            gateway.url(),
            gateway.sandbox_url(),
            credentials.apns_key,
            credentials.apns_key_id,
            credentials.apns_team_id,
            credentials.authority,
        );
        let file = folder.join("driftless.toml");
        std::fs::write(&file, text).unwrap();
        let arguments = ["serve", "--config", file.to_str().unwrap()];
        let mut child = Command::new(env!("CARGO_BIN_EXE_driftless")).args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("\"address\":")).unwrap();
        let address = line.split("\"address\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        BenchServer { child, url: format!("http://{address}") }
    }

    async fn device(&self, person: &str, device: &str) -> Connection {
        let now_s = unix_ms() / 1000;
        let claims = MintClaims { issuer: "bench", audience: "app", subject: person, issued_s: now_s, expires_s: now_s + 3600 };
        let settings = Settings::new(&self.url, DeviceId::new(device).unwrap(), TokenSource::fixed("")).unwrap();
        Connection::connect(&settings, mint(SECRET, &claims).unwrap()).await.unwrap().0
    }

    fn cpu_us(&self) -> u64 {
        stat_us(Path::new(&format!("/proc/{}", self.child.id())))
    }
}

impl Drop for BenchServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn write_to_acceptance(server: &BenchServer, gateway: &StandInGateway) {
    println!("from a durable write to the gateway's acceptance, {PEOPLE} people with one sleeping phone each, grace {GRACE_MS} ms");
    let mut laptops = Vec::new();
    let mut tokens = Vec::new();
    for at in 0..PEOPLE {
        let person = format!("person-{at}");
        let token = gateway.new_apns_token(APP, ApnsEnvironment::Production);
        let target = PushTarget::Apns(token.clone());
        let registration = Registration { target, app: APP.to_owned(), datasets: None, shown: false };
        let mut phone = server.device(&person, "phone").await;
        phone.send(&ClientMessage::Register(registration)).await.unwrap();
        assert!(matches!(phone.recv().await.unwrap(), ServerMessage::Registered { .. }));
        laptops.push(server.device(&person, "laptop").await);
        tokens.push(token);
    }
    let (mut written, mut id) = (HashMap::new(), 0);
    for case in ["one write after the other", "all at once"] {
        id += 1;
        let (server_us, gateway_us) = (server.cpu_us(), cpu_us("gateway"));
        let began = Instant::now();
        for (laptop, token) in laptops.iter_mut().zip(&tokens) {
            laptop.send(&write(id)).await.unwrap();
            if id == 1 {
                assert!(matches!(laptop.recv().await.unwrap(), ServerMessage::Written { .. }));
                written.insert(token.clone(), unix_ms());
            }
        }
        for (laptop, token) in laptops.iter_mut().zip(&tokens).filter(|_| id > 1) {
            assert!(matches!(laptop.recv().await.unwrap(), ServerMessage::Written { .. }));
            written.insert(token.clone(), unix_ms());
        }
        let mut times = Vec::new();
        for token in &tokens {
            let pushed = gateway.wait_for_pushes(token, id as usize).await;
            times.push(pushed.last().unwrap().at_ms.saturating_sub(written[token]));
        }
        let took = began.elapsed();
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        let each = |us: u64| us as f64 / PEOPLE as f64;
        println!(
            "{case:<26} p50 {:>5} ms, p99 {:>5} ms; without the grace p50 {:>4}, p99 {:>4}; {:>6.0} wakes/s; CPU each: server {:.0} us, gateway {:.0} us",
            at(0.5),
            at(0.99),
            at(0.5).saturating_sub(GRACE_MS),
            at(0.99).saturating_sub(GRACE_MS),
            PEOPLE as f64 / took.as_secs_f64(),
            each(server.cpu_us() - server_us),
            each(cpu_us("gateway") - gateway_us),
        );
    }
    assert_eq!(gateway.counts().accepted, 2 * PEOPLE as u64, "one wake for each write");
}

fn dataset() -> DatasetName {
    DatasetName::new("settings").unwrap()
}

fn write(id: u64) -> ClientMessage {
    let change = Change::new(Key::new("n").unwrap(), Op::Put, Value::from(format!("{id}")));
    ClientMessage::Write { id, dataset: dataset(), changes: vec![change], offer: false }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
