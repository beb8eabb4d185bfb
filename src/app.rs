//! The server: the only place where its parts meet. Builds them from the store upwards, runs them, and stops them in reverse order.
//!
//! Invariant: on a shutdown every submitted write is answered before the store is closed.

mod aws_services;
mod development_key;
mod development_roles;
mod error;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use development_key::{DevelopmentKey, DevelopmentKeyError};

use axum::Router;
use driftless_protocol::Epoch;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};
use uuid::Uuid;

use aws_services::AwsParts;
pub use error::AppError;

use crate::access::Accounts;
use crate::admin::Admin;
use crate::auth::{OutboundProxy, Verifier};
use crate::clock::{Clock, RunningClock};
use crate::committer::{Committer, Reader};
use crate::config::ServerConfig;
use crate::http::{
    self, ConnectionRules, HttpState, ListenError, PortUse, ProxiesConfig, ReservedPort, ServedPages, ServedPort, ServerCertificate,
    ServerPhase, Transfers,
};
use crate::hub::{Hub, Signal};
use crate::identity::Identities;
use crate::keyring::SharedKeyring;
use crate::logging;
use crate::mail::{Mail, OUTBOX_FOLDER};
use crate::metrics::Metrics;
use crate::objects::{BlobSweep, Objects};
use crate::pools::Pools;
use crate::push::{Courier, PoolPush, PushService};
use crate::reaper::Reaper;
use crate::session::{Authenticator, Sessions, TimerWheel};
use crate::stop_times::StopTimes;
use crate::store::{OBJECTS_FOLDER, Store};
use crate::sync::SyncService;
use crate::users::{UserPools, UserPoolsSetup};

/// How often the timer wheel is advanced, and whether the committer still runs is checked.
const TICK: Duration = Duration::from_secs(1);

/// How often the size of the store on disk is measured, in ticks.
const DISK_SIZE_TICKS: u64 = 30;

/// How often sessions are signalled to drain, until all are closed: a session may start just after a signal.
const DRAIN_INTERVAL: Duration = Duration::from_millis(200);

/// How often the log says what it does not have, in ticks.
const LOG_REPORT_TICKS: u64 = 5;

pub struct App {
    address: SocketAddr,
    admin_address: SocketAddr,
    certificate: Option<ServerCertificate>,
    /// The devices' port, and that of operators if it is another.
    serving: ServedPort,
    operators: Option<ServedPort>,
    phase: watch::Sender<ServerPhase>,
    ticker: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
    push: PushService,
    development_key: DevelopmentKey,
    committer: Committer,
    writer: std::thread::JoinHandle<()>,
    hub: Hub,
    times: StopTimes,
}

/// Which ports others in a network can read.
struct ReadablePorts {
    devices: bool,
    operators: bool,
}

impl ReadablePorts {
    fn warn(&self) {
        if self.devices {
            warn!(
                "listen is not on loopback and has no TLS: the network can read tokens and data; set tls.certificate and tls.key, or name the \
                 proxy that speaks TLS for this server in proxies.trusted"
            );
        }
        if self.operators {
            warn!(
                "admin.listen is not on loopback and has no TLS: the network can read the operator key, which opens everything, and the metrics; \
                 set tls.certificate and tls.key, or let admin.listen be 127.0.0.1:7401"
            );
        }
    }
}

/// What can be exchanged while a server runs.
#[derive(Clone)]
pub struct Reloader {
    push: PushService,
    certificate: Option<ServerCertificate>,
}

impl Reloader {
    /// Reads the certificate's files again; on an error the current one stays in use. Blocks.
    pub fn reload_certificate(&self) -> Option<Result<(), ListenError>> {
        self.certificate.as_ref().map(ServerCertificate::reload)
    }

    /// Replaces the pools' push credentials and wake settings.
    pub fn replace_push(&self, pools: HashMap<String, PoolPush>) {
        self.push.replace(pools);
    }
}

