//! A scenario: one small TOML file with the server's settings, the workload and the budgets of its figures.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::attack_mix::{AttackMix, STOCK_RECORDS};
use crate::operator_act::{ActBounds, OperatorAct};

/// The content of a scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the scenario shows, in a sentence.
    pub says: String,
    /// The seed of all random numbers.
    #[serde(default = "one")]
    pub seed: u64,
    /// Settings of the server, as in its configuration file.
    #[serde(default)]
    pub server: Table,
    /// What the devices do.
    pub load: Workload,
    /// The budgets, by figure name.
    #[serde(default)]
    pub budget: BTreeMap<String, FigureBudget>,
}

fn one() -> u64 {
    1
}

fn stock_records() -> u32 {
    STOCK_RECORDS
}

/// The bounds of a figure.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureBudget {
    /// The figure must not be larger.
    pub at_most: Option<f64>,
    /// The figure must not be smaller.
    pub at_least: Option<f64>,
}

impl FigureBudget {
    /// Whether a value is within the bounds.
    pub fn holds(self, value: f64) -> bool {
        self.at_most.is_none_or(|most| value <= most) && self.at_least.is_none_or(|least| value >= least)
    }
}

impl std::fmt::Display for FigureBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (Some(least), None) => write!(f, "at least {least}"),
            (None, Some(most)) => write!(f, "at most {most}"),
            (None, None) => f.write_str("any"),
        }
    }
}

/// The kinds of workload. Each has a file in `workloads/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Workload {
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
    Hostile(Hostile),
    HostileSearch(HostileSearch),
    Beside(Beside),
}

/// Sessions that send only heartbeats.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idle {
    /// The number of sessions.
    pub sessions: u32,
    /// Devices per person.
    pub devices_per_person: u32,
    /// How long the open sessions are measured after they have freed their buffers, in seconds.
    pub watch_s: u64,
}

/// Idle sessions without sockets, in this process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crowd {
    /// The number of sessions, each of a different person.
    pub sessions: u32,
    /// How long the open sessions are measured, in seconds.
    pub watch_s: u64,
}

/// Writes that the server delivers to the person's other devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steady {
    /// The number of people. One device of each writes.
    pub persons: u32,
    /// Devices per person, the writing one included.
    pub devices_per_person: u32,
    /// Writes per second in all, for the latencies.
    pub rate: f64,
    /// How long the fixed rate lasts, in seconds.
    pub rate_s: u64,
    /// Unacknowledged writes per person at once, for the throughput.
    pub window: u32,
    /// How long the throughput is measured in all, the disk included, in seconds.
    pub flood_s: u64,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// One write for many devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Receiving devices of the one person.
    pub devices: u32,
    /// The number of writes, one after the other.
    pub rounds: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// The server restarts while sessions are open.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Herd {
    /// The number of sessions.
    pub sessions: u32,
    /// Devices per person.
    pub devices_per_person: u32,
    /// How the server is stopped.
    pub how: StopMode,
    /// The number of people who write once while others still reconnect.
    pub writers: u32,
    /// The limit until every device has the newest version, in seconds.
    pub limit_s: u64,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// By SIGTERM: the server tells its devices when to reconnect.
    Drain,
    /// By SIGKILL.
    Kill,
}

/// A device that was disconnected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchUp {
    /// Changes that the device missed.
    pub changes: u32,
    /// The number of records that the changes are spread over.
    pub records: u32,
    /// The number of measurements.
    pub rounds: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// Some devices do not read their sockets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// The number of people. One device of each writes.
    pub persons: u32,
    /// Devices per person.
    pub devices_per_person: u32,
    /// One in this number of devices stops reading.
    pub one_in: u32,
    /// Writes per second in all.
    pub rate: f64,
    /// How long each phase lasts, without and with stuck readers, in seconds.
    pub phase_s: u64,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// Devices of one person contend for one record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hot {
    /// The number of sessions.
    pub devices: u32,
    /// Accepted writes that each device must reach, each based on the version that it last saw.
    pub writes: u32,
    /// The time limit, in seconds.
    pub limit_s: u64,
}

/// Every person's phone is disconnected and must be woken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushFlood {
    /// The number of people, each with one disconnected phone.
    pub persons: u32,
    /// The limit until the last phone is woken, in seconds.
    pub limit_s: u64,
}

