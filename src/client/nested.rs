//! Converts a nested JSON object to flat records (a key and a value each) and back, for the commands that import and export files.
//!
//! A record's key has the member names that lead from the outermost object to its value, one segment each, joined by `.`. In a segment `.` is
//! written `\.`, `\` is written `\\`, and the empty name is written `\e`, so each list of names has exactly one key.
//!
//! A list is the value of one record. So is an empty object, which would otherwise be lost.
//!
//! An object that is converted to records and back is the same. Records that are converted to an object and back are the same unless a
//! record's value is a non-empty object, which is split into one record per member.

use std::collections::BTreeMap;
use std::fmt;

use driftless_protocol::{PackedValue, Value, ValueRef, limits};

use super::render::printable;

/// The most levels of a file's object: itself, and as many as a value may have in a member of it.
const MAX_LEVELS: usize = limits::VALUE_DEPTH + 1;

/// Why records cannot be converted to one nested object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnflattenError {
    /// The key of `inner` is below the key of `outer`, as `a.b` is below `a`, but `outer` has a value of its own.
    Inside { outer: String, inner: String },
    /// The key is not in the form that [`flatten`] writes: a segment is empty, combines `\e` with text, or has a `\` before another character.
    InvalidPath(String),
    /// The object would have more than [`MAX_LEVELS`]: one for each segment of the key, and those of the value.
    TooDeep(String),
}

impl fmt::Display for UnflattenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnflattenError::Inside { outer, inner } => {
                write!(f, "{} and {} are both records, and in nested JSON one is inside the other", printable(outer), printable(inner))
            }
            UnflattenError::InvalidPath(key) => write!(f, "the key {} is not a path of segments joined by dots", printable(key)),
            UnflattenError::TooDeep(key) => {
                write!(f, "the key {} and its value together have more than {} levels", printable(key), MAX_LEVELS)
            }
        }
    }
}

/// Converts a nested object to records: the value of each key.
pub(super) fn flatten(object: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut records = BTreeMap::new();
    object.into_iter().for_each(|(name, value)| flatten_into(escape(&name), value.whole(), &mut records));
    records
}

fn flatten_into(key: String, value: PackedValue<'_>, records: &mut BTreeMap<String, Value>) {
    match value.view() {
        ValueRef::Map(members) if !members.is_empty() => {
            members.for_each(|(name, value)| flatten_into(format!("{key}.{}", escape(name)), value, records));
        }
        _ => {
            records.insert(key, value.into());
        }
    }
}

