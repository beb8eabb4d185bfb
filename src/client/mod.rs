//! `driftless client`: a device on the command line.
//!
//! It uses the protocol through the client library, and nothing else of the server: the caller passes a function that makes development
//! tokens. Results go to stdout, line by line, progress and hints to stderr.

mod connection_args;
mod edit;
mod error;
mod exit;
mod export;
mod import;
mod nearest;
mod nested;
mod output;
mod plan;
mod read;
mod render;
mod session;
mod trust;
mod watch;

use std::path::PathBuf;

use driftless_protocol::{Change, DatasetName, Key};

use connection_args::ConnectionArgs;
use edit::{KeyValue, ValueSyntax};
pub use error::{ClientError, UNTRUSTED};
pub use exit::CommandExit;
use output::CommandOutput;
pub use output::{ProgressLine, create_private, note};
pub use render::{count, printable};
use session::CliSession;
pub use trust::trust_file;

#[derive(Debug, clap::Args)]
pub struct ClientArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print each result as a line of JSON, as docs/commands.md describes it; `put` then takes values as JSON only
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClientCommand {
    /// Print a dataset, then each change as it arrives
    Watch {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
    },
    /// Set records: KEY=VALUE; a VALUE that is not JSON is taken as text
    Put {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The records to set
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = edit::parse_pair)]
        pairs: Vec<KeyValue>,
        /// Take each VALUE as text, whatever it looks like
        #[arg(long)]
        text: bool,
        /// Fail if another device wrote one of them after this version (0: fail if one exists)
        #[arg(long, value_name = "VERSION")]
        base: Option<u64>,
    },
    /// Print a record's value as JSON
    Get {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The record's key
        #[arg(value_parser = Key::new)]
        key: Key,
    },
    /// List the datasets, or the records of one
    List {
        /// The dataset; without it the datasets are listed
        #[arg(value_parser = DatasetName::new)]
        dataset: Option<DatasetName>,
    },
    /// Remove records
    Remove {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The records' keys
        #[arg(value_name = "KEY", required = true, value_parser = Key::new)]
        keys: Vec<Key>,
        /// Fail if another device wrote one of them after this version
        #[arg(long, value_name = "VERSION")]
        base: Option<u64>,
    },
    /// Add numbers to records: KEY=NUMBER
    Add {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The numbers to add
        #[arg(value_name = "KEY=NUMBER", required = true, value_parser = edit::parse_number)]
        numbers: Vec<Change>,
    },
    /// Set the records of a JSON file; nested objects become keys with dots, and replace what lies in or around them
    Import {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// A JSON file that contains an object; - is stdin
        file: PathBuf,
        /// Remove the records that are not in the file
        #[arg(long)]
        mirror: bool,
        /// Make one record of each member of the file's object, whatever its value
        #[arg(long)]
        flat: bool,
    },
    /// Write a dataset as nested, sorted JSON that import can read
    Export {
        /// The dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// The file to write; without it, or with -, stdout
        file: Option<PathBuf>,
        /// Write one member for each record, with its key as name
        #[arg(long)]
        flat: bool,
    },
}

/// Runs the command. `mint` makes a development token for a subject; its error is text for people. It is called
/// only if neither an argument nor the environment has a token.
pub async fn run<M>(args: ClientArgs, mint: M) -> Result<(), ClientError>
where
    M: Fn(&str) -> Result<String, String> + Send + Sync + 'static,
{
    let mut output = CommandOutput::standard(args.json);
    match execute(args, mint, &mut output).await {
        // The reader of stdout has read enough, as `head` does.
        Err(ClientError::OutputClosed) => Ok(()),
        other => other,
    }
}

async fn execute<M>(args: ClientArgs, mint: M, output: &mut CommandOutput) -> Result<(), ClientError>
where
    M: Fn(&str) -> Result<String, String> + Send + Sync + 'static,
{
    let ClientArgs { connection, json, command } = args;
    // A watching device has an id of its own; otherwise the next command would replace its session.
    let device = if let ClientCommand::Watch { .. } = command { "cli-watch" } else { "cli" };
    // Files and values are checked before the device connects.
    let file = if let ClientCommand::Import { file, flat, .. } = &command { Some(import::read(file, *flat)?) } else { None };
    let values = match &command {
        ClientCommand::Put { pairs, text, .. } => edit::read_values(pairs, ValueSyntax::of(json, *text))?,
        _ => Vec::new(),
    };
    let mut session = CliSession::start(connection.settings(device, mint)?).await?;
    match command {
        ClientCommand::Watch { dataset } => watch::run(&mut session, &dataset, output).await?,
        ClientCommand::Put { dataset, base, .. } => edit::put(&mut session, &dataset, values, base, output).await?,
        ClientCommand::Get { dataset, key } => read::get(&mut session, &dataset, &key, output).await?,
        ClientCommand::List { dataset: None } => read::datasets(&mut session, output).await?,
        ClientCommand::List { dataset: Some(dataset) } => read::records(&mut session, &dataset, output).await?,
        ClientCommand::Remove { dataset, keys, base } => edit::remove(&mut session, &dataset, keys, base, output).await?,
        ClientCommand::Add { dataset, numbers } => edit::add(&mut session, &dataset, numbers, output).await?,
        ClientCommand::Import { dataset, flat, mirror, .. } => {
            import::run(&mut session, &dataset, file.unwrap_or_default(), flat, mirror, output).await?
        }
        ClientCommand::Export { dataset, file, flat } => export::run(&mut session, &dataset, file.as_deref(), flat, output).await?,
    }
    session.close().await;
    Ok(())
}

#[cfg(test)]
mod fake_server;
#[cfg(test)]
mod tests;
