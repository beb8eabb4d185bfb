//! A patch looks at a bounded number of elements, however few bytes they have.

use std::convert::Infallible;

use super::*;

fn decide(before: &Value, changes: &[(Op, &Value)]) -> Merged {
    let (writer, other) = (DeviceId::new("phone").expect("a device"), DeviceId::new("laptop").expect("a device"));
    let key = Key::new("list").expect("a key");
    let changes: Vec<_> = changes.iter().map(|(op, operand)| Change::new(key.clone(), *op, Some((*operand).clone()))).collect();
    let head = DatasetHead { version: 1, records: 1, bytes: (before.packed_bytes() + key.as_str().len()) as u64, ..DatasetHead::default() };
    let stored = RecordHead { version: 1, device: &other, others_version: 0, state: ContentState::of_value(Some(before)) };
    let current = vec![Some(stored); changes.len()];
    let terms = MergeTerms {
        device: &writer,
        now_ms: 7,
        policy: ConflictPolicy::Reject,
        bases: crate::merge::Bases::Seen,
        limits: &Limits::default(),
    };
    let Ok(merged) = merge(head, &current, &changes, terms, |_| Ok::<_, Infallible>(before.clone()));
    merged
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

/// A list of so many ones.
fn ones(count: usize) -> String {
    format!("[{}]", vec!["1"; count].join(","))
}

fn is_refused(merged: &Merged) -> bool {
    matches!(&merged.outcome, MergeOutcome::Refused(RefusalCode::TooLarge, why) if why.contains("131072 elements: split it"))
}

#[test]
fn operations_on_too_many_elements_are_refused_and_looked_at_no_further() {
    let one = value("[2]");
    // The record's list and its elements, and the operand with its own, which counts four times.
    let most = value(&ones(OPERAND_ELEMENTS - 6));
    for op in [Op::Insert, Op::Discard] {
        let exact = decide(&most, &[(op, &one)]);
        assert!(matches!(exact.outcome, MergeOutcome::Applied(_)) && exact.elements == OPERAND_ELEMENTS, "{} elements", exact.elements);
        let again = decide(&most, &[(op, &one), (op, &one)]);
        assert!(is_refused(&again) && again.elements == OPERAND_ELEMENTS + 1, "all operations of the patch count together");
    }
    let members = (0..OPERAND_ELEMENTS / 2).map(|name| format!("\"{name:x}\":0"));
    let (list, small) = (ones(780_000), value("[1]"));
    let nested = value(&format!("[{list}]"));
    let pairs = value(&format!("[{}]", vec!["[1]"; 140_000].join(",")));
    let map = value(&format!("{{{}}}", members.collect::<Vec<_>>().join(",")));
    let in_map = value(&format!("{{\"a\":{list}}}"));
    for (before, op, operand) in [
        (&value(&list), Op::Insert, &one),
        (&value(&list), Op::Discard, &one),
        (&nested, Op::Discard, &one),
        (&pairs, Op::Insert, &one),
        (&small, Op::Insert, &nested),
        (&map, Op::Merge, &value("{}")),
        (&in_map, Op::Merge, &value("{}")),
        (&small, Op::Merge, &in_map),
    ] {
        let merged = decide(before, &[(op, operand)]);
        assert!(is_refused(&merged) && merged.elements == OPERAND_ELEMENTS + 1, "{op:?}: {:?}", merged.elements);
    }
}

#[test]
fn what_is_put_or_added_or_has_few_elements_of_many_bytes_is_not_concerned() {
    let (large, long) = (value(&ones(780_000)), value(&format!("[\"{}\"]", "x".repeat(1_000_000))));
    assert!(matches!(decide(&large, &[(Op::Put, &large)]), Merged { outcome: MergeOutcome::Applied(_), elements: 0 }));
    assert!(matches!(decide(&value("1"), &[(Op::Add, &value("1"))]), Merged { outcome: MergeOutcome::Applied(_), elements: 0 }));
    assert!(matches!(decide(&large, &[(Op::Add, &value("1"))]).outcome, MergeOutcome::Refused(RefusalCode::WrongType, _)));
    assert!(matches!(decide(&long, &[(Op::Insert, &value("[1]"))]), Merged { outcome: MergeOutcome::Applied(_), elements: 7 }));
}
