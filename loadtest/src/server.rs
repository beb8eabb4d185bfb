//! The server under test: a process started with the scenario's settings, or a server that runs already.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driftless::dev;
use jsonwebtoken::{EncodingKey, Header};
use rustix::process::{Pid, Signal, kill_process};
use toml::{Table, Value};

use crate::machine::Process;

const POOL: &str = "load";
const ISSUER: &str = "driftless-loadtest";
const AUDIENCE: &str = "load";

/// The operator key of a server that the load test starts.
pub const OPERATOR_KEY: &str = "an-operator-key-for-nobody-but-this-load-test";

/// The lifetime of tokens: longer than any run.
const TOKEN_S: u64 = 7 * 24 * 3600;

/// What a long token has beside its long claim, before the encoding in base64.
const LONG_TOKEN_REST_BYTES: usize = 300;

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Signs tokens that the server accepts.
#[derive(Clone, Debug)]
pub struct TokenSigner {
    pub secret: String,
    pub issuer: String,
    pub audience: String,
}

impl TokenSigner {
    /// The signer for a server that the load test starts.
    pub fn own() -> TokenSigner {
        let secret: String = "a secret for nobody but this load test".to_owned();
        TokenSigner { secret, issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned() }
    }

    /// A token for a person.
    pub fn sign(&self, person: &str) -> String {
        // Signing cannot fail with these short names.
        dev::mint_for(&self.secret, &self.issuer, &self.audience, person, TOKEN_S).unwrap_or_default()
    }

    /// A token for a person with another claim, which makes the token about this long, in bytes.
    pub fn sign_long(&self, person: &str, bytes: usize) -> String {
        let issued_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // A token is in base64, which makes 4 characters of 3 bytes.
        let claims = serde_json::json!({
            "iss": self.issuer, "aud": self.audience, "sub": person, "iat": issued_s, "exp": issued_s + TOKEN_S,
            "groups": "x".repeat((bytes * 3 / 4).saturating_sub(LONG_TOKEN_REST_BYTES)),
        });
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(self.secret.as_bytes())).unwrap_or_default()
    }
}

/// A thread that starts the server.
pub type ServerStart = std::thread::JoinHandle<Result<(Child, SocketAddr), String>>;

pub struct ServerUnderTest {
    pub address: SocketAddr,
    pub signer: TokenSigner,
    process: Option<Process>,
    spawned: Option<SpawnedServer>,
}

