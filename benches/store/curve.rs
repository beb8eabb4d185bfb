//! How the store behaves as it grows: the cost of a write, the time to start, memory, bytes on disk.
//!
//! Each store is filled here and measured by a process of its own, so that memory and start time are those of a server that has just
//! started.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driftless::store::DatasetRules;

use crate::committer::{CommitterRig, dataset, identity, open, patch, sign_in};
use crate::disk::DiskBaseline;
use crate::report::{bytes_on_disk, line, resident_mib, table};
use crate::settings::{WRITERS, number, slice};

/// Sizes of the curve, in records. `BENCH_RECORDS` sets the largest one to measure.
const RECORDS: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const DEFAULT_MAX_RECORDS: u64 = 1_000_000;

/// Records of each person, all written by one patch.
pub const RECORDS_PER_PERSON: u64 = 10;

/// Patches of a group when a store is filled.
const FILL_GROUP: u64 = 1_000;

/// Slices that are measured for each size.
const SLICES: u32 = 5;

/// Names the folder to the measuring process.
const CHILD_FOLDER: &str = "BENCH_CHILD_FOLDER";
const CHILD_RECORDS: &str = "BENCH_CHILD_RECORDS";

/// Prints one table, with a line for each size.
pub fn measure(folder: &Path, baseline: &mut DiskBaseline) {
    println!("\nas the store grows: {WRITERS} writers through the committer, each write to a record of its choice");
    let heads =
        ["records", "us a write", "writes/s", "group", "disk/s", "ratio", "open ms", "start MiB", "after MiB", "bytes each", "after each"];
    table(&heads);
    let most = number("BENCH_RECORDS").unwrap_or(DEFAULT_MAX_RECORDS);
    for records in RECORDS.into_iter().filter(|records| *records <= most) {
        let store = folder.join(format!("curve-{records}"));
        fill(&store, records);
        let each = |store: &Path| format!("{:.0}", bytes_on_disk(store) as f64 / records as f64);
        let filled = each(&store);
        let measured = measure_in_child(&store, records);
        let [rate, group, open_ms, start_mib, after_mib] = measured[..] else { panic!("{measured:?}") };
        let limit = baseline.slice(group.round().max(1.0) as usize, slice() * SLICES);
        let numbers = [
            format!("{:.1}", 1e6 / rate),
            format!("{rate:.0}"),
            format!("{group:.1}"),
            format!("{:.0}", limit.rate()),
            format!("{:.0} %", 100.0 * rate / limit.rate()),
            format!("{open_ms:.1}"),
            format!("{start_mib:.0}"),
            format!("{after_mib:.0}"),
            filled,
            each(&store),
        ];
        println!("{}", line(&[&[records.to_string()], &numbers[..]].concat()));
        std::fs::remove_dir_all(&store).unwrap();
    }
}

/// Makes a store with so many records.
pub fn fill(folder: &Path, records: u64) {
    let store = open(folder);
    let people = records / RECORDS_PER_PERSON;
    let begun = Instant::now();
    for first in (0..people).step_by(FILL_GROUP as usize) {
        let mut group = store.group();
        for person in first..people.min(first + FILL_GROUP) {
            sign_in(&mut group, &identity(person));
            group.write(&patch(&identity(person), 1, 0..RECORDS_PER_PERSON), &DatasetRules::default(), 0).unwrap();
        }
        group.commit().unwrap();
        if first > 0 && first % (100 * FILL_GROUP) == 0 {
            eprintln!("filled {} of {records} records in {:.0} s", first * RECORDS_PER_PERSON, begun.elapsed().as_secs_f64());
        }
    }
}

fn measure_in_child(folder: &Path, records: u64) -> Vec<f64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.env(CHILD_FOLDER, folder).env(CHILD_RECORDS, records.to_string()).stderr(Stdio::inherit());
    let output = child.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Whether this process only measures a store that another one filled.
pub fn is_child() -> bool {
    std::env::var_os(CHILD_FOLDER).is_some()
}

/// Opens, reads and writes the store, and prints writes per second, group size, time to open in ms, and memory in MiB before and after the
/// writes.
pub fn child() {
    let folder = std::env::var_os(CHILD_FOLDER).unwrap();
    let people = number(CHILD_RECORDS).unwrap() / RECORDS_PER_PERSON;
    let begun = Instant::now();
    let store = open(Path::new(&folder));
    assert_eq!(store.version(&identity(people / 2), &dataset()).unwrap(), 1);
    let opened = begun.elapsed();
    let start_mib = resident_mib("self");
    let rig = CommitterRig::new(store);
    // Each writer has its own people, so that the patch numbers of a person only grow.
    let own = people / WRITERS as u64;
    let target = move |writer: usize, n: u64| {
        let chosen = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        (writer as u64 + WRITERS as u64 * (chosen % own.max(1)), chosen % RECORDS_PER_PERSON)
    };
    rig.slice(WRITERS, slice() / 2, target);
    let written = rig.slice(WRITERS, slice() * SLICES, target);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{} {} {} {start_mib} {}", written.rate(), written.group(), millis(opened), resident_mib("self"));
    rig.stop();
}
