//! Small writes: what fits on a command line.

use driftless_protocol::{Change, Codec, DatasetName, Key, Op, Value};

use super::session::Session;
use super::{Failure, Output, render};

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    key: Key,
    value: Value,
}

/// Reads `KEY=VALUE`: JSON if it is JSON, else text. The key ends at the first `=`.
pub(super) fn value(text: &str) -> Result<Pair, String> {
    let (key, value) = split(text)?;
    Ok(Pair { key, value: Codec::Json.decode(value.as_bytes()).unwrap_or_else(|_| Value::from(value)) })
}

/// Reads `KEY=NUMBER`.
pub(super) fn number(text: &str) -> Result<Pair, String> {
    let (key, value) = split(text)?;
    match Codec::Json.decode(value.as_bytes()) {
        Ok(value @ Value::Number(_)) => Ok(Pair { key, value }),
        _ => Err(format!("{value:?} is not a number")),
    }
}

fn split(text: &str) -> Result<(Key, &str), String> {
    let (key, value) = text.split_once('=').ok_or("an = is missing, as in theme=dark")?;
    Ok((Key::new(key).map_err(|why| why.to_string())?, value))
}

/// Sets records, all or none.
pub(super) async fn put(
    session: &mut Session,
    dataset: &DatasetName,
    pairs: Vec<Pair>,
    base: Option<u64>,
    output: &mut Output,
) -> Result<(), Failure> {
    let changes = pairs.into_iter().map(|pair| Change { base, ..Change::new(pair.key, Op::Put, pair.value) }).collect();
    write(session, dataset, changes, output).await
}

/// Removes records, all or none.
pub(super) async fn remove(
    session: &mut Session,
    dataset: &DatasetName,
    keys: Vec<Key>,
    base: Option<u64>,
    output: &mut Output,
) -> Result<(), Failure> {
    let changes = keys.into_iter().map(|key| Change { base, ..Change::new(key, Op::Remove, None) }).collect();
    write(session, dataset, changes, output).await
}

/// Adds numbers and prints what came out.
pub(super) async fn add(session: &mut Session, dataset: &DatasetName, pairs: Vec<Pair>, output: &mut Output) -> Result<(), Failure> {
    let changes = pairs.into_iter().map(|pair| Change::new(pair.key, Op::Add, pair.value)).collect();
    write(session, dataset, changes, output).await
}

async fn write(session: &mut Session, dataset: &DatasetName, changes: Vec<Change>, output: &mut Output) -> Result<(), Failure> {
    let (version, results) = session.write(dataset, changes).await?;
    results.iter().try_for_each(|record| output.line(&render::brief(record)))?;
    output.line(&format!("{dataset} is at version {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, String) {
        let pair = value(text).expect(text);
        (pair.key.to_string(), pair.value.to_string())
    }

    #[test]
    fn values_are_json_or_else_text() {
        let pairs = ["theme=dark", "n=7", "on=true", "s=\"7\"", "o={\"a\":[1]}", "e=", "f=a=b"].map(read);
        let values = pairs.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        assert_eq!(values, ["\"dark\"", "7", "true", "\"7\"", "{\"a\":[1]}", "\"\"", "\"a=b\""]);
        assert_eq!(pairs[6].0, "f");
        assert!(value("no-value").is_err());
        assert!(value("=x").is_err(), "an empty key");
        assert!(number("n=-1.5").is_ok());
        assert!(number("n=many").is_err());
    }
}
