//! The operator's commands: they speak to a running server over `/admin/api`, with the operator key. Only `restore` works on a folder.
//!
//! What was asked for goes to stdout, how it goes to stderr. Times are in UTC. Nothing in a key, a value or a name reaches the terminal as a
//! control character.

mod backup;
mod compare;
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

use driftless_protocol::DatasetName;

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
        Command::MergeIdentities { from, into, target } => merge::run(&server(target)?, &from, &into).await,
    }
}