/// The same work with more and more people in the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grow {
    /// The number of people in the store at each step.
    pub steps: Vec<u64>,
    /// Connections that create people, with one request at a time each.
    pub connections: u32,
    /// The number of randomly chosen people who write at each step.
    pub persons: u32,
    /// How long each step lasts, in seconds.
    pub step_s: u64,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// Writes and reconnects for a long time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// The number of people.
    pub persons: u32,
    /// Devices per person.
    pub devices_per_person: u32,
    /// Writes per second.
    pub rate: f64,
    /// Devices per second that lose their socket and reconnect.
    pub churn: f64,
    /// How long the load lasts, in seconds.
    pub load_s: u64,
    /// How long the server is measured after the load, in seconds.
    pub rest_s: u64,
    /// Records per dataset. All are written before the measurement.
    pub records: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

/// One account attacks while a bystander writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostile {
    /// The number of pairs of a quiet phase and one with the attack, for each attack.
    pub pairs: u32,
    /// How long a phase lasts, in milliseconds.
    pub phase_ms: u64,
    /// The time between two writes of the bystander, in milliseconds.
    pub interval_ms: u64,
    /// The attacks to run, by name; empty for all.
    #[serde(default)]
    pub only: Vec<String>,
    /// The attacks with messages.
    #[serde(default)]
    pub attacks: Vec<AttackMix>,
    /// Records of the dataset that attacks with `stock` name.
    #[serde(default = "stock_records")]
    pub stock_records: u32,
    /// Connections that say nothing; 0 for no such attack.
    #[serde(default)]
    pub silent_sockets: u32,
    /// The acts on large accounts.
    #[serde(default)]
    pub acts: Vec<OperatorAct>,
    pub act_bounds: Option<ActBounds>,
    /// Whether the worst mixes of `hostile_search` are attacks, too.
    #[serde(default)]
    pub replays_worst: bool,
}

/// Random mixes of messages of an attacking account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostileSearch {
    /// The number of random mixes.
    pub mixes: u32,
    /// The seed of the first one; the others have the seeds after it.
    pub first_seed: u32,
    /// How long each mix is measured, in milliseconds.
    pub mix_ms: u64,
    /// Records of the dataset that mixes with `stock` name.
    #[serde(default = "stock_records")]
    pub stock_records: u32,
    /// The number of worst mixes to keep.
    pub kept: usize,
}

/// The same work for the server and for `redis-server`, in turns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// The number of pairs of a turn of each server.
    pub pairs: u32,
    /// Writes of one device that another one sees, one after the other, in each turn.
    pub rounds: u32,
    /// Devices that write at once, of as many people.
    pub writers: u32,
    /// How long they write in each turn, in milliseconds.
    pub writers_ms: u64,
    /// Devices that receive what one other device writes.
    pub subscribers: u32,
    /// Its writes in each turn.
    pub fan_outs: u32,
    /// Changes that a device missed.
    pub changes: u32,
    /// How often it catches up in each turn.
    pub catch_ups: u32,
    /// Bytes of a record's value.
    pub value_bytes: usize,
}

impl Scenario {
    /// The budgets of this run: if only some attacks are run, the others' figures do not exist.
    pub fn budgets(&self) -> BTreeMap<String, FigureBudget> {
        let mut budgets = self.budget.clone();
        if let Workload::Hostile(hostile) = &self.load
            && !hostile.only.is_empty()
        {
            let is_run =
                |figure: &str| figure.strip_suffix("_p99_ratio").is_none_or(|attack| hostile.only.iter().any(|name| name == attack));
            budgets.retain(|figure, _| is_run(figure));
        }
        budgets
    }

    /// Reads a file. `changes` are `name=value` pairs with dotted names and TOML values.
    pub fn read(path: &Path, changes: &[String]) -> Result<Scenario, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let mut table: Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        for change in changes {
            let (name, value) = change.split_once('=').ok_or_else(|| format!("--set {change}: not of the form NAME=VALUE"))?;
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
            let Value::Table(inner) = inner else { return Err(format!("{first} is not a table")) };
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
    fn every_scenario_file_is_valid_and_has_a_budget() {
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
    fn numbers_can_be_set_on_the_command_line_and_unknown_names_are_errors() {
        let read = |change: &str| Scenario::read(&folder().join("idle.toml"), &[change.to_owned()]);
        let Workload::Idle(idle) = read("load.sessions=7").unwrap().load else { panic!("idle.toml has another workload") };
        assert_eq!(idle.sessions, 7);
        assert!(read("load.sesions=7").unwrap_err().contains("sesions"));
        assert!(read("load.sessions").is_err());
    }

    #[test]
    fn a_budget_is_kept_at_its_bounds_and_broken_beyond() {
        let budget = FigureBudget { at_least: Some(1.0), at_most: Some(2.0) };
        assert!(budget.holds(1.0) && budget.holds(2.0) && !budget.holds(0.9) && !budget.holds(2.1) && !budget.holds(f64::NAN));
    }
}
