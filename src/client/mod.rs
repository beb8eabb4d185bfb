//! `driftless client`: a device on the command line.
//!
//! It speaks the protocol through the client library and knows nothing else of the server: who wants a token for
//! development passes in how one is made. What was asked for goes to stdout, line by line; how it goes, to stderr.

mod edit;
mod export;
mod failure;
mod import;
mod nested;
mod output;
mod plan;
mod read;
mod render;
mod session;
mod target;
mod watch;

use std::path::PathBuf;

use driftless_protocol::{DatasetName, Key};

use edit::Pair;
pub use failure::Failure;
use output::Output;
pub use output::{Progress, note};
pub use render::{count, printable};
use session::Session;
use target::Target;

/// The arguments of `driftless client`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Show a dataset, then each change the moment it arrives
    Watch {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
    },
    /// Set records: KEY=VALUE, where VALUE is JSON or else text
    Put {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// What to set
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = edit::value)]
        pairs: Vec<Pair>,
        /// Only if no other device wrote them after this version (0: only if they do not exist)
        #[arg(long, value_name = "VERSION")]
        base: Option<u64>,
    },
    /// Print a record's value as JSON
    Get {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// Which record
        #[arg(value_parser = Key::new)]
        key: Key,
    },
    /// List the datasets, or the records of one
    List {
        /// Which dataset; without it: all datasets
        #[arg(value_parser = DatasetName::new)]
        dataset: Option<DatasetName>,
    },
    /// Remove records
    Remove {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// Which records
        #[arg(value_name = "KEY", required = true, value_parser = Key::new)]
        keys: Vec<Key>,
        /// Only if no other device wrote them after this version
        #[arg(long, value_name = "VERSION")]
        base: Option<u64>,
    },
    /// Add numbers to records: KEY=NUMBER
    Add {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// What to add
        #[arg(value_name = "KEY=NUMBER", required = true, value_parser = edit::number)]
        pairs: Vec<Pair>,
    },
    /// Put what a JSON file holds: nested objects become dotted keys
    Import {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// A JSON file that holds an object
        file: PathBuf,
        /// Remove the records that the file does not hold
        #[arg(long)]
        mirror: bool,
        /// Take each member of the file as one record, whatever its value
        #[arg(long)]
        flat: bool,
    },
    /// Write a dataset as nested, sorted JSON, so that import can read it
    Export {
        /// Which dataset
        #[arg(value_parser = DatasetName::new)]
        dataset: DatasetName,
        /// Where to; without it: stdout
        file: Option<PathBuf>,
        /// One member for each record, keys as they are
        #[arg(long)]
        flat: bool,
    },
}

/// Runs the command. `mint` makes a development token for a subject; its error is text for people. It is asked
/// only if there is no `--token`.
pub async fn run<M>(args: Args, mint: M) -> Result<(), Failure>
where
    M: Fn(&str) -> Result<String, String> + Send + Sync + 'static,
{
    match act(args, mint, &mut Output::standard()).await {
        // Whoever read our output has seen enough, as `head` does.
        Err(Failure::NobodyReads) => Ok(()),
        other => other,
    }
}

async fn act<M>(args: Args, mint: M, output: &mut Output) -> Result<(), Failure>
where
    M: Fn(&str) -> Result<String, String> + Send + Sync + 'static,
{
    let Args { target, act } = args;
    // A watching device has its own name: it would be replaced by the next command otherwise.
    let device = if let Act::Watch { .. } = act { "cli-watch" } else { "cli" };
    // Bad input is found before anybody is bothered.
    let file = if let Act::Import { file, flat, .. } = &act { Some(import::read(file, *flat)?) } else { None };
    let mut session = Session::start(target.settings(device, mint)?).await?;
    match act {
        Act::Watch { dataset } => watch::run(&mut session, &dataset, output).await?,
        Act::Put { dataset, pairs, base } => edit::put(&mut session, &dataset, pairs, base, output).await?,
        Act::Get { dataset, key } => read::get(&mut session, &dataset, &key, output).await?,
        Act::List { dataset: None } => read::datasets(&mut session, output).await?,
        Act::List { dataset: Some(dataset) } => read::records(&mut session, &dataset, output).await?,
        Act::Remove { dataset, keys, base } => edit::remove(&mut session, &dataset, keys, base, output).await?,
        Act::Add { dataset, pairs } => edit::add(&mut session, &dataset, pairs, output).await?,
        Act::Import { dataset, mirror, .. } => import::run(&mut session, &dataset, file.unwrap_or_default(), mirror, output).await?,
        Act::Export { dataset, file, flat } => export::run(&mut session, &dataset, file.as_deref(), flat, output).await?,
    }
    session.end().await;
    Ok(())
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
