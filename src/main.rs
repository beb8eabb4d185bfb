//! The `driftless` command: parses the arguments and starts what they name.
//!
//! Whatever it creates, only the current user can read. A result whose reader has gone ends a command quietly, as `head` does.

mod serve;
mod shell;
mod signals;
mod version;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::NonEmptyStringValueParser;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use driftless::app::AppError;
use driftless::client::CommandExit;
use driftless::config::{self, ConfigError, Environment, ExampleConfig, Flags, PoolSection, SETTINGS, StoreFlags};
use driftless::push::{self, ApnsConfig, WakeSettings};
use driftless::{admin, client, dev, invocation, logging, operator};
use driftless_standin::StandInGateway;
use serde_json::json;
use serve::{FatalError, ReadConfig, ServeMode, ServerPlan, new_runtime};

/// A real-time sync server: keeps each user's data the same on all of their devices.
#[derive(Parser)]
#[command(name = "driftless", version = version::short(), long_version = version::long(), about)]
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
        /// The configuration file, in TOML (`driftless config` prints all settings) [env: DRIFTLESS_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Make new keys if the key file is lost: access keys whose secrets the old ones have sealed are deleted
        #[arg(long)]
        new_keyring: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Prints all settings with their defaults, as a configuration file to start from; or checks a configuration.
    Config {
        #[command(subcommand)]
        command: Option<ConfigCommand>,
        /// Print the result as one JSON document, as docs/commands.md describes it
        #[arg(long, global = true)]
        json: bool,
    },
    /// Prints a test token.
    Token {
        /// The pool that the token is for [default: the only one]
        #[arg(long)]
        pool: Option<String>,
        /// The user that the token is for: its `sub` claim.
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        subject: String,
        /// The token's lifetime, in seconds.
        #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
        expires_in_s: u64,
        /// The configuration file that the pool is in; without it the token is for the pool of `driftless dev` [env: DRIFTLESS_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the result as one JSON document, as docs/commands.md describes it
        #[arg(long)]
        json: bool,
    },
    /// Restores a backup into a new store. The store's folder must be empty or not exist.
    Restore {
        /// The backup file.
        file: PathBuf,
        /// The configuration file of the server that will use the store, in TOML [env: DRIFTLESS_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the result as one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: StoreFlags,
    },
    #[command(flatten)]
    Operator(operator::OperatorCommand),
    /// Acts as a device: watch, put, get, list, import, export, ...
    Client(client::ClientArgs),
    /// Prints the completions of all commands for a shell.
    Completions { shell: Shell },
    /// Prints the manual page of the program, or of one of its commands, for `man -l -`.
    Man {
        /// The command, such as `client put`
        command: Vec<String>,
        /// Write all pages into this folder instead
        #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
        out: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Checks a configuration as `driftless serve` does, with the environment, and all the files that it names; starts nothing.
    Check {
        /// The configuration file
        file: PathBuf,
    },
}

/// Files and folders are the current user's alone, whatever the umask of the shell: they hold people's data, and keys.
const PRIVATE: rustix::fs::Mode = rustix::fs::Mode::RWXG.union(rustix::fs::Mode::RWXO);

/// Returns memory to the system after a burst of sessions, and fragments less (decision 14).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    rustix::process::umask(PRIVATE);
    match Cli::try_parse().map_or_else(print_usage, |cli| run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::from(exit(&*error).code())
        }
    }
}

