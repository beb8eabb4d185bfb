//! Decides which patches an import writes, before anything is sent. Pure.

use std::collections::BTreeMap;

use driftless_protocol::{Change, Codec, Key, Limits, Op, Record, Value, limits};

use super::render::printable;

/// The size of a patch at which the next one begins, in bytes: half a message, so that a value of the maximal size still fits.
const PATCH_BYTES: usize = limits::MESSAGE_BYTES / 2;

/// Bytes of a message besides its changes.
const ENVELOPE_BYTES: usize = 512;

/// How many characters of a key an error shows.
const MAX_SHOWN_CHARS: usize = 80;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImportPlan {
    /// Each within the pool's and the protocol's bounds; removals first so that a full dataset has room for the rest.
    pub(super) patches: Vec<Vec<Change>>,
    pub(super) puts: usize,
    pub(super) removes: usize,
    /// Records that have the wanted value already.
    pub(super) unchanged: usize,
}

/// What happens to records of the dataset that are not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnlistedRecords {
    Keep,
    Remove,
}

/// Compares the wanted records with the current ones. The error is text for people and names the key.
pub(super) fn plan(
    wanted: BTreeMap<String, Value>,
    current: &BTreeMap<Key, Record>,
    unlisted: UnlistedRecords,
    bounds: &Limits,
    codec: Codec,
) -> Result<ImportPlan, String> {
    let wanted = wanted.into_iter().map(|(key, value)| checked(key, value, bounds)).collect::<Result<BTreeMap<Key, Value>, _>>()?;
    let removed: Vec<Change> = match unlisted {
        UnlistedRecords::Keep => Vec::new(),
        UnlistedRecords::Remove => {
            current.keys().filter(|key| !wanted.contains_key(*key)).map(|key| Change::new(key.clone(), Op::Remove, None)).collect()
        }
    };
    let new = wanted.keys().filter(|key| !current.contains_key(*key)).count();
    let after = current.len() + new - removed.len();
    if after as u64 > bounds.records && new > 0 {
        return Err(format!("the dataset would have {after} records, and this server allows {}", bounds.records));
    }
    let all = wanted.len();
    let has = |key: &Key, value: &Value| current.get(key).and_then(|record| record.content.value()) == Some(value);
    let puts: Vec<Change> =
        wanted.into_iter().filter(|(key, value)| !has(key, value)).map(|(key, value)| Change::new(key, Op::Put, value)).collect();
    let (put, removes) = (puts.len(), removed.len());
    let patches = split(removed.into_iter().chain(puts), bounds, codec)?;
    Ok(ImportPlan { patches, puts: put, removes, unchanged: all - put })
}

fn checked(key: String, value: Value, bounds: &Limits) -> Result<(Key, Value), String> {
    if key.len() > bounds.key_bytes {
        return Err(format!("the key {} has {} bytes, and this server allows {}", shown(&key), key.len(), bounds.key_bytes));
    }
    let bytes = value.packed_bytes();
    if bytes > bounds.value_bytes {
        return Err(format!("the value of {} has {bytes} bytes, and this server allows {}", shown(&key), bounds.value_bytes));
    }
    Ok((Key::new(&key).map_err(|why| format!("{why}: {}", shown(&key)))?, value))
}

fn split(changes: impl Iterator<Item = Change>, bounds: &Limits, codec: Codec) -> Result<Vec<Vec<Change>>, String> {
    let mut patches: Vec<Vec<Change>> = Vec::new();
    let mut patch_bytes = 0;
    for change in changes {
        let bytes = codec.encode(&change).len() + 1;
        if bytes + ENVELOPE_BYTES > limits::MESSAGE_BYTES {
            return Err(format!("the value of {} has {bytes} bytes on the wire, more than fits in a message", shown(change.key.as_str())));
        }
        match patches.last_mut() {
            Some(patch) if patch.len() < bounds.changes_per_patch && patch_bytes + bytes <= PATCH_BYTES => {
                patch.push(change);
                patch_bytes += bytes;
            }
            _ => {
                patches.push(vec![change]);
                patch_bytes = bytes;
            }
        }
    }
    Ok(patches)
}

