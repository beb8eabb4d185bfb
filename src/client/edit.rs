//! The commands `put`, `remove` and `add`: writes whose values are arguments.

use driftless_protocol::{Change, DatasetName, Key, Op, Record, Value};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::error::ClientError;
use super::output::{CommandOutput, note};
use super::read;
use super::render::{self, printable};
use super::session::CliSession;

/// `KEY=VALUE`, as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyValue {
    key: Key,
    value: String,
}

/// How the values of a command are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueSyntax {
    /// A value that is not JSON is taken as text.
    JsonOrText,
    Json,
    Text,
}

impl ValueSyntax {
    pub(super) fn of(json: bool, text: bool) -> ValueSyntax {
        match (json, text) {
            (_, true) => ValueSyntax::Text,
            (true, false) => ValueSyntax::Json,
            (false, false) => ValueSyntax::JsonOrText,
        }
    }
}

/// Parses `KEY=VALUE`. The key ends at the first `=`.
pub(super) fn parse_pair(text: &str) -> Result<KeyValue, String> {
    let (key, value) = text.split_once('=').ok_or("an = is missing, as in visits=1")?;
    Ok(KeyValue { key: Key::new(key).map_err(|why| why.to_string())?, value: value.to_owned() })
}

/// Parses `KEY=NUMBER`.
pub(super) fn parse_number(text: &str) -> Result<Change, String> {
    let KeyValue { key, value } = parse_pair(text)?;
    match Value::from_json(value.as_bytes()) {
        Ok(number) if number.number().is_some() => Ok(Change::new(key, Op::Add, number)),
        Err(why) if is_json(&value) => Err(why),
        _ => Err(format!("{value:?} is not a number")),
    }
}