impl App {
    /// Starts a server; returns when it accepts connections. `extra` has routes beside the server's own.
    pub async fn start(config: &ServerConfig, extra: Router) -> Result<App, AppError> {
        App::start_at(Clock::start(), config, extra).await
    }

    /// Starts a server that uses this clock.
    pub async fn start_at(clock: Clock, config: &ServerConfig, extra: Router) -> Result<App, AppError> {
        let (metrics, hub, wheel) = (Metrics::default(), Hub::default(), TimerWheel::default());
        let proxy = OutboundProxy::from_variables(|name| std::env::var(name).ok());
        let verifier = Verifier::with_proxy(config.issuers(), proxy).map_err(|why| AppError::Config(config.issuer_error(&why)))?;
        config.check_own_files().map_err(AppError::Config)?;
        // A port in use is reported now; connections are accepted when the store is open, which can take minutes.
        let certificate = config.certificate().as_ref().map(ServerCertificate::open).transpose().map_err(AppError::Listen)?;
        let port = ReservedPort::reserve(&config.http(), certificate.clone()).map_err(AppError::Listen)?;
        let admin_port = config.admin_http().map(|http| {
            let certificate = certificate.clone().filter(|_| !http.listen.ip().is_loopback());
            ReservedPort::reserve(&http, certificate)
        });
        let admin_port = admin_port.transpose().map_err(AppError::Listen)?;
        let store = open_store(config.clone()).await?;
        let (committer, writer) = Committer::start(store.clone(), hub.clone(), metrics.clone(), clock).map_err(AppError::System)?;
        let reader = Reader::start(store.clone()).map_err(AppError::System)?.counted_in(metrics.clone());
        let push = PushService::new(config.pool_push().map_err(AppError::Config)?);
        let sync = SyncService::new(reader.clone(), committer.clone(), push.clone(), clock);
        let pools = Pools::declared(config.pools());
        let admin = Admin::new(reader.clone(), committer.clone(), pools.clone(), push.clone(), clock);
        let reaper = Reaper::new(reader.clone(), committer.clone(), pools.clone(), clock, metrics.clone());
        let courier = Courier::new(reader.clone(), committer.clone(), push.clone(), clock, metrics.clone());
        let identities = Identities::new(reader.clone(), committer.clone(), clock);
        let running = RunningClock::new(clock);
        let authenticator = Authenticator::new(verifier.clone(), identities.clone(), pools.clone(), running.clone(), metrics.clone());
        let key_file = config.key_file();
        let keyring = SharedKeyring::open(&key_file, config.lost_key_file, reader.clone(), committer.clone(), clock)
            .await
            .map_err(AppError::Keyring)?;
        let accounts = Accounts::new(reader.clone(), committer.clone(), keyring.clone(), clock);
        let development_key = development_key::apply(&accounts, config.development_key).await.map_err(AppError::DevelopmentKey)?;
        let folder = config.data.join(OBJECTS_FOLDER);
        let objects = Objects::open(folder, reader.clone(), committer.clone(), accounts.clone(), clock, config.aws_region());
        let objects = objects.map_err(AppError::System)?;
        let (mail, mail_runner) = Mail::to_outbox(config.data.join(OUTBOX_FOLDER));
        let setup = UserPoolsSetup {
            reader: reader.clone(),
            committer: committer.clone(),
            keyring: keyring.clone(),
            clock,
            mail,
            public_url: config.public_url(port.address()),
            region: config.aws_region(),
        };
        let user_pools = UserPools::start(setup).map_err(AppError::System)?;
        let parts = AwsParts {
            objects: &objects,
            pools: &pools,
            verifier: &verifier,
            reader: &reader,
            committer: &committer,
            accounts: &accounts,
            identities: &identities,
            development_key,
            sync: &sync,
            keyring: &keyring,
            user_pools: &user_pools,
        };
        let (services, identity_pools) = aws_services::open(parts, config, clock).await?;
        let before_routes = Some(services);
        let timing = config.session();
        let sessions =
            Sessions::new(authenticator.clone(), sync.clone(), hub.clone(), wheel.clone(), running.clone(), metrics.clone(), timing);
        let transfers = Transfers { clock: running.clone(), slow: sessions.slow_transfers().clone() };
        let (phase, current_phase) = watch::channel(ServerPhase::Serving);
        let state = HttpState {
            authenticator,
            sync,
            sessions,
            admin,
            operator_key: config.operator_key(),
            committer: committer.clone(),
            metrics: metrics.clone(),
            pools,
            accounts,
            before_routes,
            pages: config.pages,
            transfers: transfers.clone(),
            phase: current_phase,
        };
        let (address, admin_address) = (port.address(), admin_port.as_ref().map_or(port.address(), ReservedPort::address));
        let port_use = if admin_port.is_some() { PortUse::Devices } else { PortUse::Both };
        let readable = ReadablePorts {
            devices: port.is_readable() && config.proxies().trusted.is_empty(),
            operators: admin_port.as_ref().map_or(port.is_readable(), ReservedPort::is_readable),
        };
        let connections = port.connections();
        let listener = port.listen().map_err(AppError::Listen)?;
        if connections < config.connections {
            info!(connections, "the open files of this process limit its connections");
        }
        let rules = ConnectionRules::new(config.address_limits(), config.proxies(), connections, metrics.clone());
        let mut operators = None;
        if let Some(port) = admin_port {
            let router = http::router(state.clone(), PortUse::Operators, Router::new());
            // Clients of the other port take nothing away here. The PROXY protocol is that of the devices' port.
            let proxies = ProxiesConfig { protocol: Default::default(), ..config.proxies() };
            let rules = ConnectionRules::new(config.address_limits(), proxies, port.connections(), metrics.clone());
            operators = Some(port.listen().map_err(AppError::Listen)?.serve(router, transfers.clone(), rules));
        }
        let watch_certificate = certificate.clone().map(|certificate| tokio::spawn(certificate.watch(metrics.clone())));
        let serving = listener.serve(http::router(state, port_use, extra), transfers, rules);
        let ticker = tokio::spawn(tick(running, wheel, committer.clone(), metrics, store));
        let first_keys = async move { verifier.fetch_first_keys(|| clock.unix_ms() / 1000).await };
        let mut background = vec![
            tokio::spawn(mail_runner.run()),
            tokio::spawn(reaper.run()),
            tokio::spawn(keyring.run()),
            tokio::spawn(identity_pools.run()),
            tokio::spawn(courier.run()),
            tokio::spawn(first_keys),
            tokio::spawn(BlobSweep::new(objects).run()),
        ];
        background.extend(watch_certificate);
        info!(%address, admin = %admin_address, data = %config.data.display(), "server started");
        if config.pages == ServedPages::Any {
            readable.warn();
        }
        Ok(App {
            address,
            admin_address,
            certificate,
            serving,
            operators,
            phase,
            ticker,
            background,
            push,
            development_key,
            committer,
            writer,
            hub,
            times: config.stop_times(),
        })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for operators, which may be the same.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The push service, whose gateways can be exchanged while the server runs.
    pub fn push(&self) -> &PushService {
        &self.push
    }

    /// Whether requests can be signed with the public access key.
    pub fn development_key(&self) -> DevelopmentKey {
        self.development_key
    }

    /// What can be exchanged while the server runs.
    pub fn reloader(&self) -> Reloader {
        Reloader { push: self.push.clone(), certificate: self.certificate.clone() }
    }

    /// Runs until `shutdown` is ready. Then it says that it is not ready, for as long as load balancers need to see it, and drains: no
    /// connection is accepted any more, submitted writes are answered, devices are told when to reconnect, and the store is closed. Each of
    /// these ends in its share of `drain_s`.
    pub async fn until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
        let failed = tokio::select! {
            () = shutdown => false,
            // The ticker ends by itself only after the committer.
            _ = &mut self.ticker => true,
        };
        let times = self.times;
        if !failed && !times.wait.is_zero() {
            self.phase.send_replace(ServerPhase::Leaving);
            info!(wait_ms = times.wait.as_millis() as u64, "not ready any more, draining soon");
            let _ = tokio::time::timeout(times.wait, &mut self.ticker).await;
        }
        info!(failed, "draining sessions");
        self.phase.send_replace(ServerPhase::Draining);
        if tokio::time::timeout(times.sessions, drain(&self.hub, self.serving, self.operators)).await.is_err() {
            warn!(sessions_ms = times.sessions.as_millis() as u64, "drain timed out, some connections are still open");
        }
        self.ticker.abort();
        let closing = async {
            // What holds the store ends first, so that the writer thread closes it.
            for task in self.background {
                task.abort();
                let _ = task.await;
            }
            self.committer.stop().await;
            tokio::task::spawn_blocking(|| self.writer.join()).await
        };
        let closed = tokio::time::timeout(times.close, closing).await;
        match (failed, closed) {
            (false, Ok(Ok(Ok(())))) => Ok(()),
            (false, Err(_)) => Err(AppError::StoreNotClosed),
            _ => Err(AppError::StoreFailed),
        }
    }
}