fn shown(key: &str) -> String {
    let start: String = key.chars().take(MAX_SHOWN_CHARS).collect();
    if start.len() < key.len() { format!("{}...", printable(&start)) } else { printable(&start) }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Content, DeviceId};

    use super::*;

    fn current(records: &[(&str, i64)]) -> BTreeMap<Key, Record> {
        let device = DeviceId::new("d").expect("a device");
        let record = |key: &Key, value: i64| Record {
            key: key.clone(),
            content: Content::Value(value.into()),
            version: 1,
            modified_ms: 0,
            device: device.clone(),
        };
        records.iter().map(|(key, value)| (Key::new(key).expect("a key"), *value)).map(|(key, n)| (key.clone(), record(&key, n))).collect()
    }

    fn wanted(records: &[(&str, i64)]) -> BTreeMap<String, Value> {
        records.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
    }

    fn keys(plan: &ImportPlan) -> Vec<Vec<&str>> {
        plan.patches.iter().map(|patch| patch.iter().map(|change| change.key.as_str()).collect()).collect()
    }

    #[test]
    fn only_differing_records_are_written_and_removals_come_first() {
        let (wanted, current) = (wanted(&[("a", 1), ("b", 2), ("c", 3)]), current(&[("a", 1), ("b", 9), ("x", 1)]));
        let kept = plan(wanted.clone(), &current, UnlistedRecords::Keep, &Limits::default(), Codec::MsgPack).expect("a plan");
        assert_eq!((keys(&kept), kept.puts, kept.removes, kept.unchanged), (vec![vec!["b", "c"]], 2, 0, 1));
        let mirrored = plan(wanted, &current, UnlistedRecords::Remove, &Limits::default(), Codec::MsgPack).expect("a plan");
        assert_eq!((keys(&mirrored), mirrored.removes), (vec![vec!["x", "b", "c"]], 1));
    }

    #[test]
    fn patches_stay_within_their_bounds() {
        let many: BTreeMap<String, Value> = (0..10).map(|n| (format!("k{n}"), Value::from(n))).collect();
        let bounds = Limits { changes_per_patch: 4, ..Limits::default() };
        let plan_of = |wanted, codec| plan(wanted, &BTreeMap::new(), UnlistedRecords::Keep, &bounds, codec).expect("a plan");
        assert_eq!(plan_of(many, Codec::MsgPack).patches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let large: BTreeMap<String, Value> = (0..4).map(|n| (format!("k{n}"), "x".repeat(400_000).as_str().into())).collect();
        assert_eq!(plan_of(large, Codec::Json).patches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn records_that_the_server_would_refuse_are_named_before_anything_is_sent() {
        let error = |key: &str, value: Value| {
            plan(BTreeMap::from([(key.to_owned(), value)]), &BTreeMap::new(), UnlistedRecords::Keep, &Limits::default(), Codec::Json)
                .expect_err("over a bound")
        };
        assert_eq!(
            error(&"k".repeat(1_025), Value::Null),
            format!("the key {}... has 1025 bytes, and this server allows 1024", "k".repeat(80))
        );
        let large = error("big", "x".repeat(1 << 20).as_str().into());
        assert_eq!(large, "the value of big has 1048581 bytes, and this server allows 1048576");
        let escaped = error("ctl", "\u{1}".repeat(400_000).as_str().into());
        assert_eq!(escaped, "the value of ctl has 2400036 bytes on the wire, more than fits in a message");
        let few = Limits { records: 1, ..Limits::default() };
        assert!(plan(wanted(&[("a", 1), ("b", 1)]), &BTreeMap::new(), UnlistedRecords::Keep, &few, Codec::Json).is_err());
    }
}
