mod bounds;
mod exact;
mod removals;

use std::cell::Cell;
use std::convert::Infallible;

use driftless_protocol::{Change, Content, DeviceId, Key, Limits, Op, Record, RefusalCode, Value};

use super::head::record_bytes;
use super::{AppliedPatch, ConflictPolicy, DatasetHead, MergeOutcome, MergeTerms, Merged, StoredRecord, merge, reaped_record};

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("a device")
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect(json)
}

fn put(name: &str, json: &str) -> Change {
    Change::new(key(name), Op::Put, value(json))
}

fn change(op: Op, name: &str, json: &str) -> Change {
    Change::new(key(name), op, value(json))
}

fn remove(name: &str) -> Change {
    Change::new(key(name), Op::Remove, None)
}

/// A dataset in memory that applies patches as the store does.
#[derive(Default)]
struct MemoryDataset {
    head: DatasetHead,
    records: std::collections::BTreeMap<Key, StoredRecord>,
    policy: ConflictPolicy,
    limits: Limits,
    /// Values that the last patch has asked for.
    values_read: usize,
}

impl MemoryDataset {
    fn write(&mut self, writer: &str, changes: &[Change]) -> MergeOutcome {
        let current: Vec<_> = changes.iter().map(|change| self.records.get(&change.key).map(StoredRecord::head)).collect();
        let writer = device(writer);
        let terms = MergeTerms { device: &writer, now_ms: 7, policy: self.policy, bases: crate::merge::Bases::Seen, limits: &self.limits };
        let reads = Cell::new(0);
        let value_of = |at: usize| {
            reads.set(reads.get() + 1);
            let value = self.records.get(&changes[at].key).and_then(|stored| stored.record.content.value());
            Ok::<_, Infallible>(value.expect("a value that is asked for").clone())
        };
        let Ok(Merged { outcome, .. }) = merge(self.head, &current, changes, terms, value_of);
        self.values_read = reads.get();
        if let MergeOutcome::Applied(applied) = &outcome {
            self.head = applied.head;
            self.records.extend(applied.records.iter().map(|stored| (stored.record.key.clone(), stored.clone())));
            self.check_head();
        }
        outcome
    }

    /// Checks that the head counts the live records.
    fn check_head(&self) {
        let live = || self.records.values().filter_map(|stored| Some((&stored.record, stored.record.content.value()?)));
        assert_eq!(self.head.records, live().count() as u64);
        assert_eq!(self.head.bytes, live().map(|(record, value)| record_bytes(&record.key, value.packed_bytes() as u64)).sum::<u64>());
    }

    fn applied(&mut self, writer: &str, changes: &[Change]) -> AppliedPatch {
        match self.write(writer, changes) {
            MergeOutcome::Applied(applied) => applied,
            other => panic!("not applied: {other:?}"),
        }
    }

    fn refused(&mut self, writer: &str, changes: &[Change]) -> RefusalCode {
        let before = self.head;
        match self.write(writer, changes) {
            MergeOutcome::Refused(code, _) => {
                assert_eq!(self.head, before);
                code
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn conflict(&mut self, writer: &str, changes: &[Change]) -> Vec<Record> {
        match self.write(writer, changes) {
            MergeOutcome::Conflict(conflicting) => conflicting.into_iter().map(|at| self.record(&changes[at].key)).collect(),
            other => panic!("no conflict: {other:?}"),
        }
    }

    /// The record that the store reports for a key in conflict.
    fn record(&self, key: &Key) -> Record {
        let stored = self.records.get(key).map(|stored| stored.record.clone());
        stored.unwrap_or_else(|| reaped_record(key, self.head.tombstone_horizon))
    }

    fn get(&self, name: &str) -> Option<String> {
        self.records.get(&key(name))?.record.content.value().map(ToString::to_string)
    }
}

#[test]
fn versions_are_dense_and_stamp_the_records_that_a_patch_touched() {
    let mut data = MemoryDataset::default();
    for n in 1..=5 {
        let applied = data.applied("phone", &[put("a", &n.to_string()), put("b", "1")]);
        assert_eq!(applied.head.version, n);
        assert!(
            applied
                .records
                .iter()
                .all(|StoredRecord { record, .. }| record.version == n && record.modified_ms == 7 && record.device == device("phone"))
        );
    }
    // A patch that changes no record still makes a version.
    assert_eq!(data.applied("phone", &[remove("never")]).head.version, 6);
    assert!(data.applied("phone", &[change(Op::Discard, "never", "[1]")]).records.is_empty());
}

#[test]
fn a_base_conflicts_only_with_a_later_write_of_another_device() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("a", "1")]);
    data.applied("laptop", &[put("a", "2").with_base(1)]);
    assert_eq!(data.conflict("phone", &[put("a", "3").with_base(1)])[0].version, 2);
    assert_eq!(data.conflict("phone", &[remove("a").with_base(1)]).len(), 1);
    data.applied("phone", &[put("a", "3").with_base(2)]);
    // The device's own later write does not conflict, whatever base it names.
    data.applied("phone", &[put("a", "4").with_base(0)]);
    // A put without a base wins.
    data.applied("laptop", &[put("a", "5")]);
    assert_eq!(data.get("a").as_deref(), Some("5"));
}

