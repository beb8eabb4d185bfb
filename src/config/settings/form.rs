//! What the value of a setting must be: the check of a value, its reading from a variable's or flag's text, and both in plain words.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Value;
use toml::de::{DeString, DeValue};

use super::listen;
use crate::origin::{Origin, OriginError};

/// The longest text that an error quotes, in characters.
const QUOTED_CHARACTERS: usize = 80;

/// Whole floats below it are quoted with a fraction.
const FRACTION_BELOW: f64 = 1e15;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueForm {
    Text,
    /// A whole number with its bounds, both of which are allowed.
    Number {
        min: u64,
        max: u64,
    },
    Boolean,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of origins of web pages.
    Origins,
    /// A list of addresses and networks.
    Networks,
    /// An address to listen on, with its port.
    Address,
}

impl ValueForm {
    /// The form of a setting that declares none: that of its default; a setting without a default is a text.
    pub(super) fn of_default(default: Option<&Value>) -> ValueForm {
        match default {
            Some(Value::Integer(_)) => ValueForm::Number { min: 0, max: i64::MAX as u64 },
            Some(Value::Boolean(_)) => ValueForm::Boolean,
            Some(Value::Array(_)) => ValueForm::Texts,
            _ => ValueForm::Text,
        }
    }

    /// The value, in the one notation that the server reads; `None` if it is not of this form.
    pub fn normalized(self, value: Value) -> Option<Value> {
        match (self, value) {
            (ValueForm::Text, value @ Value::String(_)) | (ValueForm::Boolean, value @ Value::Boolean(_)) => Some(value),
            (ValueForm::Choice(texts), Value::String(text)) => texts.contains(&text.as_str()).then_some(Value::String(text)),
            (ValueForm::Number { min, max }, Value::Integer(number)) => {
                u64::try_from(number).is_ok_and(|number| (min..=max).contains(&number)).then_some(Value::Integer(number))
            }
            (ValueForm::Texts, Value::Array(entries)) => entries.iter().all(Value::is_str).then_some(Value::Array(entries)),
            (ValueForm::Origins, Value::Array(entries)) => {
                entries.into_iter().map(|entry| origin(&entry)?.ok()).collect::<Option<_>>().map(Value::Array)
            }
            (ValueForm::Networks, Value::Array(entries)) => {
                entries.into_iter().map(|entry| network(&entry)).collect::<Option<_>>().map(Value::Array)
            }
            (ValueForm::Address, Value::String(text)) => listen::parse(&text).map(|address| Value::String(address.to_string())),
            (ValueForm::Address, Value::Integer(port)) => {
                listen::parse(&port.to_string()).map(|address| Value::String(address.to_string()))
            }
            _ => None,
        }
    }

