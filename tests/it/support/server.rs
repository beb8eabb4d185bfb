//! A server in the test's process, on real sockets and a real folder.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use driftless::admin::DEVELOPMENT_KEY;
use driftless::app::{App, AppError};
use driftless::auth::{MintClaims, mint};
use driftless::clock::Clock;
use driftless::config::{self, Environment, Flags, ServerConfig};
use driftless::dev;
use driftless::push::PushService;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{DeviceHttp, OperatorClient, TestDevice, wait_for};

/// Settings of a test's server beside its issuer, as TOML.
#[derive(Clone, Copy, Default)]
pub struct TestPool {
    /// Lines of `[pools.demo]`.
    pub pool: &'static str,
    /// Lines of the top level.
    pub server: &'static str,
}

/// A running server.
pub struct TestServer {
    folder: TempDir,
    pool: TestPool,
    ahead_ms: u64,
    address: SocketAddr,
    push_service: PushService,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), AppError>>,
}

impl TestServer {
    /// Starts a server with the default settings.
    pub async fn start() -> TestServer {
        TestServer::with_pool(TestPool::default()).await
    }

    /// Starts a server with these settings.
    pub async fn with_pool(pool: TestPool) -> TestServer {
        let folder = TempDir::new().unwrap();
        let StartedServer { address, push_service, stop, running } = run(folder.path(), pool, 0, 0).await;
        TestServer { folder, pool, ahead_ms: 0, address, push_service, stop: Some(stop), running }
    }

    /// Shuts the server down and starts it again on the same folder and port.
    pub async fn restart(&mut self) {
        self.restart_after(|_| {}).await;
    }

    /// Restarts the server; `between` changes its folder while it is down.
    pub async fn restart_after(&mut self, between: impl FnOnce(&Path)) {
        self.stop().await;
        between(self.folder.path());
        let started = run(self.folder.path(), self.pool, self.address.port(), self.ahead_ms).await;
        (self.address, self.push_service) = (started.address, started.push_service);
        (self.stop, self.running) = (Some(started.stop), started.running);
    }

    /// Restarts the server with other settings.
    pub async fn restart_with(&mut self, pool: TestPool) {
        self.pool = pool;
        self.restart().await;
    }

    /// Sets the server's clock forward, from its next start on.
    pub fn advance_clock(&mut self, ms: u64) {
        self.ahead_ms += ms;
    }

    /// Sets the server's clock back, from its next start on.
    pub fn set_clock_back(&mut self, ms: u64) {
        self.ahead_ms -= ms;
    }

    /// Starts the shutdown, as SIGTERM does.
    pub fn drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Shuts the server down and waits for its end.
    pub async fn stop(&mut self) {
        self.drain();
        wait_for("the server's end", &mut self.running).await.unwrap().unwrap();
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

    /// A token that is valid for an hour by the server's clock.
    fn token(&self, person: &str) -> String {
        token_for(person, 3600 + self.ahead_ms as i64 / 1000)
    }

    /// The server's push service, for tests that replace credentials.
    pub fn push_service(&self) -> &PushService {
        &self.push_service
    }

    /// The server's configuration with other lines for its pool.
    pub fn config_with(&self, pool: &'static str) -> ServerConfig {
        write_config(self.folder.path(), TestPool { pool, ..self.pool }, self.address.port())
    }

    /// Connects a device of a user.
    pub async fn device(&self, person: &str, device: &str) -> TestDevice {
        TestDevice::connect(&self.url(), &self.token(person), device).await
    }

    /// The HTTP client of a device of a user.
    pub fn http(&self, person: &str, device: &str) -> DeviceHttp {
        DeviceHttp::new(self.address, &self.token(person), device)
    }

    /// A client of the admin API with the right key.
    pub fn operator(&self) -> OperatorClient {
        OperatorClient::with_key(self.address, DEVELOPMENT_KEY)
    }

    /// A counter or gauge of `/metrics`, by its name with labels; 0 if it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.http("nobody", "metrics").get("/metrics").await.body;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0.0)
    }
}

struct StartedServer {
    address: SocketAddr,
    push_service: PushService,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), AppError>>,
}

/// Writes a server's configuration file into its folder, and reads it as the server does.
fn write_config(folder: &Path, pool: TestPool, port: u16) -> ServerConfig {
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
    let config = config::read(Some(&file), &Environment::default(), &Flags::default()).unwrap();
    config.for_development(DEVELOPMENT_KEY)
}

async fn run(folder: &Path, pool: TestPool, port: u16, ahead_ms: u64) -> StartedServer {
    let config = write_config(folder, pool, port);
    let app = App::start_at(Clock::ahead(ahead_ms), &config, dev::routes(config.listen.ip())).await.unwrap();
    let (address, push_service) = (app.address(), app.push().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(app.until(async {
        let _ = stopped.await;
    }));
    StartedServer { address, push_service, stop, running }
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
