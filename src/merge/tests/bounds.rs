//! The bounds of a patch, each at its edge.

use driftless_protocol::limits::{VALUE_BYTES, VALUE_JSON_BYTES};

use super::*;
use crate::merge::conflict::REPLY_BYTES;
use crate::merge::{OPERAND_BYTES, operand_bytes};

/// A text of so many bytes as it is packed, at least 64 KiB of them.
fn text_of(bytes: usize) -> Value {
    let text = Value::from("x".repeat(bytes - 5));
    assert_eq!(text.packed_bytes(), bytes);
    text
}

fn put_text(name: &str, bytes: usize) -> Change {
    Change::new(key(name), Op::Put, text_of(bytes))
}

/// A merge whose result is its operand.
fn merge_text(name: &str, bytes: usize) -> Change {
    Change::new(key(name), Op::Merge, text_of(bytes))
}

#[test]
fn a_patch_has_one_change_at_least_and_as_many_as_its_pool_allows() {
    let mut data = MemoryDataset { limits: Limits { changes_per_patch: 3, ..Limits::default() }, ..MemoryDataset::default() };
    let patch: Vec<_> = (0..4).map(|n| put(&n.to_string(), "1")).collect();
    for (count, fits) in [(0, false), (1, true), (3, true), (4, false)] {
        match data.write("phone", &patch[..count]) {
            MergeOutcome::Applied(_) => assert!(fits, "{count} changes"),
            outcome => assert!(!fits && matches!(outcome, MergeOutcome::Refused(RefusalCode::TooManyChanges, _)), "{count} changes"),
        }
    }
}

#[test]
fn a_key_over_the_bound_is_refused_but_can_be_removed() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("12345", "1")]);
    data.limits.key_bytes = 4;
    data.applied("phone", &[put("1234", "1")]);
    for op in [Op::Put, Op::Add] {
        assert_eq!(data.refused("phone", &[change(op, "12345", "2")]), RefusalCode::TooLarge, "{op:?}");
    }
    data.applied("phone", &[remove("12345")]);
    assert_eq!(data.get("12345"), None);
}

#[test]
fn a_refusal_quotes_the_key_and_cuts_it_to_64_characters() {
    let mut data = MemoryDataset { limits: Limits { key_bytes: 64, ..Limits::default() }, ..MemoryDataset::default() };
    let long = format!("{}END", "\u{e4}".repeat(64));
    for (name, quoted) in [("a\"b", r#""a\"b""#), (&long, &format!("\"{}\"", "\u{e4}".repeat(64)))] {
        let MergeOutcome::Refused(_, message) = data.write("phone", &[Change::new(key(name), Op::Remove, value("1"))]) else {
            panic!("not refused")
        };
        assert!(message.contains(quoted) && !message.contains("END"), "{message}");
    }
}

#[test]
fn a_value_is_bounded_packed_and_as_json() {
    let mut data = MemoryDataset { limits: Limits { value_bytes: 8, ..Limits::default() }, ..MemoryDataset::default() };
    data.applied("phone", &[put("a", "\"1234567\"")]);
    assert_eq!(data.refused("phone", &[put("a", "\"12345678\"")]), RefusalCode::TooLarge);
    data.limits = Limits::default();
    // As JSON each of these characters takes six bytes.
    let escaped = Value::from("\u{1}".repeat(VALUE_JSON_BYTES / 6 + 1));
    assert!(escaped.packed_bytes() < VALUE_BYTES);
    assert_eq!(data.refused("phone", &[Change::new(key("a"), Op::Put, escaped)]), RefusalCode::TooLarge);
}

#[test]
fn a_result_over_the_bound_is_refused_unless_it_is_smaller_than_before() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put("set", "[1,2,3,4,5,6,7,8,9]")]);
    data.limits.value_bytes = 8;
    assert_eq!(data.refused("phone", &[change(Op::Insert, "set", "[10]")]), RefusalCode::TooLarge);
    data.applied("phone", &[change(Op::Discard, "set", "[1]")]);
    data.applied("phone", &[change(Op::Discard, "set", "[2]")]);
    assert_eq!(data.refused("phone", &[change(Op::Insert, "set", "[1]")]), RefusalCode::TooLarge);
    assert_eq!(
        data.refused("phone", &[change(Op::Insert, "new", "[1,2,3,4]"), change(Op::Insert, "new", "[5,6,7,8]")]),
        RefusalCode::TooLarge
    );
    data.applied("phone", &[change(Op::Insert, "new", "[1,2,3,4]"), change(Op::Insert, "new", "[5,6,7]")]);
}

