//! A scenario: what is loaded how, and what must come of it. One small TOML file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// A scenario as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub says: String,
    /// The seed of all chance in it.
    #[serde(default = "one")]
    pub seed: u64,
    /// Settings of the server, with the names of its configuration file.
    #[serde(default)]
    pub server: Table,
    /// What is done.
    pub load: Load,
    /// What must come of it, by the figure's name.
    #[serde(default)]
    pub budget: BTreeMap<String, Budget>,
}

fn one() -> u64 {
    1
}

/// A bound of a figure.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// It is not larger.
    pub at_most: Option<f64>,
    /// It is not smaller.
    pub at_least: Option<f64>,
}

impl Budget {
    /// Whether a value keeps it.
    pub fn holds(self, value: f64) -> bool {
        self.at_most.is_none_or(|most| value <= most) && self.at_least.is_none_or(|least| value >= least)
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (Some(least), None) => write!(f, "at least {least}"),
            (None, Some(most)) => write!(f, "at most {most}"),
            (None, None) => f.write_str("any"),
        }
    }
}

/// What is done. Each kind's numbers are explained in its story.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Load {
    Idle(Idle),
    Steady(Steady),
    Burst(Burst),
    Herd(Herd),
    CatchUp(CatchUp),
    Slow(Slow),
    Hot(Hot),
    PushFlood(PushFlood),
    Grow(Grow),
    Soak(Soak),
    Crowd(Crowd),
}

/// Sessions that do nothing but their heartbeat.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idle {
    /// How many.
    pub sessions: u32,
    /// How many of them are of one person.
    pub devices_per_person: u32,
    /// How long they are watched, in seconds, once all are open and have given back what they borrowed.
    pub watch_s: u64,
}

/// The same without sockets, in this process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// How many sessions, each of another person.
    pub sessions: u32,
    /// How long they are watched, in seconds.
    pub watch_s: u64,
}

/// Writes, each of which arrives at the person's other devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steady {
    /// People who write, each from one device.
    pub persons: u32,
    /// Devices of each, the writing one included.
    pub devices_per_person: u32,
    /// Writes a second of all together, for the times.
    pub rate: f64,
    /// How long, in seconds.
    pub rate_s: u64,
    /// Writes that each has on its way at once, for the rate.
    pub window: u32,
    /// How long, in seconds, in all; the disk is measured for as long between.
    pub flood_s: u64,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// One write for many devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Devices of the one person.
    pub devices: u32,
    /// Writes, one after the other.
    pub rounds: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// The server goes and comes back under its sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Herd {
    /// How many.
    pub sessions: u32,
    /// How many of them are of one person.
    pub devices_per_person: u32,
    /// How it goes.
    pub how: Going,
    /// Writes while it is away and until all are back, one a person of so many.
    pub writers: u32,
    /// How long it may take until every one has converged, in seconds.
    pub limit_s: u64,
}

/// How a server goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Going {
    /// It is asked to (SIGTERM), and tells its devices when to come back.
    Drain,
    /// It is killed.
    Kill,
}

/// A device that was away.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchUp {
    /// Changes that it missed.
    pub changes: u32,
    /// Records that they are spread over.
    pub records: u32,
    /// How often it is measured.
    pub rounds: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// Some devices do not read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// People, each with one device that writes.
    pub persons: u32,
    /// Devices of each.
    pub devices_per_person: u32,
    /// Of so many reading devices one does not.
    pub one_in: u32,
    /// Writes a second of all together.
    pub rate: f64,
    /// How long without, and how long with stuck readers, in seconds.
    pub phase_s: u64,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// Devices of one person fight over one record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hot {
    /// How many.
    pub devices: u32,
    /// Writes that each must get through, each from what it saw last.
    pub writes: u32,
    /// How long that may take, in seconds.
    pub limit_s: u64,
}

/// Everybody sleeps, and must be woken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushFlood {
    /// People, each with one sleeping device.
    pub persons: u32,
    /// How long until the last must have been woken, in seconds.
    pub limit_s: u64,
}

/// The same work at more and more people in the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grow {
    /// How many people there are at each step.
    pub steps: Vec<u64>,
    /// Connections that make them, each one after the other.
    pub makers: u32,
    /// People who write at each step, chosen by chance.
    pub persons: u32,
    /// How long at each step, in seconds.
    pub step_s: u64,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// Everything a little, for long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// People.
    pub persons: u32,
    /// Devices of each.
    pub devices_per_person: u32,
    /// Writes a second.
    pub rate: f64,
    /// Devices a second that lose their socket and come back.
    pub churn: f64,
    /// How long, in seconds.
    pub load_s: u64,
    /// How long it is watched after that, in seconds.
    pub rest_s: u64,
    /// Records of a dataset; all are written before the watch begins.
    pub records: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

impl Scenario {
    /// Reads a file; `changes` are `name=value` with dotted names, values as in TOML.
    pub fn read(path: &Path, changes: &[String]) -> Result<Scenario, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let mut table: Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        for change in changes {
            let (name, value) = change.split_once('=').ok_or_else(|| format!("--set {change}: write NAME=VALUE"))?;
            let one: Table = format!("value = {value}").parse().map_err(|_| format!("--set {change}: the value is not TOML"))?;
            for (_, value) in one {
                set(&mut table, name, value)?;
            }
        }
        table.try_into().map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn set(table: &mut Table, name: &str, value: Value) -> Result<(), String> {
    match name.split_once('.') {
        None => {
            table.insert(name.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { return Err(format!("{first} is no table")) };
            set(inner, rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    #[test]
    fn every_scenario_is_one() {
        let smoke = folder().with_file_name("smoke");
        let files: Vec<_> =
            [folder(), smoke].iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 10);
        for file in files {
            let scenario = Scenario::read(&file, &[]).unwrap();
            assert!(!scenario.budget.is_empty(), "{} has no budget", file.display());
        }
    }

    #[test]
    fn numbers_can_be_set_from_outside_and_names_that_nobody_knows_are_refused() {
        let read = |change: &str| Scenario::read(&folder().join("idle.toml"), &[change.to_owned()]);
        let Load::Idle(idle) = read("load.sessions=7").unwrap().load else { panic!("idle is idle") };
        assert_eq!(idle.sessions, 7);
        assert!(read("load.sesions=7").unwrap_err().contains("sesions"));
        assert!(read("load.sessions").is_err());
    }

    #[test]
    fn a_budget_is_kept_at_its_edge_and_not_beyond() {
        let budget = Budget { at_least: Some(1.0), at_most: Some(2.0) };
        assert!(budget.holds(1.0) && budget.holds(2.0) && !budget.holds(0.9) && !budget.holds(2.1) && !budget.holds(f64::NAN));
    }
}