/// Converts records to one nested object; undoes [`flatten`]. The value of a record may itself be an object: `a` = `{"b":1}` gives the same
/// object as `a.b` = `1`, and no other key may then be below `a`.
pub(super) fn unflatten(records: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, UnflattenError> {
    let mut root = BTreeMap::new();
    for (key, value) in records {
        let path = split_segments(&key).ok_or_else(|| UnflattenError::InvalidPath(key.clone()))?;
        if path.len() + depth(value.whole()) > MAX_LEVELS {
            return Err(UnflattenError::TooDeep(key));
        }
        insert(&mut root, path, key, value)?;
    }
    Ok(root.into_iter().map(|(name, node)| (name, node.into_value())).collect())
}

/// Whether a key is in the form that [`flatten`] writes.
pub(super) fn is_path(key: &str) -> bool {
    split_segments(key).is_some()
}

/// The paths around a path, from the outside: `a` and `a.b` of `a.b.c`.
pub(super) fn outer_paths(path: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    path.char_indices().filter_map(move |(at, c)| {
        let is_end = c == '.' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end.then(|| &path[..at])
    })
}

/// Converts the value of the record at a path to records.
pub(super) fn flatten_at(path: &str, value: &Value) -> BTreeMap<String, Value> {
    let mut records = BTreeMap::new();
    flatten_into(path.to_owned(), value.whole(), &mut records);
    records
}

/// A node of the object that [`unflatten`] builds.
enum JsonNode {
    /// A record's key and value.
    Leaf(String, Value),
    /// An object that is made of longer keys, by member name.
    Branch(BTreeMap<String, JsonNode>),
}

impl JsonNode {
    fn into_value(self) -> Value {
        match self {
            JsonNode::Leaf(_, value) => value,
            JsonNode::Branch(members) => {
                Value::from(members.into_iter().map(|(name, node)| (name, node.into_value())).collect::<BTreeMap<_, _>>())
            }
        }
    }

    /// The key of the first record in this node.
    fn any_key(&self) -> String {
        match self {
            JsonNode::Leaf(key, _) => key.clone(),
            JsonNode::Branch(members) => members.values().next().map(JsonNode::any_key).unwrap_or_default(),
        }
    }
}

fn insert(root: &mut BTreeMap<String, JsonNode>, mut path: Vec<String>, key: String, value: Value) -> Result<(), UnflattenError> {
    let Some(last) = path.pop() else { return Err(UnflattenError::InvalidPath(key)) };
    let mut branch = root;
    for segment in path {
        match branch.entry(segment).or_insert_with(|| JsonNode::Branch(BTreeMap::new())) {
            JsonNode::Branch(members) => branch = members,
            JsonNode::Leaf(outer, _) => return Err(UnflattenError::Inside { outer: outer.clone(), inner: key }),
        }
    }
    match branch.get(&last) {
        Some(node) => Err(UnflattenError::Inside { outer: key, inner: node.any_key() }),
        None => {
            branch.insert(last, JsonNode::Leaf(key, value));
            Ok(())
        }
    }
}

/// Writes a member name as one segment of a key.
fn escape(segment: &str) -> String {
    if segment.is_empty() {
        return "\\e".to_owned();
    }
    segment.replace('\\', "\\\\").replace('.', "\\.")
}

/// The member names in a key, unescaped; `None` if the key is not in the form that [`flatten`] writes.
fn split_segments(key: &str) -> Option<Vec<String>> {
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
                // A segment either has text or is the escape of the empty segment.
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

/// The levels of lists and maps in a value.
fn depth(value: PackedValue<'_>) -> usize {
    match value.view() {
        ValueRef::List(items) => 1 + items.map(depth).max().unwrap_or_default(),
        ValueRef::Map(members) => 1 + members.map(|(_, value)| depth(value)).max().unwrap_or_default(),
        ValueRef::Null | ValueRef::Bool(_) | ValueRef::Number(_) | ValueRef::Text(_) => 0,
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

    fn nested(text: &str) -> Result<String, UnflattenError> {
        unflatten(object(text)).map(|members| Value::from(members).to_string())
    }

    #[test]
    fn paths_become_keys() {
        assert_eq!(flat(r#"{"a":{"b":1,"c":{"d":[{"x":1}]}},"e":{},"f":null}"#), ["a.b=1", "a.c.d=[{\"x\":1}]", "e={}", "f=null"]);
        assert_eq!(flat(r#"{"":{"":1},"a.b":{"c\\d":2},"\\e":3}"#), ["\\\\e=3", "\\e.\\e=1", "a\\.b.c\\\\d=2"]);
        assert_eq!(flat("{}"), [""; 0]);
    }

    #[test]
    fn the_paths_around_a_path_end_at_its_dots() {
        let around = |path| outer_paths(path).collect::<Vec<_>>();
        assert_eq!(around("a.b.c"), ["a", "a.b"]);
        assert_eq!(around("a\\.b\\\\.c.\\e"), ["a\\.b\\\\", "a\\.b\\\\.c"]);
        assert_eq!(around("a"), [""; 0]);
    }

    #[test]
    fn a_record_inside_another_is_named_in_the_error() {
        let inside = |outer: &str, inner: &str| Err(UnflattenError::Inside { outer: outer.to_owned(), inner: inner.to_owned() });
        assert_eq!(nested(r#"{"a":1,"a.b":2}"#), inside("a", "a.b"));
        assert_eq!(nested(r#"{"a":{},"a.b.c":2}"#), inside("a", "a.b.c"));
        // '-' sorts before '.', so other keys may stand between an outer record and an inner one.
        assert_eq!(nested(r#"{"a.b.c":1,"a.b":2,"a-":3}"#), inside("a.b", "a.b.c"));
        assert_eq!(nested(r#"{"a":{"b":1}}"#), Ok(r#"{"a":{"b":1}}"#.to_owned()), "the value of a record may be an object");
    }

    #[test]
    fn an_invalid_key_is_named_in_the_error() {
        for key in ["", "a..b", ".a", "a.", "a\\", "\\x", "a\\e", "\\ea", "\\e\\e"] {
            let records = BTreeMap::from([(key.to_owned(), Value::null())]);
            assert_eq!(unflatten(records), Err(UnflattenError::InvalidPath(key.to_owned())));
        }
        let deep = vec!["a"; MAX_LEVELS + 1].join(".");
        assert!(matches!(nested(&format!("{{\"{deep}\":1}}")), Err(UnflattenError::TooDeep(_))));
    }

    /// A xorshift generator (G. Marsaglia, 2003): random enough for a test, and reproducible.
    struct XorShift(u64);

    impl XorShift {
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
                0 => Value::null(),
                1 => Value::from(self.below(9) as i64),
                2 => Value::from(self.text()),
                3 => Value::from((0..self.below(3)).map(|_| self.value(levels - 1)).collect::<Vec<_>>()),
                _ => Value::from(self.members(levels - 1)),
            }
        }

        fn members(&mut self, levels: usize) -> BTreeMap<String, Value> {
            (0..self.below(5)).map(|_| (self.text(), self.value(levels))).collect()
        }
    }

    #[test]
    fn unflatten_is_the_inverse_of_flatten() {
        let mut random = XorShift(7);
        for _ in 0..20_000 {
            let object = random.members(5);
            assert_eq!(unflatten(flatten(object.clone())), Ok(object));
        }
    }

    #[test]
    fn flatten_is_the_inverse_of_unflatten() {
        let mut random = XorShift(11);
        let mut nested = 0;
        for _ in 0..20_000 {
            let records: BTreeMap<String, Value> = (0..random.below(4)).map(|_| (random.text(), Value::null())).collect();
            if let Ok(object) = unflatten(records.clone()) {
                assert_eq!(flatten(object), records);
                nested += 1;
            }
        }
        assert!(nested > 1_000, "{nested} of 20,000");
    }
}