#[test]
fn a_base_that_the_dataset_has_not_reached_is_refused() {
    let mut data = MemoryDataset::default();
    assert_eq!(data.refused("phone", &[put("a", "1").with_base(1)]), RefusalCode::AheadOfServer);
    data.applied("phone", &[put("a", "1").with_base(0)]);
    data.applied("phone", &[put("a", "2").with_base(1)]);
    for change in [put("a", "3").with_base(3), remove("a").with_base(u64::MAX), put("never", "1").with_base(3)] {
        assert_eq!(data.refused("laptop", &[put("b", "1"), change]), RefusalCode::AheadOfServer);
    }
    data.policy = ConflictPolicy::LastWriterWins;
    assert_eq!(data.refused("laptop", &[put("a", "3").with_base(3)]), RefusalCode::AheadOfServer);
}

#[test]
fn an_own_write_on_top_does_not_hide_another_devices_write() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("a", "{}")]);
    data.applied("laptop", &[put("a", "{\"laptop\":1}")]);
    data.applied("phone", &[change(Op::Merge, "a", "{\"phone\":1}")]);
    data.applied("phone", &[change(Op::Merge, "a", "{\"phone\":2}")]);
    assert_eq!(data.conflict("phone", &[put("a", "1").with_base(1)])[0].version, 4, "the phone has not seen the laptop's version 2");
    data.applied("phone", &[put("a", "1").with_base(2)]);
}

#[test]
fn equal_values_do_not_conflict() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("a", "{\"x\":1}")]);
    data.applied("laptop", &[put("a", "{\"x\":1.0}").with_base(0)]);
    data.applied("phone", &[remove("a")]);
    data.applied("laptop", &[remove("a").with_base(1)]);
    assert_eq!(data.conflict("laptop", &[put("a", "null").with_base(1)]).len(), 1, "a record that is null is not a removed record");
}

#[test]
fn a_record_that_was_created_or_removed_meanwhile_conflicts() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("a", "1")]);
    assert_eq!(data.conflict("laptop", &[put("a", "2").with_base(0)]).len(), 1, "the phone created the record meanwhile");
    data.applied("phone", &[remove("a")]);
    assert_eq!(data.conflict("laptop", &[put("a", "2").with_base(1)])[0].content, Content::Removed);
}

#[test]
fn a_conflict_rejects_the_whole_patch() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("a", "1"), put("b", "1")]);
    let conflicting = data.conflict("laptop", &[put("c", "1"), put("a", "2").with_base(0), put("b", "2").with_base(0)]);
    assert_eq!(conflicting.len(), 2);
    assert_eq!((data.head.version, data.get("c")), (1, None));
}

#[test]
fn last_writer_wins_applies_the_patch_and_names_the_records_it_overruled() {
    let mut data = MemoryDataset { policy: ConflictPolicy::LastWriterWins, ..MemoryDataset::default() };
    data.applied("phone", &[put("a", "1")]);
    let applied = data.applied("laptop", &[put("a", "2").with_base(0), put("b", "1").with_base(0)]);
    assert_eq!(applied.overruled, [0], "the first change");
    assert_eq!(data.get("a").as_deref(), Some("2"));
}

#[test]
fn changes_of_one_patch_build_on_each_other() {
    let mut data = MemoryDataset::default();
    data.applied("laptop", &[put("n", "1")]);
    let applied = data
        .applied("phone", &[change(Op::Add, "n", "1"), change(Op::Add, "n", "2"), put("n", "9").with_base(0), change(Op::Add, "n", "1")]);
    assert_eq!(
        (applied.records.len(), data.get("n").as_deref()),
        (1, Some("10")),
        "the record is stamped once, and the patch does not conflict with its own changes"
    );
    assert_eq!(applied.computed, [0]);
    let applied = data.applied("phone", &[change(Op::Add, "n", "1"), put("n", "3")]);
    assert_eq!((applied.computed.len(), data.get("n").as_deref()), (0, Some("3")), "the writer knows the value that it put");
    data.applied("phone", &[put("m", "1"), remove("m"), put("m", "2"), remove("m")]);
    assert_eq!(data.get("m"), None);
}

