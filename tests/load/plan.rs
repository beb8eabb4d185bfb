//! The changes that a device writes next.
//!
//! Keys are few, so that devices conflict; values are unique, so that a lost write cannot be mistaken for another.

use driftless_client::Device;
use driftless_protocol::{Change, DatasetName, Key, Op, Value};

use super::random::SeededRandom;

/// Keys of a dataset that all devices of a person write.
const SHARED: u64 = 16;

/// Keys of a dataset that only one device writes.
const OWN: u64 = 4;

/// Keys with large values.
const LARGE: u64 = 2;

/// A large value has at least `LARGE_BYTES` and less than the sum of both: more than one row holds (48 KiB), so it is stored in two or
/// three rows.
const LARGE_BYTES: u64 = 50_000;
const LARGE_SPREAD_BYTES: u64 = 60_000;

/// Keys of counters.
const COUNTERS: u64 = 3;

/// The changes of one patch.
pub async fn changes(random: &mut SeededRandom, device: &Device, dataset: &DatasetName, unique: &str) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let count = if random.one_in(5) { 2 + random.below(3) } else { 1 };
    for n in 0..count {
        let change = change(random, device, dataset, &format!("{unique}/{n}")).await;
        if changes.iter().all(|before| before.key != change.key) {
            changes.push(change);
        }
    }
    changes
}

/// A record that is written once and never again: its loss cannot be hidden by a later write.
pub fn unique_record(unique: &str) -> Change {
    put(format!("mark/{unique}"), unique)
}

async fn change(random: &mut SeededRandom, device: &Device, dataset: &DatasetName, unique: &str) -> Change {
    let shared = |random: &mut SeededRandom| name(format!("shared/{}", random.below(SHARED)));
    match random.below(100) {
        0..30 => put(shared(random).as_str().to_owned(), unique),
        30..45 => {
            let owner = unique.split('/').next().unwrap();
            put(format!("own/{owner}/{}", random.below(OWN)), unique)
        }
        45..62 => {
            let key = shared(random);
            let based = device.put_if_unchanged(dataset, key.clone(), Value::from(unique.to_owned())).await;
            based.unwrap().expect("the dataset is open")
        }
        62..68 => Change::new(shared(random), Op::Remove, None),
        68..76 => device.remove_if_unchanged(dataset, shared(random)).await.unwrap().expect("the dataset is open"),
        76..94 => Change::new(name(format!("count/{}", random.below(COUNTERS))), Op::Add, Value::from(1 + random.below(9) as i64)),
        _ => {
            let bytes = LARGE_BYTES + random.below(LARGE_SPREAD_BYTES);
            put(format!("large/{}", random.below(LARGE)), &format!("{unique} {}", "x".repeat(bytes as usize)))
        }
    }
}

fn put(key: String, value: &str) -> Change {
    Change::new(name(key), Op::Put, Value::from(value.to_owned()))
}

fn name(key: String) -> Key {
    Key::new(&key).unwrap()
}
