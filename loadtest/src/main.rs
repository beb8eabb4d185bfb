//! Loads the real server as its users would, and reports figures.
//!
//! `main` reads a scenario and starts a server; `workloads` drives a [`fleet`] of simulated devices while [`sampler`] samples CPU and memory;
//! `report` compares the figures with their budgets. The command fails if a budget is broken.

mod attack;
mod attack_mix;
mod bare_server;
mod bystander;
mod compared;
mod context;
mod device_socket;
mod disk;
mod fleet;
mod http;
mod latency;
mod machine;
mod operator_act;
mod operator_connection;
mod pairs;
mod pending_versions;
mod people;
mod poll_timer;
mod profile;
mod push_gateway;
mod report;
mod sampler;
mod scenario;
mod server;
mod websocket;
mod workloads;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use context::TestRun;
use profile::{Profile, ProfileKind};
use push_gateway::ScenarioGateway;
use scenario::{Scenario, Workload};
use server::{ServerUnderTest, TokenSigner};
use tikv_jemallocator::Jemalloc;

/// Run simulated devices against the real server, and report figures and budgets.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct LoadTestArguments {
    #[command(subcommand)]
    hidden: Option<HiddenCommand>,
    /// The scenario: a TOML file, for example loadtest/scenarios/idle.toml.
    #[arg(required = true)]
    scenario: Option<PathBuf>,
    /// Change a value of the scenario, for example load.sessions=1000. Can be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The server's binary. Without this option, the server is built in the same profile as this tool.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Use a running server at IP:PORT instead of starting one.
    #[arg(long, value_name = "ADDRESS", requires = "secret")]
    at: Option<SocketAddr>,
    /// The secret of an issuer that the running server trusts (HS256).
    #[arg(long)]
    secret: Option<String>,
    /// The issuer's name.
    #[arg(long, default_value = "driftless-loadtest")]
    issuer: String,
    /// The audience that the running server requires.
    #[arg(long, default_value = "load")]
    audience: String,
    /// The process id of the running server, if it is on this machine: its CPU and memory are then measured.
    #[arg(long)]
    pid: Option<u32>,
    /// Draw a flame graph of the server's CPU time or memory beside the report.
    #[arg(long, value_name = "KIND")]
    profile: Option<ProfileKind>,
    /// The folder for the results.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The folder for the store of the server that is started. The store is deleted when the run ends.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum HiddenCommand {
    /// A bare server that sends the same bytes to as many sockets, for comparison in the burst workload.
    #[command(hide = true)]
    BareServer {
        /// Length in bytes of the value that it sends.
        value_bytes: usize,
    },
}

/// The server's allocator: one scenario runs the server's parts in this process.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let arguments = LoadTestArguments::parse();
    let done = match &arguments.hidden {
        Some(HiddenCommand::BareServer { value_bytes }) => bare_server::serve(*value_bytes).map(|()| true),
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

/// Runs a scenario. Returns whether all budgets were kept.
fn load(arguments: &LoadTestArguments) -> Result<bool, String> {
    let path = arguments.scenario.as_deref().ok_or("no scenario given")?;
    let scenario = Scenario::read(path, &arguments.set)?;
    let name = path.file_stem().map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
    machine::raise_file_limit();
    let place = arguments.data.clone().unwrap_or_else(machine::target_folder);
    let folder = tempfile::Builder::new().prefix("loadtest-").tempdir_in(&place);
    let folder = folder.map_err(|error| format!("cannot create a folder in {}: {error}", place.display()))?;
    let out = arguments.out.clone().unwrap_or_else(|| machine::target_folder().join("loadtest"));
    let gateway = ScenarioGateway::start(&scenario.load)?;
    let server = match (arguments.at, &arguments.secret) {
        // This workload runs the server's parts in this process.
        _ if matches!(scenario.load, Workload::Crowd(_)) => {
            ServerUnderTest::running(([127, 0, 0, 1], 0).into(), TokenSigner::own(), Some(std::process::id()))
        }
        (Some(address), Some(secret)) => {
            let LoadTestArguments { issuer, audience, .. } = arguments;
            ServerUnderTest::running(
                address,
                TokenSigner { secret: secret.clone(), issuer: issuer.clone(), audience: audience.clone() },
                arguments.pid,
            )
        }
        _ => {
            let binary = arguments.server.clone().map_or_else(|| build(arguments.profile), Ok)?;
            let environment = arguments.profile.map_or_else(Vec::new, |of| of.environment(folder.path()));
            ServerUnderTest::start(&binary, folder.path(), &gateway.add_to_settings(&scenario.server)?, environment)?
        }
    };
    let profile = arguments.profile.map(|of| Profile::begin(of, server.process(), server.binary(), folder.path())).transpose()?;
    let mut run = TestRun::new(&name, &scenario, server, gateway, folder.path());
    workloads::execute(&mut run, &scenario.load)?;
    let mut report = run.finish();
    report.set_budgets(&scenario.budgets())?;
    print!("{}", report.table());
    println!("\n  report: {}", report::write(&report, &out)?.display());
    if let Some(profile) = profile {
        let kind = profile.name();
        let picture = out.join(format!("{name}.{kind}.svg"));
        profile.draw(&format!("{name}: {kind}"), &picture)?;
        println!("  flame graph: {}", picture.display());
    }
    Ok(report.holds())
}

/// Builds the server from the same sources in the profile that this tool was built with; returns its binary.
fn build(profile: Option<ProfileKind>) -> Result<PathBuf, String> {
    let target = machine::target_folder();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("driftless");
    // Cargo names the folder of a build after its profile, except for `dev`.
    let folder = binary.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let cargo_profile = if folder == "debug" { "dev" } else { folder };
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Both packages are named: with the features of the server alone, cargo would compile all dependencies again.
    let packages = ["--package", "driftless", "--package", "driftless-loadtest", "--bin", "driftless"];
    command.current_dir(sources).args(["build", "--locked", "--profile", cargo_profile]).args(packages).arg("--target-dir").arg(target);
    if profile.is_some() {
        // A flame graph needs the names and lines that `dist` strips.
        let settings = format!("CARGO_PROFILE_{}", cargo_profile.to_uppercase());
        command.env(format!("{settings}_STRIP"), "none").env(format!("{settings}_DEBUG"), "line-tables-only");
    }
    if profile == Some(ProfileKind::Heap) {
        command.args(["--features", "driftless/heap-profile"]);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(binary),
        Ok(_) => Err("the server cannot be built; use --server FILE to name a binary".to_owned()),
        Err(error) => Err(format!("cannot start cargo: {error}; use --server FILE to name a binary")),
    }
}
