//! The `driftless` command: parses the arguments, starts what they name, and runs a server until a signal stops it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use driftless::app::App;
use driftless::config::{self, ConfigError, Environment, ExampleConfig, Flags, LogFormat, PoolSection, ServerConfig, StoreFlags};
use driftless::push::{self, ApnsConfig, PushService, WakeSettings};
use driftless::{admin, client, dev, operator};
use driftless_standin::StandInGateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A real-time sync server: keeps each user's data the same on all of their devices.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Starts a server for development, with a ready-made pool, test tokens and a demo page.
    Dev {
        #[command(flatten)]
        flags: Flags,
    },
    /// Starts a server for production.
    Serve {
        /// The configuration file, in TOML (all settings: `driftless config`).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Prints all settings with their defaults, as a configuration file to start from.
    Config,
    /// Prints a test token.
    Token {
        /// The pool that the token is for.
        #[arg(long)]
        pool: String,
        /// The user that the token is for: its `sub` claim.
        #[arg(long)]
        subject: String,
        /// The token's lifetime, in seconds.
        #[arg(long, default_value_t = 3600)]
        expires_in_s: u64,
        /// The configuration file that the pool is in; without it the pool must be the one of `driftless dev`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Restores a backup into a new store. The store's folder must be empty or not exist.
    Restore {
        /// The backup file.
        file: PathBuf,
        /// The configuration file of the server that will use the store, in TOML.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        flags: StoreFlags,
    },
    #[command(flatten)]
    Operator(operator::OperatorCommand),
    /// Acts as a device: watch, put, get, list, import, export, ...
    Client(client::ClientArgs),
}

/// Any error that ends the process; its text is all that is printed.
type FatalError = Box<dyn std::error::Error>;

/// Returns memory to the system after a burst of sessions, and fragments less (decision 14).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("driftless: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: CliCommand) -> Result<ExitCode, FatalError> {
    match command {
        CliCommand::Config => {
            print!("{ExampleConfig}");
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Token { pool, subject, expires_in_s, config } => {
            println!("{}", test_token(&pool, &subject, expires_in_s, config)?);
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Dev { flags } => {
            let runtime = new_runtime()?;
            let gateway = runtime.block_on(StandInGateway::start())?;
            let (push, wakes) = demo_push(&gateway);
            let read_config = move || {
                let pool = PoolSection::with_issuer(dev::issuer()).with_push(push.clone(), wakes);
                let config = config::read(None, &Environment::of_process(), &flags)?.with_pool(dev::POOL, pool);
                Ok(config.with_operator_key(admin::DEVELOPMENT_KEY))
            };
            serve(&runtime, read_config()?, ServeMode::Development(gateway), read_config)
        }
        CliCommand::Serve { config, flags } => {
            let read_config = move || config::read(config.as_deref(), &Environment::of_process(), &flags);
            let config = read_config()?;
            config.check_production()?;
            serve(&new_runtime()?, config, ServeMode::Production, read_config)
        }
        CliCommand::Restore { file, config, flags } => {
            let config = config::read(config.as_deref(), &Environment::of_process(), &flags.into())?;
            Ok(operator_exit_code(operator::restore(&file, &config.data, &config.store())))
        }
        CliCommand::Operator(command) => Ok(operator_exit_code(new_runtime()?.block_on(operator::run(command, admin::DEVELOPMENT_KEY)))),
        CliCommand::Client(arguments) => {
            let mint = |subject: &str| dev::token(subject, dev::TOKEN_S).map_err(|error| error.to_string());
            match new_runtime()?.block_on(client::run(arguments, mint)) {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(failure) => {
                    eprintln!("driftless: {failure}");
                    Ok(ExitCode::from(failure.exit_code()))
                }
            }
        }
    }
}

fn operator_exit_code(result: Result<(), operator::OperatorError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("driftless: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

enum ServeMode {
    Production,
    /// With a stand-in for the push gateways.
    Development(StandInGateway),
}

/// The demo page's push settings. Its phones may be woken as often as a visitor tries it.
fn demo_push(gateway: &StandInGateway) -> (push::PushConfig, WakeSettings) {
    let credentials = gateway.credentials();
    let apns = ApnsConfig {
        app: dev::APP.to_owned(),
        server: Some(gateway.url()),
        sandbox_server: Some(gateway.sandbox_url()),
        key_file: Some(credentials.apns_key.clone()),
        key_id: Some(credentials.apns_key_id.to_owned()),
        team_id: Some(credentials.apns_team_id.to_owned()),
        authority_file: Some(credentials.authority.clone()),
        ..ApnsConfig::default()
    };
    let wakes = WakeSettings { apple_per_hour: 3600, apple_burst: 10, ..WakeSettings::default() };
    (push::PushConfig { apns: vec![apns], ..push::PushConfig::default() }, wakes)
}

/// Runs a server until SIGTERM or SIGINT. SIGHUP calls `read_config` and applies the push settings.
fn serve(
    runtime: &Runtime,
    config: ServerConfig,
    mode: ServeMode,
    read_config: impl Fn() -> Result<ServerConfig, ConfigError>,
) -> Result<ExitCode, FatalError> {
    init_logging(&config);
    raise_open_file_limit();
    runtime.block_on(async {
        let extra_routes = match &mode {
            ServeMode::Development(gateway) => dev::routes().merge(dev::wakes(gateway.clone())),
            ServeMode::Production => axum::Router::new(),
        };
        // Before the log says that the server started: a supervisor may then send a signal at once.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        let app = App::start(&config, extra_routes).await?;
        if let ServeMode::Development(gateway) = &mode {
            let tokens = [dev::token(dev::PERSON, dev::TOKEN_S)?, dev::token(dev::PERSON, dev::TOKEN_S)?];
            let is_public = config.operator_key().is_some_and(|key| key.matches(admin::DEVELOPMENT_KEY));
            let key = if is_public { dev::BannerKey::Public(admin::DEVELOPMENT_KEY) } else { dev::BannerKey::Configured };
            print!("{}", dev::Banner { address: app.address(), tokens, key, gateway: gateway.url() });
        }
        let push_service = app.push().clone();
        let shutdown = async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => reload_push_settings(&push_service, &read_config),
                }
            }
        };
        app.until(shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Reads the configuration again and replaces the pools' push credentials and wake settings. An error leaves the current ones in use.
fn reload_push_settings(push_service: &PushService, read_config: &impl Fn() -> Result<ServerConfig, ConfigError>) {
    match read_config().and_then(|config| config.pool_push()) {
        Ok(pools) => {
            push_service.replace(pools);
            tracing::info!("push credentials and wake settings reloaded; other settings need a restart");
        }
        Err(error) => tracing::error!(%error, "configuration reload failed; the current settings stay in use"),
    }
}

fn test_token(pool: &str, subject: &str, expires_in_s: u64, file: Option<PathBuf>) -> Result<String, FatalError> {
    let Some(file) = file else {
        if pool != dev::POOL {
            return Err(
                format!("the pool of `driftless dev` is {}; for pool {pool} pass its configuration: --config FILE", dev::POOL).into()
            );
        }
        return Ok(dev::token(subject, expires_in_s)?);
    };
    let config = config::read(Some(&file), &Environment::of_process(), &Flags::default())?;
    let issuers = config.issuers().into_iter().find(|(name, _)| **name == *pool).map(|(_, issuers)| issuers);
    let issuers = issuers.ok_or_else(|| format!("{} configures no pool {pool}", file.display()))?;
    let mut shared = None;
    for issuer in issuers.iter().filter(|issuer| issuer.audience_claim == "aud") {
        let secret = dev::secret_of(issuer)?;
        shared = shared.or(secret.zip(issuer.audience.first()).map(|(secret, audience)| (issuer, secret, audience)));
    }
    let (issuer, secret, audience) = shared.ok_or_else(|| format!("no issuer of pool {pool} has a shared secret to sign with"))?;
    Ok(dev::mint_for(&secret, &issuer.issuer, audience, subject, expires_in_s)?)
}

/// Raises the soft limit of open files to the hard limit, as every connection is an open file. If that fails the soft limit stays in force.
fn raise_open_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn new_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn init_logging(config: &ServerConfig) {
    let filter = EnvFilter::new(&config.log);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
