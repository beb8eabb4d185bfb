//! The server's main job, measured on the real binary over real sockets: `cargo bench --bench main_job --features jemalloc`.
//!
//! - Latency of a durable write to the person's other device, and to its acknowledgement, compared with the disk's own `fdatasync` in the
//!   same run: p50 and p99 over 2,000 rounds.
//! - Durable writes per second of 64 devices, each with one write at a time.
//! - The server's resident memory per idle session with an open dataset, at 1,000 and 10,000 sessions.
//!
//! Compare figures only within one run: the speed of a machine changes from hour to hour.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftless::dev;
use driftless_client::{Connection, Settings, TokenSource};
use driftless_protocol::{Change, ClientMessage, DatasetName, DeviceId, Key, Op, ServerMessage, Value};

const ROUNDS: usize = 2_000;
const VALUE_BYTES: usize = 200;
const WRITERS: usize = 64;
const WRITE_TIME: Duration = Duration::from_secs(10);
const IDLE: [usize; 2] = [1_000, 10_000];

/// Within this time after its last message, a session has freed its buffers.
const SETTLE: Duration = Duration::from_secs(6);

fn main() {
    // The store is beside the build, on a real disk: the temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = MeasuredServer::start(&folder.path().join("store"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        disk(folder.path());
        latency(&server).await;
        throughput(&server).await;
    });
    drop(server);
    for sessions in IDLE {
        let server = MeasuredServer::start(&folder.path().join(format!("idle-{sessions}")));
        runtime.block_on(idle(&server, sessions));
    }
}

struct MeasuredServer {
    child: Child,
    url: String,
}

impl MeasuredServer {
    fn start(data: &Path) -> MeasuredServer {
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--log", "warn"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_driftless")).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("http://")).unwrap();
        let url = line[line.find("http://").unwrap()..].trim_end_matches("/demo/").to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        MeasuredServer { child, url }
    }

    /// Resident memory, in KiB.
    fn resident_kib(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    async fn device(&self, person: &str, device: &str) -> Connection {
        let token = dev::token(person, 3600).unwrap();
        let settings = Settings::new(&self.url, DeviceId::new(device).unwrap(), TokenSource::fixed("")).unwrap();
        Connection::connect(&settings, token).await.unwrap().0
    }
}

impl Drop for MeasuredServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dataset() -> DatasetName {
    DatasetName::new("settings").unwrap()
}

fn write(id: u64, key: &str) -> ClientMessage {
    let change = Change::new(Key::new(key).unwrap(), Op::Put, Value::from("x".repeat(VALUE_BYTES)));
    ClientMessage::Write { id, dataset: dataset(), changes: vec![change], offer: false }
}

async fn open(device: &mut Connection) {
    device.send(&ClientMessage::Open { dataset: dataset(), position: None }).await.unwrap();
    assert!(matches!(device.recv().await.unwrap(), ServerMessage::Changes { .. }));
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{what:<42} p50 {:>8.0} us   p99 {:>8.0} us   ({} rounds)", at(0.50), at(0.99), times.len());
}

fn disk(folder: &Path) {
    let file = std::fs::File::create(folder.join("disk")).unwrap();
    let rounds = (0..ROUNDS).map(|n| {
        let start = Instant::now();
        file.write_all_at(&[7; 4096], n as u64 * 4096).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    });
    report("disk: append 4 KiB, fdatasync", rounds.collect());
}

async fn latency(server: &MeasuredServer) {
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    open(&mut laptop).await;
    let (mut arrivals, mut answers) = (Vec::new(), Vec::new());
    for id in 1..=ROUNDS as u64 {
        let start = Instant::now();
        phone.send(&write(id, "theme")).await.unwrap();
        assert!(matches!(laptop.recv().await.unwrap(), ServerMessage::Changes { .. }));
        arrivals.push(start.elapsed());
        assert!(matches!(phone.recv().await.unwrap(), ServerMessage::Written { .. }));
        answers.push(start.elapsed());
    }
    report("from a write to the other device", arrivals);
    report("from a write to delivery and acknowledgement", answers);
}

async fn throughput(server: &MeasuredServer) {
    let end = Instant::now() + WRITE_TIME;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let mut device = server.device(&format!("writer-{n}"), "phone").await;
        writers.push(tokio::spawn(async move {
            let mut id = 0;
            while Instant::now() < end {
                id += 1;
                device.send(&write(id, &format!("k{}", id % 100))).await.unwrap();
                assert!(matches!(device.recv().await.unwrap(), ServerMessage::Written { .. }));
            }
            id
        }));
    }
    let mut total = 0;
    for writer in writers {
        total += writer.await.unwrap();
    }
    println!("{WRITERS} devices, one write at a time each           {:>8.0} durable writes/s", total as f64 / WRITE_TIME.as_secs_f64());
}

async fn idle(server: &MeasuredServer, sessions: usize) {
    let mut devices = Vec::new();
    // Each person connects once before the measurement, so that a new person's memory in the store and its cache is not counted.
    for n in 0..sessions {
        server.device(&format!("person-{n}"), "phone").await.close().await;
    }
    tokio::time::sleep(SETTLE).await;
    let before = server.resident_kib();
    for n in 0..sessions {
        let mut device = server.device(&format!("person-{n}"), "phone").await;
        open(&mut device).await;
        devices.push(device);
    }
    tokio::time::sleep(SETTLE).await;
    let taken = (server.resident_kib() - before) as f64;
    println!("{sessions:>6} idle sessions with an open dataset      {:>8.2} KiB of server memory each", taken / sessions as f64);
}
