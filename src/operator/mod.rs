//! The operator's commands. They call a running server's `/admin/api` with the operator key; only `restore` works on a folder, and `vapid` on a file.
//!
//! Results go to stdout, progress and hints to stderr. Times are in UTC. Keys, values and names are printed without control characters.

mod access;
mod admin_client;
mod backup;
mod compare;
mod devices;
mod erase;
mod error;
mod export;
mod history;
mod identities;
mod identity_args;
mod merge;
mod output;
mod pools;
mod restore;
mod vapid;

use std::path::PathBuf;

use driftless_protocol::{DatasetName, DeviceId};

pub use error::OperatorError;
pub use output::ResultFormat;
pub use restore::restore;

pub use access::AccessCommand;

use admin_client::ServerArgs;
use clap::builder::NonEmptyStringValueParser;
use identities::ListArgs;
use identity_args::IdentityArgs;

#[derive(clap::Subcommand)]
pub enum OperatorCommand {
    /// Writes a consistent backup of a running server's store to a file.
    Backup {
        /// The file to write
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the versions of a dataset, newest first: when, which device, which keys.
    History {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        #[command(flatten)]
        identity: IdentityArgs,
        /// How many versions, at most 1000
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
        /// Only versions below this one
        #[arg(long, value_name = "VERSION")]
        below: Option<u64>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Prints the records of a dataset at a version.
    Show {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The version
        version: u64,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Prints the records that differ between two versions of a dataset.
    Compare {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The version to compare from
        first: u64,
        /// The version to compare to
        second: u64,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Restores a dataset to a version, by writing a new version that all devices receive like any write.
    RestoreVersion {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The version to restore
        version: u64,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Finds the identities that a person's logins lead to, or lists those of a pool.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Identities {
        #[command(subcommand)]
        list: Option<IdentitiesCommand>,
        /// The person's login: the `sub` of their tokens
        #[arg(long, required = true, value_parser = NonEmptyStringValueParser::new())]
        subject: Option<String>,
        /// The pool of that login [default: the server's only pool]
        #[arg(long)]
        pool: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Accounts that AWS's clients sign in to, and the access keys of their roots.
    #[command(subcommand)]
    Access(AccessCommand),
    /// Lists the server's pools with the ids by which AWS's clients name them.
    Pools {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Writes everything that belongs to an identity as one JSON document.
    ExportIdentity {
        #[command(flatten)]
        identity: IdentityArgs,
        /// The file to write, which must not exist; without it stdout
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Erases an identity and everything that it owns, for good.
    EraseIdentity {
        #[command(flatten)]
        identity: IdentityArgs,
        /// Erase; without it the command only prints what would be erased
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Links another login of the pool to an identity.
    LinkLogin {
        #[command(flatten)]
        identity: IdentityArgs,
        /// The login's issuer: the `iss` of its tokens
        #[arg(long)]
        issuer: String,
        /// The login's subject: the `sub` of its tokens
        #[arg(long, value_name = "SUBJECT")]
        login: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the devices of an identity with their push registrations.
    Devices {
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Revokes a device: the server ends its session, deletes its push token, and no longer accepts it.
    RevokeDevice {
        /// The device's id
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        /// Also refuse the tokens that were issued until now to any login of the identity: all its devices need new ones
        #[arg(long)]
        refuse_tokens: bool,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Allows a revoked device again.
    AllowDevice {
        /// The device's id
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Forgets a device: all that the server keeps of it is deleted, and its session ends. It can come back at once, as a new device.
    ForgetDevice {
        /// The device's id
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Finds out why a device was not woken: its delivery log, a test wake, stopped apps.
    #[command(subcommand)]
    Push(PushCommand),
    /// Makes a key pair for Web Push (VAPID): writes the private key to a file, and prints the public key that web apps subscribe with.
    Vapid {
        /// The file to write, which must not exist
        file: PathBuf,
        /// Make nothing: print the public key of the file, which may have any form that vapid_key_file may have
        #[arg(long)]
        public: bool,
        /// Print the result as one JSON document, as docs/commands.md describes it
        #[arg(long)]
        json: bool,
    },
    /// Merges an identity, with its datasets, devices and logins, into another one.
    MergeIdentities {
        /// The identity that is merged and ceases to exist, `region:uuid`
        from: String,
        /// The identity that it is merged into, `region:uuid`
        into: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(clap::Subcommand)]
pub enum IdentitiesCommand {
    /// Lists logins in pages, each with the identity that it leads to.
    List {
        #[command(flatten)]
        args: ListArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(clap::Subcommand)]
pub enum PushCommand {
    /// Prints the delivery log of a device, newest first: each wake with its outcome, or why none was sent.
    Log {
        /// The device's id
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Wakes a device now, and prints the push gateway's answer.
    Test {
        /// The device's id
        #[arg(long, value_parser = DeviceId::new)]
        device: DeviceId,
        /// Send a push that is shown to the user
        #[arg(long)]
        shown: bool,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the apps that are stopped because their push gateway refused them.
    Status {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Resumes stopped apps, after their topic or credential was corrected.
    Resume {
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Runs a command. `development_key` is the operator key if neither an argument nor the environment names one.
pub async fn run(command: OperatorCommand, development_key: &str) -> Result<(), OperatorError> {
    match execute(command, development_key).await {
        // The reader of stdout has read enough, as `head` does.
        Err(OperatorError::OutputClosed) => Ok(()),
        other => other,
    }
}

async fn execute(command: OperatorCommand, development_key: &str) -> Result<(), OperatorError> {
    let client = |args: ServerArgs| args.client(development_key);
    match command {
        OperatorCommand::Vapid { file, public: false, json } => vapid::make(&file, ResultFormat::of(json)),
        OperatorCommand::Vapid { file, public: true, json } => vapid::print_public(&file, ResultFormat::of(json)),
        OperatorCommand::Backup { file, force, server } => backup::run(&client(server)?, &file, force).await,
        OperatorCommand::History { dataset, identity, limit, below, server } => {
            let client = client(server)?;
            history::list(&client, &identity.resolve(&client).await?, &dataset, below, limit).await
        }
        OperatorCommand::Show { dataset, version, identity, server } => {
            let client = client(server)?;
            history::show(&client, &identity.resolve(&client).await?, &dataset, version).await
        }
        OperatorCommand::Compare { dataset, first, second, identity, server } => {
            let client = client(server)?;
            compare::run(&client, &identity.resolve(&client).await?, &dataset, first, second).await
        }
        OperatorCommand::RestoreVersion { dataset, version, identity, server } => {
            let client = client(server)?;
            history::restore(&client, &identity.resolve(&client).await?, &dataset, version).await
        }
        OperatorCommand::Identities { list: Some(IdentitiesCommand::List { args, server }), .. } => {
            identities::list(&client(server)?, args).await
        }
        OperatorCommand::Identities { list: None, subject, pool, server } => {
            identities::find(&client(server)?, pool, &subject.unwrap_or_default()).await
        }
        OperatorCommand::Access(command) => access::run(command, development_key).await,
        OperatorCommand::Pools { server } => pools::list(&client(server)?).await,
        OperatorCommand::ExportIdentity { identity, out, server } => {
            let client = client(server)?;
            export::run(&client, &identity.resolve(&client).await?, out.as_deref()).await
        }
        OperatorCommand::EraseIdentity { identity, yes, server } => {
            let client = client(server)?;
            erase::run(&client, &identity.resolve(&client).await?, yes).await
        }
        OperatorCommand::LinkLogin { identity, issuer, login, server } => {
            let client = client(server)?;
            identities::link(&client, &identity.resolve(&client).await?, &issuer, &login).await
        }
        OperatorCommand::Devices { identity, server } => {
            let client = client(server)?;
            devices::list(&client, &identity.resolve(&client).await?).await
        }
        OperatorCommand::RevokeDevice { device, refuse_tokens, identity, server } => {
            let client = client(server)?;
            devices::revoke(&client, &identity.resolve(&client).await?, device.as_str(), refuse_tokens).await
        }
        OperatorCommand::AllowDevice { device, identity, server } => {
            let client = client(server)?;
            devices::allow(&client, &identity.resolve(&client).await?, device.as_str()).await
        }
        OperatorCommand::ForgetDevice { device, identity, server } => {
            let client = client(server)?;
            devices::forget(&client, &identity.resolve(&client).await?, device.as_str()).await
        }
        OperatorCommand::Push(PushCommand::Log { device, identity, server }) => {
            let client = client(server)?;
            devices::log(&client, &identity.resolve(&client).await?, device.as_str()).await
        }
        OperatorCommand::Push(PushCommand::Test { device, shown, identity, server }) => {
            let client = client(server)?;
            devices::test(&client, &identity.resolve(&client).await?, device.as_str(), shown).await
        }
        OperatorCommand::Push(PushCommand::Status { server }) => devices::status(&client(server)?).await,
        OperatorCommand::Push(PushCommand::Resume { server }) => devices::resume(&client(server)?).await,
        OperatorCommand::MergeIdentities { from, into, server } => merge::run(&client(server)?, &from, &into).await,
    }
}