#[test]
fn each_operation_computes_its_documented_result() {
    let mut data = MemoryDataset::default();
    for (op, before, operand, after) in [
        (Op::Add, "1", "2", "3"),
        (Op::Add, "1", "0.5", "1.5"),
        (Op::Add, "9223372036854775807", "1", "9223372036854775808"),
        (Op::Add, "-5", "5", "0"),
        (Op::Add, "0.5", "0.5", "1"),
        (Op::Add, "18446744073709551615", "-9223372036854775808", "9223372036854775807"),
        (Op::Insert, "[1e2]", "[100,-0,0.0]", "[100,0]"),
        (Op::Discard, "[0,1e300]", "[-0.0,1e300]", "[]"),
        // RFC 7396, appendix A.
        (Op::Merge, r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (Op::Merge, r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (Op::Merge, r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (Op::Merge, r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (Op::Merge, r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (Op::Merge, r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (Op::Merge, r#"{"a":"b"}"#, "null", "null"),
        (Op::Merge, "[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (Op::Merge, r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        (Op::Merge, "{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        // A record or member of another type counts as an empty map.
        (Op::Merge, "7", r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
        (Op::Merge, r#"{"a":7}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
        (Op::Merge, r#"{"a":{"b":[1]}}"#, r#"{"a":{"b":{"c":{"d":null,"e":0.5}}}}"#, r#"{"a":{"b":{"c":{"e":0.5}}}}"#),
        (Op::Merge, "7", r#"{"a":null}"#, "{}"),
        (Op::Merge, "7", "\"x\"", "\"x\""),
        (Op::Merge, "7", "null", "null"),
        (Op::Merge, "{}", r#"{"a":[null]}"#, r#"{"a":[null]}"#),
        (Op::Insert, "[1]", "[2,1,2,1.0]", "[1,2]"),
        (Op::Insert, "[]", "[[],{},null]", "[[],{},null]"),
        (Op::Discard, "[1,2,3,1]", "[1,4]", "[2,3]"),
    ] {
        data.applied("phone", &[put("k", before)]);
        data.applied("phone", &[change(op, "k", operand)]);
        assert_eq!(data.get("k").as_deref(), Some(after), "{op:?} {operand} on {before}");
    }
    for (op, operand, after) in [
        (Op::Add, "2", Some("2")),
        (Op::Merge, r#"{"a":1,"b":null}"#, Some(r#"{"a":1}"#)),
        (Op::Insert, "[1]", Some("[1]")),
        (Op::Discard, "[1]", None),
    ] {
        data.applied("phone", &[remove("k")]);
        data.applied("phone", &[change(op, "k", operand)]);
        assert_eq!(data.get("k").as_deref(), after, "{op:?} on nothing");
    }
}

#[test]
fn operands_of_the_wrong_type_and_malformed_changes_are_refused() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("text", "\"x\""), put("big", "1e308"), put("whole", "18446744073709551615")]);
    data.applied("phone", &[put("null", "null"), put("map", "{}"), put("list", "[1]")]);
    for (op, wrong_records) in
        [(Op::Add, ["null", "map", "list"]), (Op::Insert, ["null", "map", "whole"]), (Op::Discard, ["null", "map", "whole"])]
    {
        let operand = if op == Op::Add { "1" } else { "[1]" };
        for name in wrong_records {
            assert_eq!(data.refused("phone", &[change(op, name, operand)]), RefusalCode::WrongType, "{op:?} on {name}");
        }
    }
    for wrong in [
        change(Op::Add, "whole", "1"),
        change(Op::Add, "text", "1"),
        change(Op::Add, "n", "\"1\""),
        change(Op::Add, "big", "1e308"),
        change(Op::Insert, "text", "[1]"),
        change(Op::Insert, "n", "1"),
        change(Op::Discard, "text", "[1]"),
        change(Op::Discard, "n", "1"),
    ] {
        assert_eq!(data.refused("phone", &[put("ok", "1"), wrong.clone()]), RefusalCode::WrongType, "{wrong:?}");
    }
    for bad in
        [Change::new(key("k"), Op::Put, None), Change { value: Some(Value::null()), ..remove("k") }, change(Op::Add, "k", "1").with_base(0)]
    {
        assert_eq!(data.refused("phone", std::slice::from_ref(&bad)), RefusalCode::BadRequest, "{bad:?}");
    }
    assert_eq!(data.get("ok"), None);
}

#[test]
fn a_set_of_many_elements_is_not_slow() {
    let mut data = MemoryDataset::default();
    let list = |range: std::ops::Range<u32>| format!("[{}]", range.map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    data.applied("phone", &[put("set", &list(0..60_000))]);
    data.applied("phone", &[change(Op::Insert, "set", &list(50_000..66_000))]);
    (0..6).for_each(|n| drop(data.applied("phone", &[change(Op::Discard, "set", &list(n * 11_000..(n + 1) * 11_000 - 2))])));
    assert_eq!(data.get("set").as_deref(), Some("[10998,10999,21998,21999,32998,32999,43998,43999,54998,54999,65998,65999]"));
    assert_eq!(data.refused("phone", &[change(Op::Insert, "set", &list(0..60_000))]), RefusalCode::TooLarge);
}

/// The examples of RFC 7396, appendix A, and some of maps with many members.
#[test]
fn a_merge_patch_is_applied_as_the_rfc_has_it() {
    let many = |from: u32, to: u32| format!("{{{}}}", (from..to).map(|n| format!("\"k{n:03}\":{n}")).collect::<Vec<_>>().join(","));
    let (few, all) = (many(10, 12), many(0, 300));
    for (target, patch, result) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, "\"bar\"", "\"bar\""),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (&all, &few, &all),
        (&few, &all, &all),
        (
            &many(0, 14),
            r#"{"k000":null,"k001":{"a":null},"x":0,"y":0,"z":0}"#,
            &format!("{{\"k001\":{{}},{},\"x\":0,\"y\":0,\"z\":0}}", many(2, 14).trim_matches(['{', '}'])),
        ),
    ] {
        let mut data = MemoryDataset::default();
        data.applied("phone", &[put("a", target)]);
        data.applied("phone", &[change(Op::Merge, "a", patch)]);
        assert_eq!(data.get("a").as_deref(), Some(result), "{target:.60} and {patch:.60}");
    }
}

#[test]
fn a_patch_asks_only_for_the_values_that_it_depends_on() {
    let mut data = MemoryDataset::default();
    let all: Vec<Change> = (0..9).map(|n| put(&n.to_string(), "\"value\"")).collect();
    data.applied("phone", &all);
    assert_eq!(data.values_read, 0, "puts of new records");
    for (patch, values) in [
        (vec![put("0", "1"), remove("1")], 0),
        (vec![put("0", "\"other\"").with_base(1), remove("2").with_base(1)], 0),
        (vec![change(Op::Insert, "new", "[1]"), change(Op::Add, "n", "1")], 0),
        (vec![change(Op::Merge, "3", "{}"), change(Op::Merge, "3", "{}"), put("4", "1")], 1),
    ] {
        data.applied("phone", &patch);
        assert_eq!(data.values_read, values, "{patch:?}");
    }
    // Only a value of the same size can be the same.
    assert_eq!(
        data.conflict("laptop", &[put("5", "\"longer\"").with_base(0), remove("6").with_base(0), put("7", "\"vAlue\"").with_base(0)]).len(),
        3
    );
    assert_eq!(data.values_read, 1);
    data.applied("laptop", &[put("8", "\"value\"").with_base(0)]);
    assert_eq!(data.values_read, 1, "the same value is no conflict");
    // What is over the patch's part is refused before it is asked for.
    let large = format!("\"{}\"", "x".repeat(1000 * 1000));
    data.applied("phone", &(0..9).map(|n| put(&format!("large {n}"), &large)).collect::<Vec<_>>());
    let operations: Vec<Change> = (0..9).map(|n| change(Op::Merge, &format!("large {n}"), "{}")).collect();
    assert_eq!(data.refused("phone", &operations), RefusalCode::TooLarge);
    assert_eq!(data.values_read, 2);
}

#[test]
fn a_value_that_is_put_is_shared_not_copied() {
    let (device, text) = (device("phone"), Value::from("x".repeat(1000)));
    let place = |value: &Value| value.packed().as_ptr();
    let before = place(&text);
    let terms = MergeTerms {
        device: &device,
        now_ms: 7,
        policy: ConflictPolicy::Reject,
        bases: crate::merge::Bases::Seen,
        limits: &Limits::default(),
    };
    let Ok(Merged { outcome: MergeOutcome::Applied(applied), .. }) =
        merge(DatasetHead::default(), &[None], &[Change::new(key("a"), Op::Put, text)], terms, |_| Err(()))
    else {
        panic!("not applied")
    };
    assert_eq!(applied.records[0].record.content.value().map(place), Some(before));
}
