//! The `driftless` command: parses the arguments and starts what they name.
//!
//! Whatever it creates, only the current user can read. A result whose reader has gone ends a command quietly, as `head` does.

mod serve;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use driftless::config::{self, Environment, ExampleConfig, Flags, PoolSection, StoreFlags};
use driftless::push::{self, ApnsConfig, WakeSettings};
use driftless::{admin, client, dev, logging, operator};
use driftless_standin::StandInGateway;
use serve::{FatalError, ReadConfig, ServeMode, ServerPlan, new_runtime};

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

/// Files and folders are the current user's alone, whatever the umask of the shell: they hold people's data, and keys.
const PRIVATE: rustix::fs::Mode = rustix::fs::Mode::RWXG.union(rustix::fs::Mode::RWXO);

/// Returns memory to the system after a burst of sessions, and fragments less (decision 14).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    rustix::process::umask(PRIVATE);
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: CliCommand) -> Result<ExitCode, FatalError> {
    match command {
        CliCommand::Config => print_result(&ExampleConfig.to_string()),
        CliCommand::Token { pool, subject, expires_in_s, config } => {
            print_result(&format!("{}\n", test_token(&pool, &subject, expires_in_s, config)?))
        }
        CliCommand::Dev { flags } => serve::serve(|runtime| {
            let gateway = runtime.block_on(StandInGateway::start())?;
            let (push, wakes) = demo_push(&gateway);
            let read_config: ReadConfig = Arc::new(move || {
                let pool = PoolSection::with_issuer(dev::issuer()).with_push(push.clone(), wakes);
                let config = config::read(None, &Environment::of_process(), &flags)?.with_pool(dev::POOL, pool);
                Ok(config.for_development(admin::DEVELOPMENT_KEY).for_pages_of_this_machine())
            });
            let mode = ServeMode::Development { gateway, key: admin::DEVELOPMENT_KEY };
            Ok(ServerPlan { config: read_config()?, mode, read_config })
        }),
        CliCommand::Serve { config, flags } => serve::serve(|_| {
            let read_config: ReadConfig = Arc::new(move || config::read(config.as_deref(), &Environment::of_process(), &flags));
            let config = read_config()?;
            config.check_production()?;
            Ok(ServerPlan { config, mode: ServeMode::Production, read_config })
        }),
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
                    print_error(&failure);
                    Ok(ExitCode::from(failure.exit_code()))
                }
            }
        }
    }
}

/// Prints what a command was asked for.
fn print_result(text: &str) -> Result<ExitCode, FatalError> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write to stdout: {error}").into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints why a command failed. A closed stderr is not an error.
fn print_error(error: &dyn std::fmt::Display) {
    logging::last_line(&format!("driftless: {error}"));
    logging::flush();
}

fn operator_exit_code(result: Result<(), operator::OperatorError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
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
