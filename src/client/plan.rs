//! Decides which patches an import writes, before anything is sent. Pure.

use std::collections::{BTreeMap, BTreeSet};

use driftless_protocol::{Change, Codec, Key, Limits, Op, Record, Value, limits};

use super::nested;
use super::render::printable;

/// The size of a patch at which the next one begins, in bytes: half a message, so that a value of the maximal size still fits.
const PATCH_BYTES: usize = limits::MESSAGE_BYTES / 2;

/// Bytes of a message besides its changes.
const ENVELOPE_BYTES: usize = 512;

/// How many characters of a key an error shows.
const MAX_SHOWN_CHARS: usize = 80;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImportPlan {
    /// Each within the pool's and the protocol's bounds; removals before the wanted records so that a full dataset has room for them. What is kept of a
    /// record that is removed comes before its removal: an import that stops in between loses nothing.
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

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySyntax {
    /// A path in a nested object. A record that lies in or around the path of a wanted one is replaced by it.
    Paths,
    /// Itself.
    Plain,
}

/// Compares the wanted records with the current ones. The error is text for people and names the key.
pub(super) fn plan(
    wanted: BTreeMap<String, Value>,
    current: &BTreeMap<Key, Record>,
    keys: KeySyntax,
    unlisted: UnlistedRecords,
    bounds: &Limits,
    codec: Codec,
) -> Result<ImportPlan, String> {
    let wanted = wanted.into_iter().map(|(key, value)| checked(key, value, bounds)).collect::<Result<BTreeMap<Key, Value>, _>>()?;
    let (removed, kept) = match (unlisted, keys) {
        (UnlistedRecords::Keep, KeySyntax::Plain) => (Vec::new(), BTreeMap::new()),
        (UnlistedRecords::Keep, KeySyntax::Paths) => replaced(&wanted, current),
        (UnlistedRecords::Remove, _) => (current.keys().filter(|key| !wanted.contains_key(*key)).collect(), BTreeMap::new()),
    };
    let kept = kept.into_iter().map(|(key, value)| checked(key, value, bounds)).collect::<Result<Vec<_>, _>>()?;
    let new = wanted.keys().filter(|key| !current.contains_key(*key)).count();
    let after = current.len() + new + kept.len() - removed.len();
    if after as u64 > bounds.records && new > 0 {
        return Err(format!("the dataset would have {after} records, and this server allows {}", bounds.records));
    }
    let all = wanted.len();
    let has = |key: &Key, value: &Value| current.get(key).and_then(|record| record.content.value()) == Some(value);
    let put = |(key, value)| Change::new(key, Op::Put, value);
    let puts: Vec<Change> = wanted.into_iter().filter(|(key, value)| !has(key, value)).map(put).collect();
    let unchanged = all - puts.len();
    let (puts_of_all, removes) = (puts.len() + kept.len(), removed.len());
    let removals = removed.into_iter().map(|key| Change::new(key.clone(), Op::Remove, None));
    let patches = split(kept.into_iter().map(put).chain(removals).chain(puts), bounds, codec)?;
    Ok(ImportPlan { patches, puts: puts_of_all, removes, unchanged })
}

/// The current records that lie in or around the path of a wanted one, which a nested object cannot hold together.
/// And of the objects among their values those members that are not wanted otherwise, as records of their own.
fn replaced<'a>(wanted: &BTreeMap<Key, Value>, current: &'a BTreeMap<Key, Record>) -> (Vec<&'a Key>, BTreeMap<String, Value>) {
    let wanted: BTreeSet<&str> = wanted.keys().map(Key::as_str).collect();
    let is_replaced = |key: &&Key| !wanted.contains(key.as_str()) && nested::is_path(key.as_str()) && overlaps(&wanted, key.as_str());
    let removed: Vec<&Key> = current.keys().filter(is_replaced).collect();
    let left: BTreeSet<&str> = current.keys().filter(|key| !is_replaced(key)).map(Key::as_str).collect();
    let members = removed.iter().filter_map(|key| {
        let value = current.get(*key)?.content.value()?;
        value.members().filter(|members| !members.is_empty()).map(|_| nested::flatten_at(key.as_str(), value))
    });
    let kept = members.flatten().filter(|(key, _)| !overlaps(&wanted, key) && !overlaps(&left, key)).collect();
    (removed, kept)
}

