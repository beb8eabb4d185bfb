//! Reads the three sources into one TOML table, checks its names, and makes a [`ServerConfig`] of it.

use std::path::Path;

use toml::{Table, Value};

use super::check::check;
use super::error::ConfigError;
use super::flags::Flags;
use super::server::ServerConfig;
use super::settings::{ConfigSetting, SETTINGS};

/// Reads and checks a configuration: the file, replaced by the environment, replaced by the flags. `environment` looks up a variable.
pub fn read(file: Option<&Path>, environment: &dyn Fn(&str) -> Option<String>, flags: &Flags) -> Result<ServerConfig, ConfigError> {
    let mut table = match file {
        Some(file) => read_file(file)?,
        None => Table::new(),
    };
    check_names(&table)?;
    for setting in SETTINGS.iter().filter(|setting| setting.is_global()) {
        // An empty variable counts as unset: compose files pass one for a variable that the user left out.
        if let Some(text) = environment(&setting.variable()).filter(|text| !text.is_empty()) {
            set(&mut table, setting, &text).map_err(|why| ConfigError::new(format!("{}: {why}", setting.variable())))?;
        }
    }
    for (setting, text) in &flags.0 {
        set(&mut table, setting, text).map_err(|why| ConfigError::new(format!("--{}: {why}", setting.flag())))?;
    }
    let config: ServerConfig = table.try_into().map_err(|error: toml::de::Error| ConfigError::new(without_value(&error)))?;
    check(&config)?;
    Ok(config)
}

/// The text of an error without the value that it quotes, as that may be a secret.
fn without_value(error: &toml::de::Error) -> String {
    let text = error.to_string().trim().replace('\n', " ");
    match (text.find('"'), text.rfind('"')) {
        (Some(start), Some(end)) if start < end => format!("{}...{}", &text[..start], &text[end + 1..]),
        _ => text,
    }
}

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::new(format!("{}: {error}", file.display())))?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
        ConfigError::new(format!("{}, line {line}: {}", file.display(), error.message()))
    })
}

/// Sets a value that was given as text. Its type is that of the setting's default; a setting without a default is a string.
fn set(table: &mut Table, setting: &ConfigSetting, text: &str) -> Result<(), String> {
    let mut table = table;
    let (parents, last) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let entry = table.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().ok_or_else(|| format!("{parent} is not a table in the file"))?;
    }
    let value = match setting.default_value() {
        Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| "must be a whole number".to_owned())?),
        Some(Value::Array(_)) => Value::Array(text.split(',').map(|one| Value::String(one.trim().to_owned())).collect()),
        _ => Value::String(text.to_owned()),
    };
    table.insert(last.to_owned(), value);
    Ok(())
}

fn check_names(table: &Table) -> Result<(), ConfigError> {
    let mut path = Vec::new();
    table.iter().try_for_each(|(name, value)| check_name(&mut path, name, value))
}

fn check_name<'a>(path: &mut Vec<&'a str>, name: &'a str, value: &'a Value) -> Result<(), ConfigError> {
    path.push(name);
    if !SETTINGS.iter().any(|setting| setting.is_named(path)) {
        match value {
            Value::Table(table) if SETTINGS.iter().any(|setting| setting.is_inside(path)) => {
                table.iter().try_for_each(|(name, value)| check_name(path, name, value))?;
            }
            Value::Array(entries) if SETTINGS.iter().any(|setting| setting.is_inside(path)) => {
                entries.iter().try_for_each(|entry| check_name(path, "*", entry))?;
            }
            _ => return Err(unknown_key(&path.join("."))),
        }
    }
    path.pop();
    Ok(())
}

fn unknown_key(name: &str) -> ConfigError {
    let distance = |setting: &&ConfigSetting| strsim::damerau_levenshtein(&with_last_part_twice(setting.name), &with_last_part_twice(name));
    let nearest = SETTINGS.iter().min_by_key(distance).map_or("", |setting| setting.name);
    ConfigError::new(format!("unknown key {name}; the nearest known key is {nearest} (all keys: driftless config)"))
}

/// Weighs the last part of a name as much as everything before it: a typo is likely there.
fn with_last_part_twice(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    format!("{name}{last}")
}