/// A server process that the load test started.
struct SpawnedServer {
    child: Child,
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl ServerUnderTest {
    /// Starts a server with its store and configuration in this folder.
    pub fn start(
        binary: &Path,
        folder: &Path,
        settings: &Table,
        environment: Vec<(&'static str, String)>,
    ) -> Result<ServerUnderTest, String> {
        let (config, data, signer) = (folder.join("driftless.toml"), folder.join("store"), TokenSigner::own());
        let mut all = self::settings(&data, &signer, settings);
        std::fs::write(&config, all.to_string()).map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
        let (child, address) = launch(binary, &config, &environment)?;
        // Restarts must use the same port, because devices reconnect to it.
        all.insert("listen".to_owned(), Value::String(address.to_string()));
        all.insert("admin".to_owned(), one_port(&address.to_string()));
        std::fs::write(&config, all.to_string()).map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
        let process = Some(Process(child.id()));
        let spawned = SpawnedServer { child, binary: binary.to_owned(), config, data, environment };
        Ok(ServerUnderTest { address, signer, process, spawned: Some(spawned) })
    }

    /// A server that runs already. With its process id, the system reports its CPU and memory.
    pub fn running(address: SocketAddr, signer: TokenSigner, pid: Option<u32>) -> ServerUnderTest {
        ServerUnderTest { address, signer, process: pid.map(Process), spawned: None }
    }

    /// The server's process, if it is known.
    pub fn process(&self) -> Option<Process> {
        self.process
    }

    /// The server's binary, if the load test started it.
    pub fn binary(&self) -> Option<&Path> {
        self.spawned.as_ref().map(|spawned| spawned.binary.as_path())
    }

    /// The store's folder, if the load test started the server.
    pub fn data(&self) -> Option<&Path> {
        self.spawned.as_ref().map(|spawned| spawned.data.as_path())
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        let spawned = self.spawned()?;
        let pid = i32::try_from(spawned.child.id()).ok().and_then(Pid::from_raw).ok_or("the server has no process id")?;
        kill_process(pid, signal).map_err(|error| format!("cannot signal the server: {error}"))
    }

    /// Whether the server process has ended.
    pub fn has_ended(&mut self) -> Result<bool, String> {
        let spawned = self.spawned.as_mut().ok_or(NOT_SPAWNED)?;
        spawned.child.try_wait().map(|status| status.is_some()).map_err(|error| format!("cannot wait for the server: {error}"))
    }

    /// Starts an ended server again with the same store and address. Pass the result to [`ServerUnderTest::finish_restart`].
    pub fn restart(&mut self) -> Result<ServerStart, String> {
        let spawned = self.spawned.as_mut().ok_or(NOT_SPAWNED)?;
        let _ = spawned.child.wait();
        let (binary, config, environment) = (spawned.binary.clone(), spawned.config.clone(), spawned.environment.clone());
        Ok(std::thread::spawn(move || launch(&binary, &config, &environment)))
    }

    /// Waits until a restarted server accepts connections.
    pub fn finish_restart(&mut self, restart: ServerStart) -> Result<(), String> {
        let spawned = self.spawned.as_mut().ok_or(NOT_SPAWNED)?;
        let (child, _) = restart.join().map_err(|_| "the thread that starts the server panicked")??;
        self.process = Some(Process(child.id()));
        spawned.child = child;
        Ok(())
    }

    /// One of the server's metrics, summed over its labels. Used only for what the operating system does not report.
    pub fn metric(&self, name: &str) -> Result<f64, String> {
        let text = crate::http::get(self.address, "/metrics")?;
        let lines = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn spawned(&self) -> Result<&SpawnedServer, String> {
        self.spawned.as_ref().ok_or_else(|| NOT_SPAWNED.to_owned())
    }
}

const NOT_SPAWNED: &str = "this scenario starts and stops the server itself, so --at cannot be used with it";

impl Drop for ServerUnderTest {
    fn drop(&mut self) {
        if let Some(spawned) = &mut self.spawned {
            let _ = spawned.child.kill();
            let _ = spawned.child.wait();
        }
    }
}

/// The settings of a server: the load test's defaults, then the scenario's changes.
pub fn settings(data: &Path, signer: &TokenSigner, changed: &Table) -> Table {
    let mut all = base(data, signer);
    merge(&mut all, changed);
    all
}

/// Has the port for devices serve operators and the metrics, too.
fn one_port(listen: &str) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    Value::Table(Table::from_iter([("listen".to_owned(), text(listen)), ("key".to_owned(), text(OPERATOR_KEY))]))
}

fn base(data: &Path, signer: &TokenSigner) -> Table {
    let text = |text: &str| Value::String(text.to_owned());
    let issuer = Table::from_iter([
        ("issuer".to_owned(), text(&signer.issuer)),
        ("audience".to_owned(), Value::Array(vec![text(&signer.audience)])),
        ("secret".to_owned(), text(&signer.secret)),
    ]);
    let pool = Table::from_iter([("issuers".to_owned(), Value::Array(vec![Value::Table(issuer)]))]);
    Table::from_iter([
        ("listen".to_owned(), text("127.0.0.1:0")),
        ("admin".to_owned(), one_port("127.0.0.1:0")),
        ("data".to_owned(), text(&data.display().to_string())),
        ("log".to_owned(), text("warn,driftless::app=info")),
        ("log_format".to_owned(), text("json")),
        ("drain_wait_s".to_owned(), Value::Integer(0)),
        ("pools".to_owned(), Value::Table(Table::from_iter([(POOL.to_owned(), Value::Table(pool))]))),
    ])
}

fn merge(into: &mut Table, from: &Table) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

fn launch(binary: &Path, config: &Path, environment: &[(&'static str, String)]) -> Result<(Child, SocketAddr), String> {
    let mut command = Command::new(binary);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{} cannot be started: {error}", binary.display()))?;
    let began = Instant::now();
    let mut lines = BufReader::new(child.stderr.take().ok_or("the server has no log")?).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        // The server logs its address as a field.
        let logged: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = logged["fields"]["address"].as_str().and_then(|address| address.parse().ok()) {
            std::thread::spawn(move || lines.for_each(|line| eprintln!("server: {line}")));
            return Ok((child, address));
        }
        eprintln!("server: {line}");
        if began.elapsed() > START_TIMEOUT {
            break;
        }
    }
    let _ = child.kill();
    Err(format!("the server did not start: {} serve --config {}", binary.display(), config.display()))
}