/// Opens the store on a thread that may block, so that the caller can give up meanwhile.
async fn open_store(config: ServerConfig) -> Result<Store, AppError> {
    let other = |error: &dyn fmt::Display| AppError::System(std::io::Error::other(error.to_string()));
    let epoch = Epoch::new(&Uuid::new_v4().simple().to_string()).map_err(|error| other(&error))?;
    let opening = tokio::task::spawn_blocking(move || Store::open(&config.data, &config.store(), &epoch));
    opening.await.map_err(|error| other(&error))?.map_err(AppError::Store)
}

/// Ends the devices' connections, then those of operators, so that monitoring sees how the server drains. Requests that are still in progress
/// when this future is dropped end with it: they hold the store.
async fn drain(hub: &Hub, mut devices: ServedPort, mut operators: Option<ServedPort>) {
    devices.begin_drain().await;
    loop {
        hub.signal_all(Signal::Drain);
        if tokio::time::timeout(DRAIN_INTERVAL, devices.closed()).await.is_ok() {
            break;
        }
    }
    if let Some(operators) = &mut operators {
        operators.begin_drain().await;
        operators.closed().await;
    }
}

/// Measures the store's size on a thread that may block: a disk that hangs must not hold a thread that serves. At most one measurement runs.
fn measure_disk(running: Option<JoinHandle<()>>, store: &Store, metrics: &Metrics) -> Option<JoinHandle<()>> {
    if running.as_ref().is_some_and(|running| !running.is_finished()) {
        return running;
    }
    let (store, metrics) = (store.clone(), metrics.clone());
    Some(tokio::task::spawn_blocking(move || match store.bytes_on_disk() {
        Ok(bytes) => metrics.disk(bytes),
        Err(error) => warn!(%error, "size of the store on disk not known"),
    }))
}

/// The server's one timer. Ends when the committer has stopped.
async fn tick(running: RunningClock, wheel: TimerWheel, committer: Committer, metrics: Metrics, store: Store) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick = 0;
    let mut measuring = None;
    loop {
        ticks.tick().await;
        let paused_ms = running.tick();
        if paused_ms > 0 {
            warn!(paused_ms, "process was paused: sessions are not charged with that time");
        }
        wheel.advance(running.running_ms());
        if !committer.is_running() {
            return error!("committer stopped");
        }
        if tick % LOG_REPORT_TICKS == 0 {
            let lost = logging::report();
            metrics.log_lines_lost(lost.dropped, lost.suppressed);
        }
        if tick % DISK_SIZE_TICKS == 0 {
            measuring = measure_disk(measuring, &store, &metrics);
        }
        tick += 1;
    }
}
