//! A `redis-server` of this run: durable after each write, and without the rewrites of its file that would disturb the measurement.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::resp::{self, RespValue};
use super::versioned_write::SCRIPT;
use crate::machine::Process;

/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

pub struct RedisProcess {
    child: Child,
    pub address: SocketAddr,
    /// The digest by which the server knows the script.
    pub script: String,
}

impl RedisProcess {
    /// Starts it with its file in this folder.
    pub fn start(folder: &Path) -> Result<RedisProcess, String> {
        let folder = folder.join("redis");
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = port.map_err(|error| format!("cannot find a free port for redis-server: {error}"))?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--loglevel", "warning"]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0"]);
        command.arg("--dir").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| {
            format!(
                "cannot start redis-server: {error}; this scenario compares with it: apt-get install redis-server installs it on Debian"
            )
        })?;
        let mut started = RedisProcess { child, address, script: String::new() };
        let mut stream = started.connect()?;
        started.script = match request(&mut stream, &[b"SCRIPT", b"LOAD", SCRIPT.as_bytes()])? {
            RespValue::Text(digest) => String::from_utf8_lossy(&digest).into_owned(),
            other => return Err(format!("redis-server did not load the script: {other:?}")),
        };
        Ok(started)
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// A connection, once the server accepts them.
    fn connect(&mut self) -> Result<TcpStream, String> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => return Ok(stream),
                Err(error) if began.elapsed() > START_TIMEOUT => return Err(format!("redis-server does not accept connections: {error}")),
                Err(_) => {}
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("redis-server ended: {status}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request and its reply.
fn request(stream: &mut TcpStream, arguments: &[&[u8]]) -> Result<RespValue, String> {
    let fail = |error: std::io::Error| format!("no reply of redis-server: {error}");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    resp::command(arguments, &mut bytes);
    stream.write_all(&bytes).map_err(fail)?;
    bytes.clear();
    loop {
        let length = stream.read(&mut buffer).map_err(fail)?;
        bytes.extend_from_slice(&buffer[..length]);
        match resp::parse(&bytes) {
            Ok(Some((value, _))) => return Ok(value),
            Ok(None) if length > 0 => {}
            _ => return Err("redis-server sent no reply".to_owned()),
        }
    }
}