/// Why a command without an exit code of its own failed.
fn exit(error: &(dyn std::error::Error + 'static)) -> CommandExit {
    let of_app = matches!(error.downcast_ref(), Some(AppError::Config(_)));
    if of_app || error.is::<ConfigError>() || error.is::<UsageError>() { CommandExit::Usage } else { CommandExit::Failed }
}

fn run(command: CliCommand) -> Result<ExitCode, FatalError> {
    match command {
        CliCommand::Config { command: None, json: false } => print_result(&ExampleConfig.to_string()),
        CliCommand::Config { command: None, json: true } => print_json(&json!({ "settings": *SETTINGS })),
        CliCommand::Config { command: Some(ConfigCommand::Check { file }), json } => check_config(&file, json),
        CliCommand::Completions { shell } => print_result(&shell::completions(Cli::command(), shell)),
        CliCommand::Man { command, out: None } => print_result(&shell::manual_page(Cli::command(), &command)?),
        CliCommand::Man { out: Some(folder), .. } => {
            print_result(&format!("{} pages in {}\n", shell::manual_pages(Cli::command(), &folder)?, folder.display()))
        }
        CliCommand::Token { pool, subject, expires_in_s, config, json } => {
            let token = test_token(pool.as_deref(), &subject, expires_in_s, config_file(config))?;
            if json { print_json(&token.json(&subject, expires_in_s)) } else { print_result(&format!("{}\n", token.token)) }
        }
        CliCommand::Dev { flags } => serve::serve(|runtime| {
            let gateway = runtime.block_on(StandInGateway::start())?;
            let (push, wakes) = demo_push(&gateway);
            let read_config: ReadConfig = Arc::new(move || {
                let pool = PoolSection::with_issuer(dev::issuer()).with_push(push.clone(), wakes).with_guests();
                let config = config::read(None, &Environment::of_process(), &flags)?.with_pool(dev::POOL, pool);
                Ok(config.for_development(admin::DEVELOPMENT_KEY).for_pages_of_this_machine().with_development_key().with_new_keyring())
            });
            let mode = ServeMode::Development { gateway, key: admin::DEVELOPMENT_KEY };
            Ok(ServerPlan { config: read_config()?, mode, read_config })
        }),
        CliCommand::Serve { config, new_keyring, flags } => serve::serve(|_| {
            let config = config_file(config);
            let read_config: ReadConfig = Arc::new(move || config::read(config.as_deref(), &Environment::of_process(), &flags));
            let config = read_config()?;
            config.check_production()?;
            let config = if new_keyring { config.with_new_keyring() } else { config };
            Ok(ServerPlan { config, mode: ServeMode::Production, read_config })
        }),
        CliCommand::Restore { file, config, json, flags } => {
            let config = config::read(config_file(config).as_deref(), &Environment::of_process(), &flags.into())?;
            Ok(operator_exit_code(operator::restore(&file, &config.data, &config.store(), operator::ResultFormat::of(json))))
        }
        CliCommand::Operator(command) => {
            Environment::of_process().check()?;
            Ok(operator_exit_code(new_runtime()?.block_on(operator::run(command, admin::DEVELOPMENT_KEY))))
        }
        CliCommand::Client(arguments) => {
            Environment::of_process().check()?;
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

/// Prints the help or the version that was asked for, or what is wrong with the arguments.
fn print_usage(usage: clap::Error) -> Result<ExitCode, FatalError> {
    let printed = usage.print().and_then(|()| std::io::stdout().flush());
    let code = ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(CommandExit::Usage.code()));
    if usage.use_stderr() { Ok(code) } else { written(printed) }
}

/// Prints what a command was asked for.
fn print_result(text: &str) -> Result<ExitCode, FatalError> {
    let mut stdout = std::io::stdout();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

fn written(printed: std::io::Result<()>) -> Result<ExitCode, FatalError> {
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write to stdout: {error}").into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn print_json(document: &serde_json::Value) -> Result<ExitCode, FatalError> {
    print_result(&format!("{document}\n"))
}

/// Prints why a command failed. A closed stderr is not an error.
fn print_error(error: &dyn std::fmt::Display) {
    logging::last_line(&format!("driftless: {error}"));
    logging::flush(logging::LAST_FLUSH);
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

/// The configuration file that an argument or the environment names.
fn config_file(argument: Option<PathBuf>) -> Option<PathBuf> {
    argument.or_else(|| Environment::of_process().get("DRIFTLESS_CONFIG").map(PathBuf::from))
}

/// Checks a configuration and the files that it names.
fn check_config(file: &Path, json: bool) -> Result<ExitCode, FatalError> {
    let config = config::read(Some(file), &Environment::of_process(), &Flags::default())?;
    config.check_production()?;
    // Push credentials make clients, which need the runtime.
    new_runtime()?.block_on(async { config.check_files() })?;
    let pools: Vec<String> = config.pools().into_iter().map(|pool| pool.name.to_string()).collect();
    if json {
        return print_json(&json!({ "file": file.display().to_string(), "pools": pools }));
    }
    print_result(&format!("{} can be used; pools: {}\n", file.display(), pools.join(", ")))
}

/// A token for tests, and what it is for.
struct TestToken {
    token: String,
    pool: String,
    issuer: String,
}

impl TestToken {
    fn json(&self, subject: &str, expires_in_s: u64) -> serde_json::Value {
        let TestToken { token, pool, issuer } = self;
        json!({ "token": token, "pool": pool, "issuer": issuer, "subject": subject, "expires_in_s": expires_in_s })
    }
}

/// An argument that does not fit the configuration.
#[derive(Debug)]
struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn test_token(pool: Option<&str>, subject: &str, expires_in_s: u64, file: Option<PathBuf>) -> Result<TestToken, FatalError> {
    let usage = |why: String| Err(UsageError(why).into());
    let Some(file) = file else {
        return match pool {
            Some(other) if other != dev::POOL => usage(format!(
                "the pool of `{} dev` is {}; for pool {other} pass its configuration: --config FILE",
                invocation::name(),
                dev::POOL
            )),
            _ => {
                let token = dev::token(subject, expires_in_s)?;
                Ok(TestToken { token, pool: dev::POOL.to_owned(), issuer: dev::ISSUER.to_owned() })
            }
        };
    };
    let config = config::read(Some(&file), &Environment::of_process(), &Flags::default())?;
    let mut pools = config.issuers();
    let names = pools.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ");
    pools.retain(|(name, _)| pool.is_none_or(|pool| **name == *pool));
    let (pool, issuers) = match (pool, pools.as_slice()) {
        (_, [one]) => one,
        (_, _) if names.is_empty() => return usage(format!("{} configures no pool", file.display())),
        (Some(pool), _) => return usage(format!("{} configures no pool {pool}; its pools: {names}", file.display())),
        (None, _) => return usage(format!("name one of the pools of {} with --pool: {names}", file.display())),
    };
    let mut shared = None;
    for issuer in issuers.iter().filter(|issuer| issuer.audience_claim == "aud") {
        let secret = dev::secret_of(issuer).map_err(UsageError)?;
        shared = shared.or(secret.zip(issuer.audience.first()).map(|(secret, audience)| (issuer, secret, audience)));
    }
    let Some((issuer, secret, audience)) = shared else {
        return usage(format!("no issuer of pool {pool} has a shared secret to sign with"));
    };
    let token = dev::mint_for(&secret, &issuer.issuer, audience, subject, expires_in_s)?;
    Ok(TestToken { token, pool: pool.to_string(), issuer: issuer.issuer.clone() })
}
