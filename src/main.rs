//! The `driftless` command: arguments, logs, start, wait, drain.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use driftless::app::App;
use driftless::config::{self, Config, ConfigError, Example, Flags, LogFormat, PoolSection, StoreFlags};
use driftless::push::{self, ApnsConfig, PushService, WakeSettings};
use driftless::{admin, client, dev, operator};
use driftless_standin::StandInGateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A real-time sync server: each person's data the same on all their devices.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a server for trying out: a ready pool, tokens, a demo page.
    Dev {
        #[command(flatten)]
        flags: Flags,
    },
    /// Starts a server for production.
    Serve {
        /// The configuration, in TOML; see `driftless config`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Prints every setting with its default and a sentence, as a file to begin with.
    Config,
    /// Prints a token for testing, and nothing else.
    Token {
        /// The pool it is for.
        #[arg(long)]
        pool: String,
        /// Who it is for: the token's `sub`.
        #[arg(long)]
        subject: String,
        /// How long it holds, in seconds.
        #[arg(long, default_value_t = 3600)]
        expires_in_s: u64,
        /// The configuration of the pool; without it the pool is the one of `driftless dev`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Makes a fresh store from a backup, in a folder that is empty or not there.
    Restore {
        /// The backup.
        file: PathBuf,
        /// The configuration of the server that will run on it, in TOML.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        flags: StoreFlags,
    },
    #[command(flatten)]
    Operator(operator::Command),
    /// A device on the command line: watch, put, get, list, import, export, ...
    Client(client::Args),
}

type Failure = Box<dyn std::error::Error>;

/// Gives memory back that a rush of sessions took, and does not let them fragment it (decision 14).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("driftless: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Config => {
            print!("{Example}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Token { pool, subject, expires_in_s, config } => {
            println!("{}", test_token(&pool, &subject, expires_in_s, config)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Dev { flags } => {
            let runtime = runtime()?;
            let gateway = runtime.block_on(StandInGateway::start())?;
            let (push, wakes) = demo_push(&gateway);
            let read = move || {
                let pool = PoolSection::of(dev::issuer()).with_push(push.clone(), wakes);
                let config = config::read(None, &variable, &flags)?.with_pool(dev::POOL, pool);
                Ok(config.with_operator_key(admin::DEVELOPMENT_KEY))
            };
            serve(&runtime, read()?, Surroundings::Development(gateway), read)
        }
        Command::Serve { config, flags } => {
            let read = move || config::read(config.as_deref(), &variable, &flags);
            let config = read()?;
            config.check_production()?;
            serve(&runtime()?, config, Surroundings::Production, read)
        }
        Command::Restore { file, config, flags } => {
            let config = config::read(config.as_deref(), &variable, &flags.into())?;
            Ok(ended(operator::restore(&file, &config.data, &config.store())))
        }
        Command::Operator(command) => Ok(ended(runtime()?.block_on(operator::run(command, admin::DEVELOPMENT_KEY)))),
        Command::Client(arguments) => {
            let mint = |subject: &str| dev::token(subject, dev::TOKEN_S).map_err(|error| error.to_string());
            match runtime()?.block_on(client::run(arguments, mint)) {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(failure) => {
                    eprintln!("driftless: {failure}");
                    Ok(ExitCode::from(failure.exit_code()))
                }
            }
        }
    }
}

fn ended(result: Result<(), operator::Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("driftless: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What a server is for.
enum Surroundings {
    Production,
    /// With a stand-in for push gateways.
    Development(StandInGateway),
}

/// How the phones of the demo page are woken: as often as somebody tries it out.
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

fn serve(
    runtime: &Runtime,
    config: Config,
    surroundings: Surroundings,
    again: impl Fn() -> Result<Config, ConfigError>,
) -> Result<ExitCode, Failure> {
    log(&config);
    use_all_files();
    runtime.block_on(async {
        let extra = match &surroundings {
            Surroundings::Development(gateway) => dev::routes().merge(dev::wakes(gateway.clone())),
            Surroundings::Production => axum::Router::new(),
        };
        let app = App::start(&config, extra).await?;
        if let Surroundings::Development(gateway) = &surroundings {
            let tokens = [dev::token(dev::PERSON, dev::TOKEN_S)?, dev::token(dev::PERSON, dev::TOKEN_S)?];
            let is_public = config.operator().is_some_and(|key| key.opens(admin::DEVELOPMENT_KEY));
            let key = if is_public { dev::BannerKey::Public(admin::DEVELOPMENT_KEY) } else { dev::BannerKey::Configured };
            print!("{}", dev::Banner { address: app.address(), tokens, key, gateway: gateway.url() });
        }
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        let post = app.post().clone();
        let shutdown = async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => reload(&post, &again),
                }
            }
        };
        app.until(shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Takes the credentials for pushes from the configuration as it is now. What is wrong with it leaves everything as it was.
fn reload(post: &PushService, again: &impl Fn() -> Result<Config, ConfigError>) {
    match again().and_then(|config| config.desks()) {
        Ok(desks) => {
            post.exchange(desks);
            tracing::info!("the credentials for pushes were read again, and how pools wake; other settings need a restart");
        }
        Err(error) => tracing::error!(%error, "the configuration was not read again; everything goes on as before"),
    }
}

fn test_token(pool: &str, subject: &str, expires_in_s: u64, file: Option<PathBuf>) -> Result<String, Failure> {
    let Some(file) = file else {
        if pool != dev::POOL {
            return Err(format!("the pool of `driftless dev` is {}; for {pool} name its --config FILE", dev::POOL).into());
        }
        return Ok(dev::token(subject, expires_in_s)?);
    };
    let config = config::read(Some(&file), &variable, &Flags::default())?;
    let issuers = config.issuers().into_iter().find(|(name, _)| **name == *pool).map(|(_, issuers)| issuers);
    let issuers = issuers.ok_or_else(|| format!("{} has no pool {pool}", file.display()))?;
    let shared = issuers.iter().find_map(|issuer| Some((issuer, issuer.secret.as_ref()?, issuer.audience.first()?)));
    let (issuer, secret, audience) = shared.ok_or_else(|| format!("no issuer of {pool} has a shared secret to sign with"))?;
    Ok(dev::mint_for(secret, &issuer.issuer, audience, subject, expires_in_s)?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Every socket is an open file: the server takes as many as the system lets it have, its hard limit. If that fails it has what it had.
fn use_all_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn log(config: &Config) {
    let filter = EnvFilter::new(&config.log);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
