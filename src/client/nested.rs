//! Nested JSON to flat records and back, without loss.
//!
//! A key is the path to a value, its segments joined by `.`; in a segment `.` and `\` are escaped with `\`, and an empty segment is
//! `\e`. Lists are values, and so is an object that is empty, as it has no path through it.

use std::collections::BTreeMap;
use std::fmt;

use driftless_protocol::{Value, limits};

use super::render::printable;

/// Why records do not make an object that leads back to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NestError {
    /// Both are records, but one would lie inside the other.
    Inside {
        /// The key that ends where the other goes on.
        outer: String,
        /// The key that goes on.
        inner: String,
    },
    /// The key is no path: an empty segment, or a `\` before something else than `.`, `\` and `e`.
    NoPath(String),
    /// With the value that it leads to, it nests deeper than a file may.
    TooDeep(String),
}

impl fmt::Display for NestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NestError::Inside { outer, inner } => {
                write!(f, "{} and {} are both records, and in nested JSON one is inside the other", printable(outer), printable(inner))
            }
            NestError::NoPath(key) => write!(f, "the key {} is no path of segments joined by dots", printable(key)),
            NestError::TooDeep(key) => write!(f, "the key {} leads deeper than {} levels", printable(key), limits::VALUE_DEPTH),
        }
    }
}

/// The records of an object's members, by key.
pub(super) fn flatten(object: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut records = BTreeMap::new();
    object.into_iter().for_each(|(name, value)| walk(escape(&name), value, &mut records));
    records
}

fn walk(path: String, value: Value, records: &mut BTreeMap<String, Value>) {
    match value {
        Value::Map(members) if !members.is_empty() => {
            members.into_iter().for_each(|(name, value)| walk(format!("{path}.{}", escape(&name)), value, records));
        }
        leaf => {
            records.insert(path, leaf);
        }
    }
}