/// A value as it is stored, and a note if it may not be what the user meant.
fn read_value(key: &Key, text: &str, syntax: ValueSyntax) -> Result<(Value, Option<String>), String> {
    if syntax == ValueSyntax::Text {
        return Ok((Value::from(text), None));
    }
    let key = printable(key.as_str());
    match Value::from_json(text.as_bytes()) {
        Ok(value) => Ok((value, None)),
        Err(why) if syntax == ValueSyntax::Json => Err(format!("the value of {key} is not JSON: {}", printable(&why))),
        // A number or a nesting over the bounds is no text.
        Err(why) if is_json(text) => {
            Err(format!("the value of {key} is JSON that cannot be stored: {}; store it as text with --text", printable(&why)))
        }
        Err(why) => {
            let note = format!(
                "the value of {key} is not JSON ({}), so it is stored as text; --json refuses it, --text says that it is meant",
                printable(&why)
            );
            Ok((Value::from(text), looks_like_json(text).then_some(note)))
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether a text that is not JSON begins as JSON does, or is JSON's word in another spelling.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '[', '"'])
        || ["true", "false", "null"].iter().any(|word| text.eq_ignore_ascii_case(word))
        || text.parse::<f64>().is_ok()
}

/// The values of `put`, as changes. A note on stderr names each value that may not be what the user meant.
pub(super) fn read_values(pairs: &[KeyValue], syntax: ValueSyntax) -> Result<Vec<Change>, ClientError> {
    let mut changes = Vec::with_capacity(pairs.len());
    for KeyValue { key, value } in pairs {
        if changes.iter().any(|change: &Change| change.key == *key) {
            return Err(ClientError::Input(format!("{key} is named twice")));
        }
        let (value, unsure) = read_value(key, value, syntax).map_err(ClientError::Input)?;
        unsure.iter().for_each(|line| note(line));
        changes.push(Change::new(key.clone(), Op::Put, value));
    }
    Ok(changes)
}

/// Sets records, all or none.
pub(super) async fn put(
    session: &mut CliSession,
    dataset: &DatasetName,
    values: Vec<Change>,
    base: Option<u64>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let changes = values.into_iter().map(|change| Change { base, ..change }).collect();
    write(session, dataset, changes, output).await
}

/// Removes records, all or none. Without a base a record that does not exist is an error, and nothing is removed.
pub(super) async fn remove(
    session: &mut CliSession,
    dataset: &DatasetName,
    keys: Vec<Key>,
    base: Option<u64>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    if base.is_none() {
        let records = session.existing(dataset).await?;
        keys.iter().try_for_each(|key| read::record(dataset, &records, key).map(drop))?;
    }
    let changes = keys.into_iter().map(|key| Change { base, ..Change::new(key, Op::Remove, None) }).collect();
    write(session, dataset, changes, output).await
}

/// Adds numbers to records, and prints the results.
pub(super) async fn add(
    session: &mut CliSession,
    dataset: &DatasetName,
    numbers: Vec<Change>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    write(session, dataset, numbers, output).await
}

/// The result of `put`, `remove` and `add`, as JSON.
#[derive(Serialize)]
struct WrittenResult<'a> {
    dataset: &'a DatasetName,
    version: u64,
    /// What only the server can compute: the records of `add`.
    records: &'a [Record],
}

async fn write(
    session: &mut CliSession,
    dataset: &DatasetName,
    changes: Vec<Change>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let (version, results) = session.write(dataset, changes).await?;
    output.result(&WrittenResult { dataset, version, records: &results }, |output| {
        results.iter().try_for_each(|record| output.line(&render::brief(record)))?;
        output.line(&format!("{dataset} is at version {version}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, syntax: ValueSyntax) -> Result<(String, bool), String> {
        let pair = parse_pair(text)?;
        read_value(&pair.key, &pair.value, syntax).map(|(value, note)| (value.to_string(), note.is_some()))
    }

    #[test]
    fn values_are_json_or_text() {
        let pairs = ["theme=dark", "n=7", "on=true", "s=\"7\"", "o={\"a\":[1]}", "e=", "f=a=b", "date=2024-01-01", "h=-"];
        let values = pairs.map(|text| read(text, ValueSyntax::JsonOrText).expect(text));
        let expected = ["\"dark\"", "7", "true", "\"7\"", "{\"a\":[1]}", "\"\"", "\"a=b\"", "\"2024-01-01\"", "\"-\""];
        assert_eq!(values, expected.map(|value| (value.to_owned(), false)));
        assert_eq!(parse_pair("f=a=b").map(|pair| pair.key.to_string()).as_deref(), Ok("f"));
        assert!(parse_pair("no-value").is_err());
        assert!(parse_pair("=x").is_err(), "an empty key");
        assert!(parse_number("n=-1.5").is_ok());
        assert!(parse_number("n=many").is_err());
        assert!(parse_number("n=18446744073709551616").is_err_and(|why| why.contains("2^64")));
    }

    #[test]
    fn a_text_that_may_be_meant_as_json_is_noted() {
        for text in ["{bad", "[1,", "\"open", "True", "NULL", " {x}", "01", "1.", ".5", "NaN"] {
            let stored = read(&format!("a={text}"), ValueSyntax::JsonOrText).expect(text);
            assert_eq!(stored, (Value::from(text).to_string(), true));
            assert!(read(&format!("a={text}"), ValueSyntax::Json).is_err(), "{text}");
        }
        assert!(read("a=dark", ValueSyntax::Json).is_err());
        for text in ["{bad", "7", "null", "\"7\"", "18446744073709551616"] {
            assert_eq!(read(&format!("a={text}"), ValueSyntax::Text), Ok((Value::from(text).to_string(), false)));
        }
    }

    #[test]
    fn json_over_a_bound_is_refused_and_not_stored_as_text() {
        let deep = format!("a={}{}", "[".repeat(40), "]".repeat(40));
        for text in ["a=18446744073709551616", "a=[-9223372036854775809]", "a=1e400", "a={\"b\":1,\"b\":2}", "a=\"\\ud800\"", &deep] {
            let why = read(text, ValueSyntax::JsonOrText).expect_err(text);
            assert!(why.starts_with("the value of a is JSON that cannot be stored: ") && why.contains("--text"), "{why}");
        }
    }
}