/// Whether a path is one of these, or lies in or around one of them.
fn overlaps(paths: &BTreeSet<&str>, path: &str) -> bool {
    let inside = format!("{path}.");
    paths.contains(path)
        || nested::outer_paths(path).any(|outer| paths.contains(outer))
        || paths.range(inside.as_str()..).next().is_some_and(|next| next.starts_with(&inside))
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
        let kept =
            plan(wanted.clone(), &current, KeySyntax::Paths, UnlistedRecords::Keep, &Limits::default(), Codec::MsgPack).expect("a plan");
        assert_eq!((keys(&kept), kept.puts, kept.removes, kept.unchanged), (vec![vec!["b", "c"]], 2, 0, 1));
        let mirrored =
            plan(wanted, &current, KeySyntax::Paths, UnlistedRecords::Remove, &Limits::default(), Codec::MsgPack).expect("a plan");
        assert_eq!((keys(&mirrored), mirrored.removes), (vec![vec!["x", "b", "c"]], 1));
    }

    /// The records of a dataset after an import of a nested file.
    fn imported(before: &str, file: &str) -> String {
        let object = |json: &str| Value::members_from_json(json.as_bytes()).expect(json).expect("an object");
        let mut after = object(before);
        let device = DeviceId::new("d").expect("a device");
        let record = |(key, value): (&String, &Value)| {
            let key = Key::new(key).expect("a key");
            (key.clone(), Record { key, content: Content::Value(value.clone()), version: 1, modified_ms: 0, device: device.clone() })
        };
        let (current, wanted) = (after.iter().map(record).collect(), nested::flatten(object(file)));
        let plan = plan(wanted, &current, KeySyntax::Paths, UnlistedRecords::Keep, &Limits::default(), Codec::Json).expect("a plan");
        for change in plan.patches.into_iter().flatten() {
            match change.value {
                Some(value) => after.insert(change.key.to_string(), value),
                None => after.remove(change.key.as_str()),
            };
        }
        Value::from(after).to_string()
    }

    #[test]
    fn what_lies_in_or_around_an_imported_path_is_replaced() {
        for (before, file, after) in [
            (r#"{"proxy":"none"}"#, r#"{"proxy":{"host":"h"}}"#, r#"{"proxy.host":"h"}"#),
            (r#"{"proxy.host":"h","proxy.port":1}"#, r#"{"proxy":"none"}"#, r#"{"proxy":"none"}"#),
            (r#"{"proxy.host":"h"}"#, r#"{"proxy":{}}"#, r#"{"proxy":{}}"#),
            (r#"{"proxy":{}}"#, r#"{"proxy":{"host":"h"}}"#, r#"{"proxy.host":"h"}"#),
            (r#"{"a":1,"a.b.c.d":2,"a-":3,"ab":4,"b.a":5}"#, r#"{"a":{"b":{"c":6}}}"#, r#"{"a-":3,"a.b.c":6,"ab":4,"b.a":5}"#),
            (r#"{"a":1,"a.b":2}"#, r#"{"a":{"b":2}}"#, r#"{"a.b":2}"#),
            // Members of an object that the file does not name stay, as records that the file does not name do.
            (r#"{"p":{"a":1,"b":{"c":2,"d":3}}}"#, r#"{"p":{"b":{"c":4}}}"#, r#"{"p.a":1,"p.b.c":4,"p.b.d":3}"#),
            (r#"{"p":{"a":1},"p.a":2,"p.b":3}"#, r#"{"p":{"c":4}}"#, r#"{"p.a":2,"p.b":3,"p.c":4}"#),
            // A key that is no path lies nowhere, and an escaped dot is no end of one.
            (r#"{"a..b":1,"a\\":2}"#, r#"{"a":3,"a.b":4}"#, r#"{"a":3,"a..b":1,"a\\":2,"a\\.b":4}"#),
        ] {
            assert_eq!(imported(before, file), after, "{before} and {file}");
        }
    }

    #[test]
    fn after_an_import_beside_anything_an_export_works() {
        let paths = ["a", "b", "a.a", "a.b", "a.a.a", "a.b.a", "b.a", "b.a.b"];
        let objects = [r#"1"#, "{}", r#"{"a":1}"#, r#"{"b":{"a":[]}}"#];
        for (n, path) in paths.into_iter().enumerate() {
            for object in objects {
                let before = format!("{{\"{path}\":{object},\"c\":7}}");
                for (m, imported_path) in paths.into_iter().enumerate() {
                    let file =
                        imported_path.rsplit('.').fold(objects[(n + m) % 4].to_owned(), |inner, name| format!("{{\"{name}\":{inner}}}"));
                    let after = imported(&before, &file);
                    let records = Value::members_from_json(after.as_bytes()).expect(&after).expect("an object");
                    assert!(nested::unflatten(records).is_ok(), "{before} and {file} give {after}");
                }
            }
        }
    }

    #[test]
    fn patches_stay_within_their_bounds() {
        let many: BTreeMap<String, Value> = (0..10).map(|n| (format!("k{n}"), Value::from(n))).collect();
        let bounds = Limits { changes_per_patch: 4, ..Limits::default() };
        let plan_of =
            |wanted, codec| plan(wanted, &BTreeMap::new(), KeySyntax::Paths, UnlistedRecords::Keep, &bounds, codec).expect("a plan");
        assert_eq!(plan_of(many, Codec::MsgPack).patches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let large: BTreeMap<String, Value> = (0..4).map(|n| (format!("k{n}"), "x".repeat(400_000).as_str().into())).collect();
        assert_eq!(plan_of(large, Codec::Json).patches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn records_that_the_server_would_refuse_are_named_before_anything_is_sent() {
        let error = |key: &str, value: Value| {
            plan(
                BTreeMap::from([(key.to_owned(), value)]),
                &BTreeMap::new(),
                KeySyntax::Paths,
                UnlistedRecords::Keep,
                &Limits::default(),
                Codec::Json,
            )
            .expect_err("over a bound")
        };
        assert_eq!(
            error(&"k".repeat(1_025), Value::null()),
            format!("the key {}... has 1025 bytes, and this server allows 1024", "k".repeat(80))
        );
        let large = error("big", "x".repeat(1 << 20).as_str().into());
        assert_eq!(large, "the value of big has 1048581 bytes, and this server allows 1048576");
        let escaped = error("ctl", "\u{1}".repeat(400_000).as_str().into());
        assert_eq!(escaped, "the value of ctl has 2400036 bytes on the wire, more than fits in a message");
        let few = Limits { records: 1, ..Limits::default() };
        assert!(plan(wanted(&[("a", 1), ("b", 1)]), &BTreeMap::new(), KeySyntax::Paths, UnlistedRecords::Keep, &few, Codec::Json).is_err());
    }
}
