//! Computes a record's new value from its current value and the operand of a change. The values are read and written as they are packed: the cost
//! is that of their bytes together, whatever is in them.
//!
//! Errors are texts for the device's developer; the caller names the key.

use std::cmp::Ordering;

use super::element_set::ElementSet;
use driftless_protocol::{ListItems, MapMembers, Number, Op, PackedValue, Value, ValueRef, ValueWriter};

/// The record's new value; `None` if the operation leaves the record alone. `put` and `remove` compute nothing.
pub(super) fn compute(op: Op, current: Option<&Value>, operand: &Value) -> Result<Option<Value>, &'static str> {
    match op {
        Op::Add => add(current, operand).map(Some),
        Op::Merge => Ok(Some(merge(current, operand))),
        Op::Insert => insert(current, operand).map(Some),
        Op::Discard => discard(current, operand),
        Op::Put | Op::Remove => Ok(None),
    }
}

fn add(current: Option<&Value>, operand: &Value) -> Result<Value, &'static str> {
    let operand = operand.number().ok_or("add takes a number")?;
    let current = match current {
        None => Number::from(0_i64),
        Some(current) => current.number().ok_or("add needs a record that is a number")?,
    };
    current.sum(operand).map(Value::from).ok_or("the sum is out of the range of numbers")
}

/// JSON merge patch, RFC 7396 §2.
fn merge(current: Option<&Value>, patch: &Value) -> Value {
    let mut out = ValueWriter::with_capacity(current.map_or(0, Value::packed_bytes) + patch.packed_bytes());
    merge_patch(current.map(Value::whole), patch.whole(), &mut out);
    out.finish()
}

/// Goes through the members of both maps at once, which stand in the order of their names.
fn merge_patch(target: Option<PackedValue<'_>>, patch: PackedValue<'_>, out: &mut ValueWriter) {
    let ValueRef::Map(mut patch) = patch.view() else { return out.value(patch) };
    let mut target = match target.map(PackedValue::view) {
        Some(ValueRef::Map(members)) => members,
        _ => MapMembers::default(),
    };
    let (start, mut members) = (out.begin(), 0);
    let (mut old, mut new) = (target.next(), patch.next());
    loop {
        let order = match (&old, &new) {
            (None, None) => break,
            (Some((name, value)), None) => {
                // The rest stays as it is.
                out.name(name);
                out.value(*value);
                out.members(&target);
                members += 1 + target.len();
                break;
            }
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let (replaced, by) = match order {
            Ordering::Less => (old.take(), None),
            Ordering::Greater => (None, new.take()),
            Ordering::Equal => (old.take(), new.take()),
        };
        match (replaced, by) {
            (Some((name, value)), None) => {
                out.name(name);
                out.value(value);
                members += 1;
            }
            (replaced, Some((name, value))) if !matches!(value.view(), ValueRef::Null) => {
                out.name(name);
                merge_patch(replaced.map(|(_, value)| value), value, out);
                members += 1;
            }
            // A member that is null removes the one of its name.
            _ => {}
        }
        old = if order.is_le() { target.next() } else { old };
        new = if order.is_ge() { patch.next() } else { new };
    }
    out.end_map(start, members);
}

fn insert(current: Option<&Value>, operand: &Value) -> Result<Value, &'static str> {
    let elements = operand.items().ok_or("insert takes a list of elements")?;
    let set = match current {
        None => ListItems::default(),
        Some(current) => current.items().ok_or("insert needs a record that is a list")?,
    };
    // Of the operand, which is mostly the smaller one: the set is gone through once, and not kept.
    let mut missing = ElementSet::with_capacity(elements.len());
    let mut added: Vec<PackedValue<'_>> = elements.filter(|element| missing.insert(*element)).collect();
    for element in set.clone() {
        if missing.is_empty() {
            break;
        }
        missing.remove(element);
    }
    added.retain(|element| missing.contains(*element));
    let mut out = ValueWriter::with_capacity(current.map_or(0, Value::packed_bytes) + operand.packed_bytes());
    let (start, items) = (out.begin(), set.len() + added.len());
    out.items(&set);
    added.into_iter().for_each(|element| out.value(element));
    out.end_list(start, items);
    Ok(out.finish())
}

fn discard(current: Option<&Value>, operand: &Value) -> Result<Option<Value>, &'static str> {
    let elements = operand.items().ok_or("discard takes a list of elements")?;
    let Some(current) = current else { return Ok(None) };
    let set = current.items().ok_or("discard needs a record that is a list")?;
    let mut unwanted = ElementSet::with_capacity(elements.len());
    for element in elements {
        unwanted.insert(element);
    }
    let mut out = ValueWriter::with_capacity(set.packed().len());
    let (start, mut count) = (out.begin(), 0);
    for element in set.filter(|element| !unwanted.contains(*element)) {
        out.value(element);
        count += 1;
    }
    out.end_list(start, count);
    Ok(Some(out.finish()))
}
