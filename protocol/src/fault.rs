//! A decoder's error in plain words: which field, what was expected, what was found. Pure.
//!
//! It quotes no text of the message, which can be long and secret, and it shows no name of a type in this code.

use std::fmt;

use crate::{NameError, RefusalCode};

/// What is wrong with a request.
pub(crate) struct Fault {
    pub(crate) code: RefusalCode,
    /// For people.
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn request(message: String) -> Fault {
        Fault { code: RefusalCode::BadRequest, message }
    }

    /// An invalid name in a field.
    pub(crate) fn name(field: impl fmt::Display, why: &NameError) -> Fault {
        Fault { code: RefusalCode::BadName, message: format!("{field}: {why}") }
    }

    /// Reads the error of a decoder.
    pub(crate) fn of_decoder(why: &str) -> Fault {
        Fault::request(plain_words(why))
    }
}

/// A decoder's error without its quotations of the message.
pub(crate) fn unquoted(why: &str) -> String {
    match (why.find('"'), why.rfind('"')) {
        (Some(start), Some(end)) if start < end => format!("{}...{}", &why[..start], &why[end + 1..]),
        _ => why.to_owned(),
    }
}

fn plain_words(why: &str) -> String {
    let why = unquoted(why);
    let why = why.rfind(" at line ").map_or(why.as_str(), |at| &why[..at]);
    let (place, what) = match why.strip_prefix('.').and_then(|path| path.split_once(": ")) {
        Some((path, what)) => (Some(path), what),
        None => (None, why),
    };
    let named = place.unwrap_or("the message");
    let mismatch = what.strip_prefix("invalid type: ").or_else(|| what.strip_prefix("invalid value: "));
    if let Some((found, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{named} must be {}, not {}", expected_words(expected), found_words(found));
    }
    if let Some(field) = what.strip_prefix("missing field ") {
        return format!("{named} needs the field {}", field.trim_matches('`'));
    }
    if let Some(field) = what.strip_prefix("duplicate field ") {
        return format!("{named} has the field {} twice", field.trim_matches('`'));
    }
    // An error of this crate says what it is about.
    let Some(path) = place else { return what.to_owned() };
    match path.rsplit('.').next().and_then(|field| what.strip_prefix(field)).filter(|rest| rest.starts_with(" must ")) {
        Some(rule) => format!("{path}{rule}"),
        None => format!("{path}: {what}"),
    }
}

/// What serde calls expected.
fn expected_words(expected: &str) -> String {
    match expected {
        "a string" | "text" | "string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a dataset's name" | "a key" | "a device's id" | "an epoch" => format!("a text, {expected}"),
        other => other.to_owned(),
    }
}

/// What serde calls what it found.
fn found_words(found: &str) -> String {
    let kind = found.split(' ').next().unwrap_or_default();
    match kind {
        "string" | "character" => "a text".to_owned(),
        "integer" => format!("the number {}", found["integer".len()..].trim_matches([' ', '`'])),
        "floating" => "a number with a fraction or an exponent".to_owned(),
        "boolean" => found["boolean".len()..].trim_matches([' ', '`']).to_owned(),
        "unit" | "null" | "Option" => "null".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a map".to_owned(),
        "byte" | "bytes" => "binary data".to_owned(),
        "newtype" => "an extension".to_owned(),
        _ => found.to_owned(),
    }
}
