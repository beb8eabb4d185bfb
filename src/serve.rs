//! Runs a server in this process: takes the signals, sets the log, starts the app, and ends the process in time.
//!
//! - Signals are taken before anything else, so a supervisor may send one as soon as the process has said anything.
//! - SIGTERM and SIGINT drain the server; the second one ends it at once. SIGHUP reads the configuration and the certificate again.
//! - The process ends within `drain_s` of the first one, whatever waits (a disk, a name lookup, a lock).

use std::process::ExitCode;
use std::sync::Arc;

use driftless::app::{App, DevelopmentKey};
use driftless::config::{ConfigError, ServerConfig};
use driftless::push::WakeSettings;
use driftless::{dev, logging};
use driftless_standin::StandInGateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tracing::{error, info};

use crate::signals::ServerSignals;

/// Any error that ends the process; its text is all that is printed.
pub type FatalError = Box<dyn std::error::Error>;

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

/// Runs a server until SIGTERM or SIGINT. `prepare` reads its configuration.
pub fn serve(prepare: impl FnOnce(&Runtime) -> Result<ServerPlan, FatalError>) -> Result<ExitCode, FatalError> {
    let signals = ServerSignals::take()?;
    let runtime = new_runtime()?;
    let plan = prepare(&runtime)?;
    logging::start(&plan.config.logging())?;
    let times = plan.config.stop_times();
    signals.set_times(times);
    raise_open_file_limit();
    let served = runtime.block_on(run(plan, signals.hangup, signals.stopped));
    // Dropping the runtime would wait for its blocking threads without a limit: a name lookup can take minutes.
    runtime.shutdown_timeout(times.threads());
    served?;
    logging::report();
    logging::flush(times.last_lines());
    Ok(ExitCode::SUCCESS)
}

async fn run(plan: ServerPlan, hangup: Arc<Notify>, mut stopped: watch::Receiver<bool>) -> Result<(), FatalError> {
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

/// Applies the settings that can change while the server runs. An error leaves the current ones in use.
async fn reload_on_hangup(hangup: Arc<Notify>, reloader: driftless::app::Reloader, read_config: ReadConfig) {
    loop {
        hangup.notified().await;
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
    let access_key = match app.development_key() {
        DevelopmentKey::Present { id, secret } => dev::BannerAccessKey::Public { id, secret },
        DevelopmentKey::Absent => dev::BannerAccessKey::Configured,
    };
    let banner = dev::Banner { address: app.address(), tokens, key, access_key, gateway: gateway.url() }.to_string();
    let _ = std::io::Write::write_all(&mut std::io::stdout(), banner.as_bytes());
    Ok(())
}

/// Raises the soft limit of open files to the hard limit, as every connection is an open file. If that fails the soft limit stays in force.
fn raise_open_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
