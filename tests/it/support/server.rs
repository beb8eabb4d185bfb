//! A server inside the test's process, on real sockets and a real folder.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use driftless::admin::DEVELOPMENT_KEY;
use driftless::app::{App, AppError};
use driftless::auth::{MintClaims, mint};
use driftless::clock::Clock;
use driftless::config::{self, Flags, ServerConfig};
use driftless::dev;
use driftless::push::PushService;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Http, Operator, Phone, soon};

/// What a test pool says beside its issuer, as TOML.
#[derive(Clone, Copy, Default)]
pub struct TestPool {
    /// Lines of `[pools.demo]`.
    pub pool: &'static str,
    /// Lines of the whole server.
    pub server: &'static str,
}

/// A running server.
pub struct Server {
    folder: TempDir,
    pool: TestPool,
    ahead_ms: u64,
    address: SocketAddr,
    post: PushService,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), AppError>>,
}

impl Server {
    /// With all defaults.
    pub async fn start() -> Server {
        Server::with(TestPool::default()).await
    }

    /// With a pool of one's own.
    pub async fn with(pool: TestPool) -> Server {
        let folder = TempDir::new().unwrap();
        let Started { address, post, stop, running } = run(folder.path(), pool, 0, 0).await;
        Server { folder, pool, ahead_ms: 0, address, post, stop: Some(stop), running }
    }

    /// Stops it in good order and starts it again on the same folder and port.
    pub async fn restart(&mut self) {
        self.restart_after(|_| {}).await;
    }

    /// The same, with something done to its folder in between.
    pub async fn restart_after(&mut self, between: impl FnOnce(&Path)) {
        self.stop().await;
        between(self.folder.path());
        let started = run(self.folder.path(), self.pool, self.address.port(), self.ahead_ms).await;
        (self.address, self.post) = (started.address, started.post);
        (self.stop, self.running) = (Some(started.stop), started.running);
    }

    /// The same with other settings.
    pub async fn restart_with(&mut self, pool: TestPool) {
        self.pool = pool;
        self.restart().await;
    }

    /// When it starts the next time, so much more time has passed by its calendar.
    pub fn let_pass(&mut self, ms: u64) {
        self.ahead_ms += ms;
    }

    /// When it starts the next time, its calendar is set back so much.
    pub fn set_back(&mut self, ms: u64) {
        self.ahead_ms -= ms;
    }

    /// Begins to stop it, as SIGTERM does.
    pub fn drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops it and waits for its end.
    pub async fn stop(&mut self) {
        self.drain();
        soon("the server's end", &mut self.running).await.unwrap().unwrap();
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token that holds for an hour by its calendar.
    fn token(&self, person: &str) -> String {
        token_for(person, 3600 + self.ahead_ms as i64 / 1000)
    }

    /// Where it wakes devices: to put other credentials in place.
    pub fn post(&self) -> &PushService {
        &self.post
    }

    /// What it read its settings from, read again with other lines for its pool.
    pub fn config_with(&self, pool: &'static str) -> ServerConfig {
        read(self.folder.path(), TestPool { pool, ..self.pool }, self.address.port())
    }

    /// A device of a person, welcomed.
    pub async fn phone(&self, person: &str, device: &str) -> Phone {
        Phone::welcomed(&self.url(), &self.token(person), device).await
    }

    /// Plain requests of a device of a person.
    pub fn http(&self, person: &str, device: &str) -> Http {
        Http::new(self.address, &self.token(person), device)
    }

    /// An operator.
    pub fn operator(&self) -> Operator {
        Operator::with(self.address, DEVELOPMENT_KEY)
    }

    /// A counter or gauge of `/metrics`, by its whole name with labels; 0 if it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.http("nobody", "metrics").get("/metrics").await.body;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0.0)
    }
}

/// A server that was just started.
struct Started {
    address: SocketAddr,
    post: PushService,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), AppError>>,
}

/// Writes a server's settings into its folder, and reads them.
fn read(folder: &Path, pool: TestPool, port: u16) -> ServerConfig {
    let issuer = format!(
        "[[pools.demo.issuers]]\nissuer = {:?}\naudience = [{:?}]\nsecret = {:?}\n",
        dev::ISSUER,
        dev::AUDIENCE,
        driftless::auth::DEVELOPMENT_SECRET
    );
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\ndata = {:?}\n{}\n[store]\ncache_mib = 16\n[pools.demo]\n{}\n{issuer}",
        folder.join("store"),
        pool.server,
        pool.pool
    );
    let file = folder.join("driftless.toml");
    std::fs::write(&file, text).unwrap();
    let config = config::read(Some(&file), &|_| None, &Flags::default()).unwrap();
    config.with_operator_key(DEVELOPMENT_KEY)
}

async fn run(folder: &Path, pool: TestPool, port: u16, ahead_ms: u64) -> Started {
    let config = read(folder, pool, port);
    let app = App::start_at(Clock::ahead(ahead_ms), &config, dev::routes()).await.unwrap();
    let (address, post) = (app.address(), app.push().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(app.until(async {
        let _ = stopped.await;
    }));
    Started { address, post, stop, running }
}

/// A token of the demo pool.
pub fn token(person: &str) -> String {
    token_for(person, 3600)
}

/// A token that expires so many seconds from now.
pub fn token_for(person: &str, expires_in_s: i64) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires_s = now_s.checked_add_signed(expires_in_s).unwrap();
    let claims = MintClaims { issuer: dev::ISSUER, audience: dev::AUDIENCE, subject: person, issued_s: now_s, expires_s };
    mint(driftless::auth::DEVELOPMENT_SECRET, &claims).unwrap()
}
