//! Runs a server in this process: takes the signals, sets the log, starts the app, and ends the process in time.
//!
//! - Signals are taken before anything else, so a supervisor may send one as soon as the process has said anything.
//! - SIGTERM and SIGINT drain the server; the second one ends it at once. SIGHUP reads the configuration and the certificate again.
//! - A thread of its own ends the process when the drain takes longer than stated, whatever waits (a disk, a name lookup, a lock).

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use driftless::app::{App, CLOSE_S};
use driftless::config::{ConfigError, ServerConfig};
use driftless::push::WakeSettings;
use driftless::{dev, logging};
use driftless_standin::StandInGateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Any error that ends the process; its text is all that is printed.
pub type FatalError = Box<dyn std::error::Error>;

/// How long the runtime's blocking threads may take to end, once the store is closed: nothing depends on them.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// The exit code of a process that a signal ended: 128 and the signal's number, as shells have it.
const ENDED_BY_SIGNAL: i32 = 128;

/// The exit code if the drain did not end in time.
const ENDED_BY_DEADLINE: i32 = 1;

/// How a configuration is read again.
pub type ReadConfig = Arc<dyn Fn() -> Result<ServerConfig, ConfigError> + Send + Sync>;

/// What to serve.
pub struct ServerPlan {
    pub config: ServerConfig,
    pub mode: ServeMode,
    pub read_config: ReadConfig,
}

pub enum ServeMode {
    Production,
    /// With a stand-in for the push gateways, and the public development key if the configuration has no other.
    Development {
        gateway: StandInGateway,
        key: &'static str,
    },
}

/// The signals that a server handles: once they are taken, none of them ends the process by itself.
struct ServerSignals {
    terminate: SignalStream,
    interrupt: SignalStream,
    hangup: SignalStream,
}

/// Runs a server until SIGTERM or SIGINT. `prepare` reads its configuration.
pub fn serve(prepare: impl FnOnce(&Runtime) -> Result<ServerPlan, FatalError>) -> Result<ExitCode, FatalError> {
    let runtime = new_runtime()?;
    let ServerSignals { terminate, interrupt, hangup } = {
        let _context = runtime.enter();
        ServerSignals::take()?
    };
    let (stop, stopped) = watch::channel(false);
    let drain_limit_s = Arc::new(AtomicU64::new(0));
    runtime.spawn(stop_on_signals(terminate, interrupt, stop, Arc::clone(&drain_limit_s)));
    let plan = prepare(&runtime)?;
    logging::start(&plan.config.logging())?;
    drain_limit_s.store(plan.config.drain_wait_s.saturating_add(plan.config.drain_s), Ordering::Relaxed);
    raise_open_file_limit();
    let served = runtime.block_on(run(plan, hangup, stopped));
    // Dropping the runtime would wait for its blocking threads without a limit: a name lookup can take minutes.
    runtime.shutdown_timeout(RUNTIME_END);
    served?;
    logging::report();
    logging::flush();
    Ok(ExitCode::SUCCESS)
}

async fn run(plan: ServerPlan, hangup: SignalStream, mut stopped: watch::Receiver<bool>) -> Result<(), FatalError> {
    let ServerPlan { config, mode, read_config } = plan;
    let extra_routes = match &mode {
        ServeMode::Development { gateway, .. } => {
            dev::routes(config.listen.ip()).merge(dev::wakes(gateway.clone(), WakeSettings::default().grace_ms))
        }
        ServeMode::Production => axum::Router::new(),
    };
    let app = tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => {
            info!("stopped before the store was open");
            return Ok(());
        }
        started = App::start(&config, extra_routes) => started?,
    };
    if let ServeMode::Development { gateway, key } = &mode {
        print_banner(&app, &config, gateway, key)?;
    }
    tokio::spawn(reload_on_hangup(hangup, app.reloader(), read_config));
    app.until(async {
        // The sender lives as long as the process.
        let _ = stopped.wait_for(|stop| *stop).await;
    })
    .await?;
    Ok(())
}

pub fn new_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

impl ServerSignals {
    /// Must be called inside a Tokio runtime.
    fn take() -> std::io::Result<ServerSignals> {
        Ok(ServerSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The first signal stops the server and sets the process a deadline; the second one ends it at once.
async fn stop_on_signals(
    mut terminate: SignalStream,
    mut interrupt: SignalStream,
    stop: watch::Sender<bool>,
    drain_limit_s: Arc<AtomicU64>,
) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    };
    next().await;
    stop.send_replace(true);
    let limit_s = drain_limit_s.load(Ordering::Relaxed).saturating_add(CLOSE_S + 2 * RUNTIME_END.as_secs());
    let deadline = move || {
        std::thread::sleep(Duration::from_secs(limit_s));
        error!(limit_s, "the server did not stop in time and is ended; acknowledged writes are in the journal");
        end(ENDED_BY_DEADLINE)
    };
    if let Err(error) = std::thread::Builder::new().name("stop-deadline".to_owned()).spawn(deadline) {
        warn!(%error, "no thread for the deadline of the shutdown");
    }
    let second = next().await.as_raw_value();
    warn!(signal = second, "second signal: the server ends without draining");
    end(ENDED_BY_SIGNAL + second);
}

fn end(code: i32) -> ! {
    logging::flush();
    std::process::exit(code)
}

/// Applies the settings that can change while the server runs. An error leaves the current ones in use.
async fn reload_on_hangup(mut hangup: SignalStream, reloader: driftless::app::Reloader, read_config: ReadConfig) {
    while hangup.recv().await.is_some() {
        let (reloader, read_config) = (reloader.clone(), Arc::clone(&read_config));
        // Reading files may block, and a signal that ends the server must not wait for that.
        let reloaded = tokio::task::spawn_blocking(move || {
            match reloader.reload_certificate() {
                Some(Ok(())) => info!("certificate reloaded"),
                Some(Err(error)) => error!(%error, "certificate reload failed; the current certificate stays in use"),
                None => {}
            }
            match read_config().and_then(|config| config.pool_push()) {
                Ok(pools) => {
                    reloader.replace_push(pools);
                    info!("push credentials and wake settings reloaded; other settings need a restart");
                }
                Err(error) => error!(%error, "configuration reload failed; the current settings stay in use"),
            }
        });
        let _ = reloaded.await;
    }
}

/// Prints what a developer needs. A closed stdout is not an error: the server does not depend on it.
fn print_banner(app: &App, config: &ServerConfig, gateway: &StandInGateway, public_key: &'static str) -> Result<(), FatalError> {
    let tokens = [dev::token(dev::PERSON, dev::TOKEN_S)?, dev::token(dev::PERSON, dev::TOKEN_S)?];
    let is_public = config.operator_key().is_some_and(|key| key.matches(public_key));
    let key = if is_public { dev::BannerKey::Public(public_key) } else { dev::BannerKey::Configured };
    let banner = dev::Banner { address: app.address(), tokens, key, gateway: gateway.url() }.to_string();
    let _ = std::io::Write::write_all(&mut std::io::stdout(), banner.as_bytes());
    Ok(())
}

/// Raises the soft limit of open files to the hard limit, as every connection is an open file. If that fails the soft limit stays in force.
fn raise_open_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