    /// The value that a variable's or flag's text stands for. Numbers, booleans and lists are written as in the file; a list may also be
    /// texts with commas between them. What cannot be read stays a text, which then is not of this form.
    pub fn read(self, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        match self {
            ValueForm::Text | ValueForm::Choice(_) | ValueForm::Address => as_text(),
            ValueForm::Number { .. } | ValueForm::Boolean => toml_value(text).unwrap_or_else(as_text),
            ValueForm::Texts | ValueForm::Origins | ValueForm::Networks if text.trim_start().starts_with('[') => {
                toml_value(text).unwrap_or_else(as_text)
            }
            ValueForm::Texts | ValueForm::Origins | ValueForm::Networks => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect())
            }
        }
    }

    /// What the value must be, after "must be".
    pub fn expected(self) -> String {
        match self {
            ValueForm::Text => "a text in quotes".to_owned(),
            ValueForm::Number { min: 0, max } if max >= i64::MAX as u64 => "a whole number, 0 or more".to_owned(),
            ValueForm::Number { min, max } if max >= i64::MAX as u64 => format!("a whole number, {min} or more"),
            ValueForm::Number { min, max } => format!("a whole number from {min} to {max}"),
            ValueForm::Boolean => "true or false".to_owned(),
            ValueForm::Choice(texts) => texts.join(" or "),
            ValueForm::Texts => "a list of texts, as in [\"a\", \"b\"]".to_owned(),
            ValueForm::Origins => "a list of origins, as in [\"https://app.example.com\"]".to_owned(),
            ValueForm::Networks => "a list of addresses and networks, as in [\"10.0.0.0/8\", \"192.0.2.7\"]".to_owned(),
            ValueForm::Address => listen::EXPECTED.to_owned(),
        }
    }

    /// What was found instead of a value of this form.
    pub fn found(self, value: &Value, is_secret: bool) -> String {
        match (self, value) {
            (ValueForm::Texts | ValueForm::Origins | ValueForm::Networks, Value::Array(entries)) => found_list(entries, Value::is_str),
            _ => found(value, is_secret),
        }
    }

    /// What is wrong with an entry of a list whose entries have a form of their own.
    pub fn fault_of_entry(self, value: &Value) -> Option<String> {
        match (self, value) {
            (ValueForm::Origins, Value::Array(entries)) => entries.iter().find_map(|entry| origin(entry)?.err()).map(|why| why.to_string()),
            (ValueForm::Networks, Value::Array(entries)) => {
                let wrong = entries.iter().find(|entry| network(entry).is_none())?.as_str()?;
                Some(format!("{wrong:?} is neither an address nor a network such as 192.0.2.0/24"))
            }
            _ => None,
        }
    }

    /// A hint for a text in quotes that would be right without them.
    pub fn hint(self, value: &Value) -> &'static str {
        let Value::String(text) = value else { return "" };
        let is_right = |value| self.normalized(value).is_some();
        let within_quotes = || Value::String(text.trim().trim_matches(['"', '\'']).to_owned());
        match self {
            ValueForm::Number { .. } | ValueForm::Boolean if is_right(self.read(text)) => "; write it without quotes",
            // As a shell's variable has it that was quoted twice.
            ValueForm::Choice(_) | ValueForm::Address if is_right(within_quotes()) => "; write it without spaces and quotes around it",
            ValueForm::Texts | ValueForm::Origins | ValueForm::Networks
                if is_right(self.read(text)) && text.trim_start().starts_with('[') =>
            {
                "; write the list without quotes around it"
            }
            ValueForm::Texts | ValueForm::Origins | ValueForm::Networks if text.trim_start().starts_with('[') => {
                "; write each entry in quotes and a comma between two"
            }
            ValueForm::Texts | ValueForm::Origins | ValueForm::Networks => "; write it in brackets",
            _ => "",
        }
    }
}

/// An entry of a list of origins in the form that browsers send; `None` if it is not even a text.
fn origin(entry: &Value) -> Option<Result<Value, OriginError>> {
    Some(entry.as_str()?.parse::<Origin>().map(|origin| Value::String(origin.to_string())))
}

/// An entry of a list of networks. An address alone is a network of one; the bits after the prefix do not matter.
fn network(entry: &Value) -> Option<Value> {
    let text = entry.as_str()?;
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    // A client of IPv4 is never compared in its form of IPv6.
    let network = match network.addr().to_canonical() {
        address if address == network.addr() => network.trunc(),
        address => IpNet::new(address, network.prefix_len().checked_sub(96)?).ok()?.trunc(),
    };
    Some(Value::String(network.to_string()))
}

/// A value as TOML writes it, alone.
fn toml_value(text: &str) -> Option<Value> {
    DeValue::parse(text.trim()).ok().map(|value| from_document(value.get_ref()))
}

/// A parsed value. A whole number beyond 64 bits becomes a float: no setting takes either.
pub(in crate::config) fn from_document(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(DeString::to_string(text)),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Float(number.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(is) => Value::Boolean(*is),
        DeValue::Datetime(date) => Value::Datetime(*date),
        DeValue::Array(entries) => Value::Array(entries.iter().map(|entry| from_document(entry.get_ref())).collect()),
        DeValue::Table(table) => {
            Value::Table(table.iter().map(|(name, value)| (name.get_ref().to_string(), from_document(value.get_ref()))).collect())
        }
    }
}

/// A list that was found, with the kind of its first wrong entry.
pub fn found_list(entries: &[Value], is_right: impl Fn(&Value) -> bool) -> String {
    let wrong = entries.iter().find(|entry| !is_right(entry));
    wrong.map_or("a list".to_owned(), |entry| format!("a list with {}", found(entry, true)))
}

/// A value that was found where another was expected. A secret's kind only.
pub fn found(value: &Value, is_secret: bool) -> String {
    let kind = match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    };
    match value {
        _ if is_secret => kind.to_owned(),
        Value::String(text) if text.chars().count() <= QUOTED_CHARACTERS => format!("the text {text:?}"),
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        Value::Integer(number) => number.to_string(),
        // With its fraction, which is what is wrong with 1.0. A larger one may be a whole number that has more than 64 bits.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < FRACTION_BELOW => format!("{number:.1}"),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => kind.to_owned(),
    }
}
