//! The only place where the parts meet: makes them in the order of the house, runs them, and lets them end in reverse.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use driftless_protocol::Epoch;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::admin::Admin;
use crate::auth::{IssuerConfigError, Verifier};
use crate::clock::Clock;
use crate::committer::{Committer, Gate, Reader};
use crate::config::ServerConfig;
use crate::http::{self, HttpState, ListenError, Listener, OpenConnections};
use crate::hub::{Hub, Mark};
use crate::identity::Identities;
use crate::metrics::Metrics;
use crate::push::{Courier, PushService};
use crate::reaper::Reaper;
use crate::session::{Authenticator, Sessions, Wheel};
use crate::store::{Store, StoreError};
use crate::sync::Sync;

/// How often the wheel of deadlines turns, and the committer's health is looked at.
const TURN: Duration = Duration::from_secs(1);

/// How often the size on disk is measured, in turns.
const MEASURE_TURNS: u64 = 30;

/// How often sessions are told to drain, until all are gone: one may have come in just after the last time.
const DRAIN_AGAIN: Duration = Duration::from_millis(200);

/// Why a server does not run, or no longer.
#[derive(Debug)]
pub enum AppError {
    /// An issuer's keys.
    Auth(IssuerConfigError),
    /// A credential for pushes.
    Push(crate::config::ConfigError),
    /// The store.
    Store(StoreError),
    /// The port.
    Listen(ListenError),
    /// The system.
    System(std::io::Error),
    /// The store failed while the server ran.
    StoreFailed,
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppError::Auth(error) => write!(f, "{error}"),
            AppError::Push(error) => write!(f, "{error}"),
            AppError::Store(error) => write!(f, "{error}"),
            AppError::Listen(error) => write!(f, "{error}"),
            AppError::System(error) => write!(f, "the system refuses: {error}"),
            AppError::StoreFailed => {
                write!(f, "the store failed, see the log; nothing acknowledged is lost: mend the disk and start again")
            }
        }
    }
}

impl std::error::Error for AppError {}

/// A running server.
pub struct App {
    address: SocketAddr,
    serving: JoinHandle<OpenConnections>,
    stop: oneshot::Sender<()>,
    draining: watch::Sender<bool>,
    ticker: JoinHandle<()>,
    background: [JoinHandle<()>; 2],
    post: PushService,
    committer: Committer,
    writer: std::thread::JoinHandle<()>,
    hub: Hub,
    drain_s: u64,
}

impl App {
    /// Starts a server; returns when it accepts connections. `extra` are routes beside its own.
    pub async fn start(config: &ServerConfig, extra: Router) -> Result<App, AppError> {
        App::start_at(Clock::start(), config, extra).await
    }

    /// The same, by this clock.
    pub async fn start_at(clock: Clock, config: &ServerConfig, extra: Router) -> Result<App, AppError> {
        let (metrics, hub, wheel) = (Metrics::default(), Hub::default(), Wheel::default());
        let verifier = Verifier::new(config.issuers()).map_err(AppError::Auth)?;
        let listener = Listener::bind(&config.http()).map_err(AppError::Listen)?;
        let address = listener.address().map_err(AppError::System)?;
        let store = open_store(config)?;
        let (committer, writer) = Committer::start(store.clone(), hub.clone(), metrics.clone(), clock).map_err(AppError::System)?;
        let reader = Reader::start(store.clone(), committer.gate().clone()).map_err(AppError::System)?;
        let post = PushService::new(config.pool_push().map_err(AppError::Push)?);
        let sync = Sync::new(reader.clone(), committer.clone(), post.clone(), clock);
        let admin = Admin::new(reader.clone(), committer.clone(), config.pools(), post.clone(), clock);
        let pools = config.pools().into_iter().map(|pool| (pool.name, pool.keep)).collect();
        let reaper = Reaper::new(reader.clone(), committer.clone(), pools, clock, metrics.clone());
        let courier = Courier::new(reader.clone(), committer.clone(), post.clone(), clock, metrics.clone());
        let identities = Identities::new(reader, committer.clone());
        let door = Authenticator::new(verifier, identities, config.pools(), clock);
        let sessions = Sessions::new(door.clone(), sync.clone(), hub.clone(), wheel.clone(), metrics.clone(), config.session());
        let (draining, is_draining) = watch::channel(false);
        let gate = committer.gate().clone();
        let origins: Arc<[String]> = config.origins.clone().into();
        let (operator_key, metrics_of_http) = (config.operator_key(), metrics.clone());
        let rooms = HttpState {
            authenticator: door,
            sync,
            sessions,
            admin,
            operator_key,
            gate: gate.clone(),
            metrics: metrics_of_http,
            allowed_origins: origins,
            draining: is_draining,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let router = http::router(rooms).merge(extra);
        let serving = tokio::spawn(listener.serve(router, async {
            let _ = stopped.await;
        }));
        let ticker = tokio::spawn(tick(clock, wheel, gate, metrics, store));
        let background = [tokio::spawn(reaper.run()), tokio::spawn(courier.run())];
        info!(%address, data = %config.data.display(), "driftless serves");
        Ok(App { address, serving, stop, draining, ticker, background, post, committer, writer, hub, drain_s: config.drain_s })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The offices through which devices are woken: they can be exchanged while the server runs.
    pub fn post(&self) -> &PushService {
        &self.post
    }

    /// Runs until `shutdown` is ready, then drains: nothing new comes in, what was handed in is answered, devices are told to come back,
    /// and the store is closed.
    pub async fn until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), AppError> {
        let failed = tokio::select! {
            () = shutdown => false,
            // The ticker ends by itself only when the committer did.
            _ = &mut self.ticker => true,
        };
        info!(failed, "driftless drains its sessions");
        self.draining.send_replace(true);
        let _ = self.stop.send(());
        if let Ok(serving) = self.serving.await
            && tokio::time::timeout(Duration::from_secs(self.drain_s), drain(&self.hub, &serving)).await.is_err()
        {
            warn!(drain_s = self.drain_s, "some connections did not end in time");
        }
        self.background.iter().for_each(JoinHandle::abort);
        self.committer.stop().await;
        self.ticker.abort();
        let ended = tokio::task::spawn_blocking(|| self.writer.join()).await;
        match (failed, ended) {
            (false, Ok(Ok(()))) => Ok(()),
            _ => Err(AppError::StoreFailed),
        }
    }
}

fn open_store(config: &ServerConfig) -> Result<Store, AppError> {
    let epoch =
        Epoch::new(&Uuid::new_v4().simple().to_string()).map_err(|error| AppError::System(std::io::Error::other(error.to_string())))?;
    Store::open(&config.data, &config.store(), &epoch).map_err(AppError::Store)
}

async fn drain(hub: &Hub, serving: &OpenConnections) {
    loop {
        hub.mark_all(Mark::Drain);
        if tokio::time::timeout(DRAIN_AGAIN, serving.closed()).await.is_ok() {
            return;
        }
    }
}

/// The server's one timer. Ends when the committer has.
async fn tick(clock: Clock, wheel: Wheel, gate: Gate, metrics: Metrics, store: Store) {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    loop {
        turns.tick().await;
        wheel.turn(clock.elapsed_ms());
        if !gate.is_open() {
            return error!("the committer has stopped");
        }
        if turn % MEASURE_TURNS == 0 {
            match store.bytes_on_disk() {
                Ok(bytes) => metrics.disk(bytes),
                Err(error) => warn!(%error, "the size on disk is not known"),
            }
        }
        turn += 1;
    }
}
