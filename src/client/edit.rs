//! The commands `put`, `remove` and `add`: writes whose values are arguments.

use driftless_protocol::{Change, Codec, DatasetName, Key, Op, Value};

use super::error::ClientError;
use super::output::CommandOutput;
use super::render;
use super::session::CliSession;

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyValue {
    key: Key,
    value: Value,
}

/// Parses `KEY=VALUE`; a value that is not JSON is taken as text. The key ends at the first `=`.
pub(super) fn parse_value(text: &str) -> Result<KeyValue, String> {
    let (key, value) = split(text)?;
    Ok(KeyValue { key, value: Codec::Json.decode(value.as_bytes()).unwrap_or_else(|_| Value::from(value)) })
}

/// Parses `KEY=NUMBER`.
pub(super) fn parse_number(text: &str) -> Result<KeyValue, String> {
    let (key, value) = split(text)?;
    match Codec::Json.decode(value.as_bytes()) {
        Ok(value @ Value::Number(_)) => Ok(KeyValue { key, value }),
        _ => Err(format!("{value:?} is not a number")),
    }
}

fn split(text: &str) -> Result<(Key, &str), String> {
    let (key, value) = text.split_once('=').ok_or("an = is missing, as in theme=dark")?;
    Ok((Key::new(key).map_err(|why| why.to_string())?, value))
}

/// Sets records, all or none.
pub(super) async fn put(
    session: &mut CliSession,
    dataset: &DatasetName,
    pairs: Vec<KeyValue>,
    base: Option<u64>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let changes = pairs.into_iter().map(|pair| Change { base, ..Change::new(pair.key, Op::Put, pair.value) }).collect();
    write(session, dataset, changes, output).await
}

/// Removes records, all or none.
pub(super) async fn remove(
    session: &mut CliSession,
    dataset: &DatasetName,
    keys: Vec<Key>,
    base: Option<u64>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let changes = keys.into_iter().map(|key| Change { base, ..Change::new(key, Op::Remove, None) }).collect();
    write(session, dataset, changes, output).await
}

/// Adds numbers to records, and prints the results.
pub(super) async fn add(
    session: &mut CliSession,
    dataset: &DatasetName,
    pairs: Vec<KeyValue>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let changes = pairs.into_iter().map(|pair| Change::new(pair.key, Op::Add, pair.value)).collect();
    write(session, dataset, changes, output).await
}

async fn write(
    session: &mut CliSession,
    dataset: &DatasetName,
    changes: Vec<Change>,
    output: &mut CommandOutput,
) -> Result<(), ClientError> {
    let (version, results) = session.write(dataset, changes).await?;
    results.iter().try_for_each(|record| output.line(&render::brief(record)))?;
    output.line(&format!("{dataset} is at version {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String) {
        let pair = parse_value(text).expect(text);
        (pair.key.to_string(), pair.value.to_string())
    }

    #[test]
    fn values_are_json_or_text() {
        let pairs = ["theme=dark", "n=7", "on=true", "s=\"7\"", "o={\"a\":[1]}", "e=", "f=a=b"].map(read);
        let values = pairs.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        assert_eq!(values, ["\"dark\"", "7", "true", "\"7\"", "{\"a\":[1]}", "\"\"", "\"a=b\""]);
        assert_eq!(pairs[6].0, "f");
        assert!(parse_value("no-value").is_err());
        assert!(parse_value("=x").is_err(), "an empty key");
        assert!(parse_number("n=-1.5").is_ok());
        assert!(parse_number("n=many").is_err());
    }
}
