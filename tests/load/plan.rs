//! What a device writes next.
//!
//! Keys are few, so that devices meet on them; values are unique, so that one cannot stand for another.

use driftless_client::Device;
use driftless_protocol::{Change, DatasetName, Key, Op, Value};

use super::Chance;

/// Keys of a dataset that every device writes.
const SHARED: u64 = 16;

/// Keys that only one device writes.
const OWN: u64 = 4;

/// Keys of large values.
const LARGE: u64 = 2;

/// Bytes of a large value: above what one row holds (48 KiB), so that it is cut into two or three.
const LARGE_BYTES: u64 = 50_000;
const LARGE_SPREAD_BYTES: u64 = 60_000;

/// Counters.
const COUNTS: u64 = 3;

/// The changes of one patch, and of which of them others may be in the way.
pub async fn changes(chance: &mut Chance, device: &Device, dataset: &DatasetName, unique: &str) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let many = if chance.one_in(5) { 2 + chance.below(3) } else { 1 };
    for n in 0..many {
        let change = change(chance, device, dataset, &format!("{unique}/{n}")).await;
        if changes.iter().all(|before| before.key != change.key) {
            changes.push(change);
        }
    }
    changes
}

/// A record that is written once and never again.
pub fn mark(unique: &str) -> Change {
    put(format!("mark/{unique}"), unique)
}

async fn change(chance: &mut Chance, device: &Device, dataset: &DatasetName, unique: &str) -> Change {
    let shared = |chance: &mut Chance| name(format!("shared/{}", chance.below(SHARED)));
    match chance.below(100) {
        0..30 => put(shared(chance).as_str().to_owned(), unique),
        30..45 => {
            let owner = unique.split('/').next().unwrap();
            put(format!("own/{owner}/{}", chance.below(OWN)), unique)
        }
        45..62 => {
            let key = shared(chance);
            let based = device.put_if_unchanged(dataset, key.clone(), Value::Text(unique.to_owned())).await;
            based.unwrap().expect("the dataset is open")
        }
        62..68 => Change::new(shared(chance), Op::Remove, None),
        68..76 => device.remove_if_unchanged(dataset, shared(chance)).await.unwrap().expect("the dataset is open"),
        76..94 => Change::new(name(format!("count/{}", chance.below(COUNTS))), Op::Add, Value::from(1 + chance.below(9) as i64)),
        _ => {
            let bytes = LARGE_BYTES + chance.below(LARGE_SPREAD_BYTES);
            put(format!("large/{}", chance.below(LARGE)), &format!("{unique} {}", "x".repeat(bytes as usize)))
        }
    }
}

fn put(key: String, value: &str) -> Change {
    Change::new(name(key), Op::Put, Value::Text(value.to_owned()))
}

fn name(key: String) -> Key {
    Key::new(&key).unwrap()
}
