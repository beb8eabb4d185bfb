//! The operator's commands: they speak to a running server over `/admin/api`, with the operator key. Only `restore` works on a folder.
//!
//! What was asked for goes to stdout, how it goes to stderr. Times are in UTC. Nothing in a key, a value or a name reaches the terminal as a
//! control character.

mod backup;
mod compare;
mod devices;
mod erase;
mod export;
mod failure;
mod history;
mod identities;
mod merge;
mod output;
mod restore;
mod server;
mod who;

use std::path::PathBuf;

use driftless_protocol::{DatasetName, DeviceId};

pub use failure::Failure;
pub use restore::restore;

use server::Target;
use who::Who;

/// What an operator can do from the command line.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Makes a consistent copy of a running server's store.
    Backup {
        /// Where to.
        file: PathBuf,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Lists what changed in a dataset, by which device, when: the newest first.
    History {
        /// Which dataset.
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// How many versions, at most 1000.
        #[arg(long, default_value_t = 20)]
        limit: u64,
        /// Only versions below this one.
        #[arg(long, value_name = "VERSION")]
        below: Option<u64>,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Shows a dataset as it was at a version.
    Show {
        /// Which dataset.
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// As of which version.
        version: u64,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Shows what differs between two versions of a dataset.
    Compare {
        /// Which dataset.
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// From this version ...
        first: u64,
        /// ... to this one.
        second: u64,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Restores a dataset to a version: as a new version, which reaches all devices like any write.
    RestoreVersion {
        /// Which dataset.
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// To which version.
        version: u64,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Finds the identities that the logins of a person lead to.
    Identities {
        /// The person: the `sub` of their tokens.
        #[arg(long)]
        subject: String,
        /// Their pool.
        #[arg(long, default_value = who::POOL)]
        pool: String,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Writes all that belongs to an identity as one JSON document.
    ExportIdentity {
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Where to; without it: stdout.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Erases an identity and all that it owns, for good.
    EraseIdentity {
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Do it; without this it is only said what would be erased.
        #[arg(long)]
        yes: bool,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Lets another login of its pool lead to an identity.
    LinkLogin {
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// The login's issuer: the `iss` of its tokens.
        #[arg(long)]
        issuer: String,
        /// The login's subject: the `sub` of its tokens.
        #[arg(long, value_name = "SUBJECT")]
        login: String,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Lists the devices of an identity, and how they are woken.
    Devices {
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Revokes a device: its session ends, its push token is forgotten, and it comes in no more.
    RevokeDevice {
        /// Which.
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Lets a revoked device in again.
    AllowDevice {
        /// Which.
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Why did this phone not wake? Its log, a wake to try it out, apps that are stopped.
    #[command(subcommand)]
    Push(Push),
    /// Merges an identity into another one: its datasets, devices and logins go over.
    MergeIdentities {
        /// The one that goes, `region:uuid`.
        from: String,
        /// The one that stays, `region:uuid`.
        into: String,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
}

/// What can be asked about pushes.
#[derive(clap::Subcommand)]
pub enum Push {
    /// Shows each wake of a device with what became of it, or why none was sent; the newest first.
    Log {
        /// Which device.
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Wakes a device now, and prints what its gateway said.
    Test {
        /// Which device.
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        /// A wake that is shown to the user.
        #[arg(long)]
        shown: bool,
        /// Whose.
        #[command(flatten)]
        who: Who,
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Says which apps are stopped because their gateway refuses them.
    Status {
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
    /// Lets stopped apps go on, after their topic or credential was mended at the provider.
    Resume {
        /// Of which server.
        #[command(flatten)]
        target: Target,
    },
}

/// Runs a command. `development_key` is taken if no other key is given.
pub async fn run(command: Command, development_key: &str) -> Result<(), Failure> {
    match act(command, development_key).await {
        // Whoever read our output has seen enough, as `head` does.
        Err(Failure::NobodyReads) => Ok(()),
        other => other,
    }
}

async fn act(command: Command, development_key: &str) -> Result<(), Failure> {
    let server = |target: Target| target.server(development_key);
    match command {
        Command::Backup { file, force, target } => backup::run(&server(target)?, &file, force).await,
        Command::History { dataset, who, limit, below, target } => {
            let server = server(target)?;
            history::list(&server, &who.identity(&server).await?, &dataset, below, limit).await
        }
        Command::Show { dataset, version, who, target } => {
            let server = server(target)?;
            history::show(&server, &who.identity(&server).await?, &dataset, version).await
        }
        Command::Compare { dataset, first, second, who, target } => {
            let server = server(target)?;
            compare::run(&server, &who.identity(&server).await?, &dataset, first, second).await
        }
        Command::RestoreVersion { dataset, version, who, target } => {
            let server = server(target)?;
            history::restore(&server, &who.identity(&server).await?, &dataset, version).await
        }
        Command::Identities { subject, pool, target } => identities::find(&server(target)?, &pool, &subject).await,
        Command::ExportIdentity { who, out, target } => {
            let server = server(target)?;
            export::run(&server, &who.identity(&server).await?, out.as_deref()).await
        }
        Command::EraseIdentity { who, yes, target } => {
            let server = server(target)?;
            erase::run(&server, &who.identity(&server).await?, yes).await
        }
        Command::LinkLogin { who, issuer, login, target } => {
            let server = server(target)?;
            identities::link(&server, &who.identity(&server).await?, &issuer, &login).await
        }
        Command::Devices { who, target } => {
            let server = server(target)?;
            devices::list(&server, &who.identity(&server).await?).await
        }
        Command::RevokeDevice { device, who, target } => {
            let server = server(target)?;
            devices::revoke(&server, &who.identity(&server).await?, device.as_str(), "revoke").await
        }
        Command::AllowDevice { device, who, target } => {
            let server = server(target)?;
            devices::revoke(&server, &who.identity(&server).await?, device.as_str(), "allow").await
        }
        Command::Push(Push::Log { device, who, target }) => {
            let server = server(target)?;
            devices::log(&server, &who.identity(&server).await?, device.as_str()).await
        }
        Command::Push(Push::Test { device, shown, who, target }) => {
            let server = server(target)?;
            devices::test(&server, &who.identity(&server).await?, device.as_str(), shown).await
        }
        Command::Push(Push::Status { target }) => devices::status(&server(target)?).await,
        Command::Push(Push::Resume { target }) => devices::resume(&server(target)?).await,
        Command::MergeIdentities { from, into, target } => merge::run(&server(target)?, &from, &into).await,
    }
}