/// The object whose members are these records. Undoes [`flatten`]; it cannot tell a record that holds an object from the records of its members.
pub(super) fn unflatten(records: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, NestError> {
    let mut root = BTreeMap::new();
    for (key, value) in records {
        let path = segments(&key).ok_or_else(|| NestError::NoPath(key.clone()))?;
        if path.len() + depth(&value) > limits::VALUE_DEPTH {
            return Err(NestError::TooDeep(key));
        }
        place(&mut root, path, key, value)?;
    }
    Ok(root.into_iter().map(|(name, node)| (name, node.value())).collect())
}

enum Node {
    /// A record, with its key.
    Leaf(String, Value),
    Branch(BTreeMap<String, Node>),
}

impl Node {
    fn value(self) -> Value {
        match self {
            Node::Leaf(_, value) => value,
            Node::Branch(members) => Value::Map(members.into_iter().map(|(name, node)| (name, node.value())).collect()),
        }
    }

    /// The key of some record in it.
    fn any_key(&self) -> String {
        match self {
            Node::Leaf(key, _) => key.clone(),
            Node::Branch(members) => members.values().next().map(Node::any_key).unwrap_or_default(),
        }
    }
}

fn place(root: &mut BTreeMap<String, Node>, mut path: Vec<String>, key: String, value: Value) -> Result<(), NestError> {
    let Some(last) = path.pop() else { return Err(NestError::NoPath(key)) };
    let mut branch = root;
    for segment in path {
        match branch.entry(segment).or_insert_with(|| Node::Branch(BTreeMap::new())) {
            Node::Branch(members) => branch = members,
            Node::Leaf(outer, _) => return Err(NestError::Inside { outer: outer.clone(), inner: key }),
        }
    }
    match branch.get(&last) {
        Some(node) => Err(NestError::Inside { outer: key, inner: node.any_key() }),
        None => {
            branch.insert(last, Node::Leaf(key, value));
            Ok(())
        }
    }
}

fn escape(segment: &str) -> String {
    if segment.is_empty() {
        return "\\e".to_owned();
    }
    segment.replace('\\', "\\\\").replace('.', "\\.")
}

/// The segments of a key; `None` if [`escape`] would not have written it so.
fn segments(key: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut segment = String::new();
    let mut empty = false;
    let mut rest = key.chars();
    loop {
        match rest.next() {
            Some('\\') => match rest.next()? {
                'e' if segment.is_empty() && !empty => empty = true,
                c @ ('.' | '\\') => segment.push(c),
                _ => return None,
            },
            end @ (Some('.') | None) => {
                // Exactly one of both: a segment has text, or it says that it is empty.
                if empty != segment.is_empty() {
                    return None;
                }
                done.push(std::mem::take(&mut segment));
                empty = false;
                if end.is_none() {
                    return Some(done);
                }
            }
            Some(c) => segment.push(c),
        }
    }
}

/// Levels of lists and maps in a value.
fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Map(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::Codec;

    use super::*;

    fn object(text: &str) -> BTreeMap<String, Value> {
        Codec::Json.decode(text.as_bytes()).expect(text)
    }

    fn flat(text: &str) -> Vec<String> {
        flatten(object(text)).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    fn nested(text: &str) -> Result<String, NestError> {
        unflatten(object(text)).map(|members| Value::Map(members).to_string())
    }

    #[test]
    fn paths_become_keys() {
        assert_eq!(flat(r#"{"a":{"b":1,"c":{"d":[{"x":1}]}},"e":{},"f":null}"#), ["a.b=1", "a.c.d=[{\"x\":1}]", "e={}", "f=null"]);
        assert_eq!(flat(r#"{"":{"":1},"a.b":{"c\\d":2},"\\e":3}"#), ["\\\\e=3", "\\e.\\e=1", "a\\.b.c\\\\d=2"]);
        assert_eq!(flat("{}"), [""; 0]);
    }

    #[test]
    fn a_record_inside_another_is_named() {
        let inside = |outer: &str, inner: &str| Err(NestError::Inside { outer: outer.to_owned(), inner: inner.to_owned() });
        assert_eq!(nested(r#"{"a":1,"a.b":2}"#), inside("a", "a.b"));
        assert_eq!(nested(r#"{"a":{},"a.b.c":2}"#), inside("a", "a.b.c"));
        // '-' sorts before '.', so the longer key may come first.
        assert_eq!(nested(r#"{"a.b.c":1,"a.b":2,"a-":3}"#), inside("a.b", "a.b.c"));
        assert_eq!(nested(r#"{"a":{"b":1}}"#), Ok(r#"{"a":{"b":1}}"#.to_owned()), "a record may hold an object");
    }

    #[test]
    fn keys_that_no_path_leads_to_are_named() {
        for key in ["", "a..b", ".a", "a.", "a\\", "\\x", "a\\e", "\\ea", "\\e\\e"] {
            let records = BTreeMap::from([(key.to_owned(), Value::Null)]);
            assert_eq!(unflatten(records), Err(NestError::NoPath(key.to_owned())));
        }
        let deep = vec!["a"; limits::VALUE_DEPTH + 1].join(".");
        assert!(matches!(nested(&format!("{{\"{deep}\":1}}")), Err(NestError::TooDeep(_))));
    }

    /// Xorshift, by G. Marsaglia (2003): enough chance for a test, and the same each time.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % n as u64) as usize
        }

        fn text(&mut self) -> String {
            const PARTS: [&str; 8] = ["", ".", "\\", "e", "\\e", "a", "ü", "-"];
            (0..self.below(4)).map(|_| PARTS[self.below(PARTS.len())]).collect()
        }

        fn value(&mut self, levels: usize) -> Value {
            match self.below(if levels == 0 { 3 } else { 6 }) {
                0 => Value::Null,
                1 => Value::from(self.below(9) as i64),
                2 => Value::Text(self.text()),
                3 => Value::List((0..self.below(3)).map(|_| self.value(levels - 1)).collect()),
                _ => Value::Map(self.members(levels - 1)),
            }
        }

        fn members(&mut self, levels: usize) -> BTreeMap<String, Value> {
            (0..self.below(5)).map(|_| (self.text(), self.value(levels))).collect()
        }
    }

    #[test]
    fn whatever_is_flattened_comes_back() {
        let mut chance = Chance(7);
        for _ in 0..20_000 {
            let object = chance.members(5);
            assert_eq!(unflatten(flatten(object.clone())), Ok(object));
        }
    }

    #[test]
    fn whatever_can_be_nested_comes_back_too() {
        let mut chance = Chance(11);
        let mut nested = 0;
        for _ in 0..20_000 {
            let records: BTreeMap<String, Value> = (0..chance.below(4)).map(|_| (chance.text(), Value::Null)).collect();
            if let Ok(object) = unflatten(records.clone()) {
                assert_eq!(flatten(object), records);
                nested += 1;
            }
        }
        assert!(nested > 1_000, "{nested} of 20,000");
    }
}
