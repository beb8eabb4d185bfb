//! Computes a record's new value from its current value and the operand of a change.
//!
//! Errors are texts for the device's developer; the caller names the key.

use std::collections::HashSet;

use driftless_protocol::{Number, Op, Value};

/// The record's new value; `None` if the operation leaves the record alone. `put` and `remove` compute nothing.
pub(super) fn compute(op: Op, current: Option<&Value>, operand: Value) -> Result<Option<Value>, &'static str> {
    match op {
        Op::Add => add(current, operand).map(Some),
        Op::Merge => Ok(Some(merge_patch(current.cloned().unwrap_or(Value::Null), operand))),
        Op::Insert => insert(current, operand).map(Some),
        Op::Discard => discard(current, operand),
        Op::Put | Op::Remove => Ok(None),
    }
}

fn add(current: Option<&Value>, operand: Value) -> Result<Value, &'static str> {
    let Value::Number(operand) = operand else { return Err("add takes a number") };
    let current = match current {
        None => Number::from(0_i64),
        Some(Value::Number(number)) => *number,
        Some(_) => return Err("add needs a record that is a number"),
    };
    current.sum(operand).map(Value::Number).ok_or("the sum is out of the range of numbers")
}

/// JSON merge patch, RFC 7396 §2.
fn merge_patch(target: Value, patch: Value) -> Value {
    let Value::Map(patch) = patch else { return patch };
    let mut members = if let Value::Map(members) = target { members } else { Default::default() };
    for (name, value) in patch {
        if value == Value::Null {
            members.remove(&name);
        } else {
            let old = members.remove(&name).unwrap_or(Value::Null);
            members.insert(name, merge_patch(old, value));
        }
    }
    Value::Map(members)
}

fn insert(current: Option<&Value>, operand: Value) -> Result<Value, &'static str> {
    let Value::List(elements) = operand else { return Err("insert takes a list of elements") };
    let mut set = match current {
        None => Vec::new(),
        Some(Value::List(set)) => set.clone(),
        Some(_) => return Err("insert needs a record that is a list"),
    };
    let present: HashSet<&Value> = set.iter().collect();
    let mut added = HashSet::new();
    let is_new: Vec<bool> = elements.iter().map(|element| !present.contains(element) && added.insert(element)).collect();
    set.extend(elements.into_iter().zip(is_new).filter_map(|(element, is_new)| is_new.then_some(element)));
    Ok(Value::List(set))
}

fn discard(current: Option<&Value>, operand: Value) -> Result<Option<Value>, &'static str> {
    let Value::List(elements) = operand else { return Err("discard takes a list of elements") };
    match current {
        None => Ok(None),
        Some(Value::List(set)) => {
            let unwanted: HashSet<&Value> = elements.iter().collect();
            Ok(Some(Value::List(set.iter().filter(|element| !unwanted.contains(element)).cloned().collect())))
        }
        Some(_) => Err("discard needs a record that is a list"),
    }
}
