//! Measurements, and the tables that print them.

use std::path::Path;
use std::time::Duration;

/// The groups of patches that became durable in some time.
#[derive(Default)]
pub struct Measurement {
    pub groups: u64,
    pub patches: u64,
    pub time: Duration,
    /// How long each writer waited for each of its patches, or the disk for each group.
    pub waits: Vec<Duration>,
}

impl Measurement {
    pub fn add(&mut self, other: Measurement) {
        self.groups += other.groups;
        self.patches += other.patches;
        self.time += other.time;
        self.waits.extend(other.waits);
    }

    /// The average number of patches in a group.
    pub fn group(&self) -> f64 {
        self.patches as f64 / self.groups.max(1) as f64
    }

    /// Patches a second.
    pub fn rate(&self) -> f64 {
        self.patches as f64 / self.time.as_secs_f64()
    }

    pub fn per_second(&self, count: u64) -> String {
        format!("{:.0}", count as f64 / self.time.as_secs_f64())
    }

    /// A line of a table that ends with p50 and p99, in microseconds.
    pub fn row(&self, cells: &[String]) -> String {
        let mut waits = self.waits.clone();
        waits.sort();
        let at = |share: f64| {
            let place = (waits.len() as f64 * share) as usize;
            format!("{:.0}", waits.get(place).map_or(0.0, |wait| wait.as_secs_f64() * 1e6))
        };
        line(&[cells, &[at(0.50), at(0.99)]].concat())
    }
}

/// One line of a table.
pub fn line(cells: &[String]) -> String {
    cells.iter().map(|cell| format!("{cell:>13}")).collect()
}

/// Prints the head of a table.
pub fn table(heads: &[&str]) {
    println!("{}", line(&heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()));
}

/// Resident memory of a process, in MiB.
pub fn resident_mib(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Bytes that the files of a folder take on disk.
pub fn bytes_on_disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            folder if folder.is_dir() => bytes_on_disk(&entry.path()),
            file => file.blocks() * 512,
        })
        .sum()
}

/// The value of a counter in OpenMetrics text.
pub fn counter(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in the metrics")).parse().unwrap()
}
