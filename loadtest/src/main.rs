//! Loads the real server the way its users would, and says what came of it.
//!
//! `main` reads a scenario and has a server; `stories` has a [`fleet`] of simulated devices do what it names, while [`watch`] looks at the
//! system; `report` puts figures beside budgets. A broken budget is a failure of the command.

mod alarm;
mod disk;
mod fleet;
mod floor;
mod http;
mod link;
mod machine;
mod makers;
mod profile;
mod report;
mod run;
mod scenario;
mod server;
mod stories;
mod times;
mod watch;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use profile::{Of, Profile};
use run::Run;
use scenario::{Load, Scenario};
use server::{Server, Signer};
use stories::Gateways;
use tikv_jemallocator::Jemalloc;

/// Simulated devices against the real server: one scenario, one table, one report.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// What to do: a TOML file, such as loadtest/scenarios/idle.toml.
    #[arg(required = true)]
    scenario: Option<PathBuf>,
    /// Changes a number of the scenario, such as load.sessions=1000. May be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The server's program. Without it, it is built as this tool was.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// A server that runs already, as ADDRESS:PORT, instead of one that is started.
    #[arg(long, value_name = "ADDRESS", requires = "secret")]
    at: Option<SocketAddr>,
    /// The secret of an issuer that the running server believes (HS256).
    #[arg(long)]
    secret: Option<String>,
    /// That issuer's name.
    #[arg(long, default_value = "driftless-loadtest")]
    issuer: String,
    /// The audience that it demands.
    #[arg(long, default_value = "load")]
    audience: String,
    /// The running server's process, if it is on this machine: then the system is asked about it.
    #[arg(long)]
    pid: Option<u32>,
    /// Draws where the server's time or memory goes, as a flame graph beside the report.
    #[arg(long, value_name = "OF")]
    profile: Option<Of>,
    /// Folder of the results.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Folder for the store of the server that is started; it is emptied when the run ends.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Other {
    /// A bare tokio program that writes the same bytes to as many sockets: what a burst is compared with.
    #[command(hide = true)]
    Floor {
        /// Bytes of the value that it sends.
        value_bytes: usize,
    },
}

/// As the server has it: a scenario holds the server's parts in this process.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.other {
        Some(Other::Floor { value_bytes }) => floor::serve(*value_bytes).map(|()| true),
        None => load(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("driftless-loadtest: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all budgets were kept.
fn load(arguments: &Arguments) -> Result<bool, String> {
    let path = arguments.scenario.as_deref().ok_or("name a scenario")?;
    let scenario = Scenario::read(path, &arguments.set)?;
    let name = path.file_stem().map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
    machine::raise_files();
    let place = arguments.data.clone().unwrap_or_else(machine::target);
    let folder = tempfile::Builder::new().prefix("loadtest-").tempdir_in(&place);
    let folder = folder.map_err(|error| format!("{} has no room for a folder: {error}", place.display()))?;
    let out = arguments.out.clone().unwrap_or_else(|| machine::target().join("loadtest"));
    let gateways = Gateways::start(&scenario.load)?;
    let server = match (arguments.at, &arguments.secret) {
        // It has the server's parts in this process.
        _ if matches!(scenario.load, Load::Crowd(_)) => {
            Server::running(([127, 0, 0, 1], 0).into(), Signer::own(), Some(std::process::id()))
        }
        (Some(address), Some(secret)) => {
            let Arguments { issuer, audience, .. } = arguments;
            Server::running(address, Signer { secret: secret.clone(), issuer: issuer.clone(), audience: audience.clone() }, arguments.pid)
        }
        _ => {
            let binary = arguments.server.clone().map_or_else(|| build(arguments.profile), Ok)?;
            let environment = arguments.profile.map_or_else(Vec::new, |of| of.environment(folder.path()));
            Server::start(&binary, folder.path(), &gateways.settings(&scenario.server)?, environment)?
        }
    };
    let profile = arguments.profile.map(|of| Profile::begin(of, server.process(), server.binary(), folder.path())).transpose()?;
    let mut run = Run::new(&name, &scenario, server, gateways, folder.path())?;
    stories::tell(&mut run, &scenario.load)?;
    let mut report = run.finish();
    report.judge(&scenario.budget)?;
    print!("{}", report.table());
    println!("\n  report: {}", report.write(&out)?.display());
    if let Some(profile) = profile {
        let of = profile.of();
        let picture = out.join(format!("{name}.{of}.svg"));
        profile.draw(&format!("{name}: {of}"), &picture)?;
        println!("  flame graph: {}", picture.display());
    }
    Ok(report.holds())
}

/// The server's program, built from the same sources in the same profile.
fn build(profile: Option<Of>) -> Result<PathBuf, String> {
    let target = machine::target();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("driftless");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Named together with this one: with its features alone all of what the server needs would be compiled once more.
    let packages = ["--package", "driftless", "--package", "driftless-loadtest", "--bin", "driftless"];
    command.current_dir(sources).args(["build", "--locked"]).args(packages).arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if profile == Some(Of::Heap) {
        command.args(["--features", "driftless/heap-profile"]);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(binary),
        Ok(_) => Err("the server could not be built; --server FILE names one that is".to_owned()),
        Err(error) => Err(format!("cargo cannot be started: {error}; --server FILE names a server that is built")),
    }
}
