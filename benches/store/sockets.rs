//! Durable writes through sockets of the real server, a process of its own on the same machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftless::dev;
use driftless_client::{Connection, Settings, TokenSource};
use driftless_protocol::{Change, ClientMessage, DeviceId, Key, Op, ServerMessage, Value};
use tokio::runtime::Runtime;

use crate::committer::{VALUE_BYTES, dataset};
use crate::disk::DiskBaseline;
use crate::report::{Measurement, bytes_on_disk, counter, resident_mib, table};
use crate::settings::{WRITERS, engine};

/// Records of each writer.
const RECORDS: u64 = 100;

struct ServerProcess {
    child: Child,
    url: String,
}

/// A device and the number of its next patch.
type SocketWriter = (Connection, u64);

/// Prints one line: 64 sockets, beside the disk.
pub fn measure(folder: &Path, baseline: &mut DiskBaseline) {
    println!("\nthrough {WRITERS} sockets of the real server, one write at a time each, clients on the same machine");
    table(&["sockets", "group", "writes/s", "disk/s", "ratio", "memory MiB", "disk MiB", "p50 us", "p99 us"]);
    let server = ServerProcess::start(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut writers: Vec<SocketWriter> = runtime.block_on(async {
        let mut writers = Vec::new();
        for n in 0..WRITERS {
            writers.push((server.device(&format!("writer-{n}")).await, 0));
        }
        writers
    });
    let (written, limit) = baseline.alternate_with(|time| slice(&runtime, &server, &mut writers, time));
    let ratio = format!("{:.0} %", 100.0 * written.rate() / limit.rate());
    let cells = [WRITERS.to_string(), format!("{:.1}", written.group()), written.per_second(written.patches)];
    let sizes = [
        format!("{:.0}", resident_mib(&server.child.id().to_string())),
        format!("{:.0}", bytes_on_disk(folder) as f64 / f64::from(1 << 20)),
    ];
    println!("{}", written.row(&[&cells[..], &[limit.per_second(limit.patches), ratio], &sizes[..]].concat()));
}

fn slice(runtime: &Runtime, server: &ServerProcess, writers: &mut Vec<SocketWriter>, time: Duration) -> Measurement {
    let groups = server.groups();
    let begun = Instant::now();
    let waits = runtime.block_on(async {
        let tasks: Vec<_> = writers.drain(..).map(|writer| tokio::spawn(write(writer, begun + time))).collect();
        let mut all = Vec::new();
        for task in tasks {
            let (writer, waits) = task.await.unwrap();
            writers.push(writer);
            all.extend(waits);
        }
        all
    });
    Measurement { groups: server.groups() - groups, patches: waits.len() as u64, time: begun.elapsed(), waits }
}

async fn write((mut device, mut id): SocketWriter, end: Instant) -> (SocketWriter, Vec<Duration>) {
    let mut waits = Vec::new();
    while Instant::now() < end {
        id += 1;
        let key = Key::new(&format!("key-{}", id % RECORDS)).unwrap();
        let change = Change::new(key, Op::Put, Value::from("x".repeat(VALUE_BYTES)));
        let start = Instant::now();
        device.send(&ClientMessage::Write { id, dataset: dataset(), changes: vec![change], offer: false }).await.unwrap();
        assert!(matches!(device.recv().await.unwrap(), ServerMessage::Written { .. }));
        waits.push(start.elapsed());
    }
    ((device, id), waits)
}

impl ServerProcess {
    fn start(data: &Path) -> ServerProcess {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
        command.args(["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--log", "warn"]);
        command.args(engine().iter().flat_map(|engine| ["--store-engine", engine]));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("http://")).unwrap();
        let url = line[line.find("http://").unwrap()..].trim_end_matches("/demo/").to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        ServerProcess { child, url }
    }

    async fn device(&self, person: &str) -> Connection {
        let token = dev::token(person, 3600).unwrap();
        let settings = Settings::new(&self.url, DeviceId::new("phone").unwrap(), TokenSource::fixed("")).unwrap();
        Connection::connect(&settings, token).await.unwrap().0
    }

    fn groups(&self) -> u64 {
        let mut socket = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        counter(&text, "driftless_committer_groups_total")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
