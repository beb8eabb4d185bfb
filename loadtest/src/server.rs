//! The server under test: started here with the scenario's settings, or one that runs already.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftless::dev;
use rustix::process::{Pid, Signal, kill_process};
use toml::{Table, Value};

use crate::machine::Process;

const POOL: &str = "load";
const ISSUER: &str = "driftless-loadtest";
const AUDIENCE: &str = "load";

/// How long tokens hold: longer than any run.
const TOKEN_S: u64 = 7 * 24 * 3600;

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to sign tokens that the server believes.
#[derive(Clone, Debug)]
pub struct Signer {
    pub secret: String,
    pub issuer: String,
    pub audience: String,
}

impl Signer {
    /// One that a server started here believes.
    pub fn own() -> Signer {
        let secret: String = "a secret for nobody but this load test".to_owned();
        Signer { secret, issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned() }
    }

    /// A token for a person.
    pub fn mint(&self, person: &str) -> String {
        // A secret and short names can be signed.
        dev::mint_for(&self.secret, &self.issuer, &self.audience, person, TOKEN_S).unwrap_or_default()
    }
}

/// A server that starts.
pub type Starting = std::thread::JoinHandle<Result<(Child, SocketAddr), String>>;

/// The server.
pub struct Server {
    pub address: SocketAddr,
    pub signer: Signer,
    process: Option<Process>,
    own: Option<Own>,
}

/// One that was started here.
struct Own {
    child: Child,
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Server {
    /// Starts a server whose store and configuration are in a folder.
    pub fn start(binary: &Path, folder: &Path, settings: &Table, environment: Vec<(&'static str, String)>) -> Result<Server, String> {
        let (config, data, signer) = (folder.join("driftless.toml"), folder.join("store"), Signer::own());
        let mut all = self::settings(&data, &signer, settings);
        std::fs::write(&config, all.to_string()).map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
        let (child, address) = launch(binary, &config, &environment)?;
        // Later starts are at the same port: devices come back to it.
        all.insert("listen".to_owned(), Value::String(address.to_string()));
        std::fs::write(&config, all.to_string()).map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
        let process = Some(Process(child.id()));
        let own = Own { child, binary: binary.to_owned(), config, data, environment };
        Ok(Server { address, signer, process, own: Some(own) })
    }

    /// A server that runs already; with its process id the system can be asked about it.
    pub fn running(address: SocketAddr, signer: Signer, pid: Option<u32>) -> Server {
        Server { address, signer, process: pid.map(Process), own: None }
    }

    /// Its process, if it is known.
    pub fn process(&self) -> Option<Process> {
        self.process
    }

    /// Its program, if it was started here.
    pub fn binary(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.binary.as_path())
    }

    /// Its store's folder, if it is known.
    pub fn data(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.data.as_path())
    }

    /// Sends it a signal and goes on.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        let own = self.own()?;
        let pid = i32::try_from(own.child.id()).ok().and_then(Pid::from_raw).ok_or("the server has no process id")?;
        kill_process(pid, signal).map_err(|error| format!("the server cannot be signalled: {error}"))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool, String> {
        let own = self.own.as_mut().ok_or(NOT_OURS)?;
        own.child.try_wait().map(|status| status.is_some()).map_err(|error| format!("the server cannot be waited for: {error}"))
    }

    /// Starts it again, after it has ended, with the same store and address; [`Server::started`] takes what comes of it.
    pub fn start_again(&mut self) -> Result<Starting, String> {
        let own = self.own.as_mut().ok_or(NOT_OURS)?;
        let _ = own.child.wait();
        let (binary, config, environment) = (own.binary.clone(), own.config.clone(), own.environment.clone());
        Ok(std::thread::spawn(move || launch(&binary, &config, &environment)))
    }

    /// It accepts connections, or did not start.
    pub fn started(&mut self, starting: Starting) -> Result<(), String> {
        let own = self.own.as_mut().ok_or(NOT_OURS)?;
        let (child, _) = starting.join().map_err(|_| "the server could not be started")??;
        self.process = Some(Process(child.id()));
        own.child = child;
        Ok(())
    }

    /// One of its counters, summed over its labels. Only what the system cannot know is asked so.
    pub fn counter(&self, name: &str) -> Result<f64, String> {
        let text = crate::http::get(self.address, "/metrics")?;
        let lines = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn own(&self) -> Result<&Own, String> {
        self.own.as_ref().ok_or_else(|| NOT_OURS.to_owned())
    }
}

const NOT_OURS: &str = "this scenario starts and stops the server, and cannot be pointed at a running one";

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            let _ = own.child.kill();
            let _ = own.child.wait();
        }
    }
}

/// All settings of a server whose store is in this folder.
pub fn settings(data: &Path, signer: &Signer, changed: &Table) -> Table {
    let mut all = base(data, signer);
    merge(&mut all, changed);
    all
}

fn base(data: &Path, signer: &Signer) -> Table {
    let text = |text: &str| Value::String(text.to_owned());
    let issuer = Table::from_iter([
        ("issuer".to_owned(), text(&signer.issuer)),
        ("audience".to_owned(), Value::Array(vec![text(&signer.audience)])),
        ("secret".to_owned(), text(&signer.secret)),
    ]);
    let pool = Table::from_iter([("issuers".to_owned(), Value::Array(vec![Value::Table(issuer)]))]);
    Table::from_iter([
        ("listen".to_owned(), text("127.0.0.1:0")),
        ("data".to_owned(), text(&data.display().to_string())),
        ("log".to_owned(), text("warn,driftless::app=info")),
        ("log_format".to_owned(), text("json")),
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
        // The server says on which port it serves.
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = said["fields"]["address"].as_str().and_then(|address| address.parse().ok()) {
            std::thread::spawn(move || lines.for_each(|line| eprintln!("server: {line}")));
            return Ok((child, address));
        }
        eprintln!("server: {line}");
        if began.elapsed() > PATIENCE {
            break;
        }
    }
    let _ = child.kill();
    Err(format!("the server did not start: {} serve --config {}", binary.display(), config.display()))
}