#[test]
fn a_dataset_is_filled_up_to_its_bounds() {
    let mut data = MemoryDataset { limits: Limits { records: 2, ..Limits::default() }, ..MemoryDataset::default() };
    data.applied("phone", &[put("a", "1"), put("b", "1")]);
    assert_eq!(data.refused("phone", &[put("c", "1")]), RefusalCode::TooManyRecords);
    // A key of one byte and a value of one.
    data.limits = Limits { dataset_bytes: 6, ..Limits::default() };
    data.applied("phone", &[put("c", "1")]);
    assert_eq!(data.refused("phone", &[put("d", "1")]), RefusalCode::DatasetFull);
}

#[test]
fn a_dataset_over_a_lowered_bound_takes_patches_that_make_it_smaller() {
    let mut data = MemoryDataset::default();
    let patch: Vec<_> = (0..10).map(|n| put(&format!("k{n}"), "\"0123456789\"")).collect();
    data.applied("phone", &patch);
    data.limits = Limits { records: 5, dataset_bytes: 50, ..Limits::default() };
    assert_eq!(data.refused("phone", &[put("new", "1")]), RefusalCode::TooManyRecords);
    assert_eq!(data.refused("phone", &[put("k0", "\"0123456789a\"")]), RefusalCode::DatasetFull);
    data.applied("phone", &[put("k0", "1")]);
    data.applied("phone", &[remove("k1")]);
    data.applied("phone", &[put("k2", "\"9876543210\"")]);
}

#[test]
fn conflicts_and_results_fit_a_reply() {
    let mut data = MemoryDataset::default();
    let large = format!("\"{}\"", "x".repeat(300_000));
    let patch: Vec<_> = (0..6).map(|n| put(&format!("k{n}"), &large)).collect();
    data.applied("phone", &patch);
    let conflicting = data.conflict("laptop", &(0..6).map(|n| put(&format!("k{n}"), "1").with_base(0)).collect::<Vec<_>>());
    assert_eq!(conflicting.len(), 1, "the first record always, and those that fit beside it");
    let set = format!("[{large}]");
    assert_eq!(data.refused("phone", &[change(Op::Insert, "a", &set), change(Op::Insert, "b", &set)]), RefusalCode::TooLarge);
    data.applied("phone", &[change(Op::Insert, "a", &set)]);
}

#[test]
fn a_reply_has_the_first_record_and_those_that_fit_beside_it() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put_text("large", REPLY_BYTES - 11), put("small", "\"0123456789\""), put("tiny", "1")]);
    let patch = ["large", "small", "tiny"].map(|name| put(name, "2").with_base(0));
    let keys: Vec<_> = data.conflict("laptop", &patch).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, [key("large"), key("small")]);
    // One result may be larger than what several have together.
    data.applied("phone", &[merge_text("a", REPLY_BYTES + 1)]);
    data.applied("phone", &[merge_text("b", REPLY_BYTES / 2), merge_text("c", REPLY_BYTES / 2)]);
    assert_eq!(data.refused("phone", &[merge_text("b", REPLY_BYTES / 2), merge_text("c", REPLY_BYTES / 2 + 1)]), RefusalCode::TooLarge);
}

#[test]
fn one_operation_may_take_a_record_and_an_operand_of_the_largest_size() {
    let mut data = MemoryDataset::default();
    data.applied("phone", &[put_text("a", VALUE_BYTES)]);
    data.applied("phone", &[merge_text("a", VALUE_BYTES)]);
    let one_more = [merge_text("a", VALUE_BYTES), change(Op::Discard, "b", "[]")];
    assert_eq!(data.refused("phone", &one_more), RefusalCode::TooLarge);
}

#[test]
fn operations_count_the_bytes_of_their_record_and_operand_and_each_element() {
    let (name, device) = (key("a"), device("phone"));
    let bytes = |change: Change, stored: Option<u64>| {
        let stored = stored.map(|bytes| crate::merge::RecordHead {
            version: 1,
            device: &device,
            others_version: 0,
            state: crate::merge::ContentState::Live(bytes),
        });
        operand_bytes(&[stored, stored], &[change.clone(), change])
    };
    let operation = |op, json| Change::new(name.clone(), op, value(json));
    assert_eq!(bytes(operation(Op::Put, "[1,2]"), Some(100)), 0);
    assert_eq!(bytes(remove("a"), Some(100)), 0);
    for op in [Op::Add, Op::Merge] {
        assert_eq!((bytes(operation(op, "[1,2]"), None), bytes(operation(op, "[1,2]"), Some(100))), (2 * 3, 2 * 103), "{op:?}");
    }
    for op in [Op::Insert, Op::Discard] {
        assert_eq!((bytes(operation(op, "[1,2]"), None), bytes(operation(op, "[1,2]"), Some(100))), (2 * 67, 2 * 167), "{op:?}");
        assert_eq!(bytes(operation(op, "1"), Some(100)), 2 * 101, "{op:?} of what is no list");
    }
    assert_eq!(bytes(operation(Op::Merge, "1"), Some(u64::from(u32::MAX))), OPERAND_BYTES as usize, "no more than one patch may have");
}
