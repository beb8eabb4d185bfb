//! Reads the three sources into one table, checks its names, and makes a [`Config`] of it.

use std::fmt;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

use super::{Config, KEYS, Key};

/// A configuration that cannot be used. Says what to do; never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn wrong(what: &str) -> ConfigError {
        ConfigError(what.to_owned())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The settings that were given as flags.
#[derive(Clone, Default)]
pub struct Flags(Vec<(Key, String)>);

impl fmt::Debug for Flags {
    /// Names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key.name)).finish()
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        Ok(Flags(given(matches, singles())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        with_flags(command, singles())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

/// The same, only of settings that say where the store is and how it is kept.
#[derive(Clone, Debug, Default)]
pub struct StoreFlags(Flags);

impl From<StoreFlags> for Flags {
    fn from(flags: StoreFlags) -> Flags {
        flags.0
    }
}

impl clap::FromArgMatches for StoreFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<StoreFlags, clap::Error> {
        Ok(StoreFlags(Flags(given(matches, of_the_store()))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = StoreFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for StoreFlags {
    fn augment_args(command: Command) -> Command {
        with_flags(command, of_the_store())
    }

    fn augment_args_for_update(command: Command) -> Command {
        StoreFlags::augment_args(command)
    }
}

fn with_flags(command: Command, keys: impl Iterator<Item = &'static Key>) -> Command {
    keys.fold(command, |command, key| {
        let value = key.name.rsplit(['.', '_']).next().unwrap_or(key.name).to_ascii_uppercase();
        command.arg(Arg::new(key.flag()).long(key.flag()).value_name(value).help(key.says).action(ArgAction::Set))
    })
}

fn given(matches: &ArgMatches, keys: impl Iterator<Item = &'static Key>) -> Vec<(Key, String)> {
    keys.filter_map(|key| matches.get_one::<String>(&key.flag()).map(|text| (*key, text.clone()))).collect()
}

fn of_the_store() -> impl Iterator<Item = &'static Key> {
    singles().filter(|key| key.name == "data" || key.name.starts_with("store."))
}

fn singles() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.is_single())
}

/// Reads a configuration: the file, over it the environment, over it the flags.
pub fn read(file: Option<&Path>, environment: &dyn Fn(&str) -> Option<String>, flags: &Flags) -> Result<Config, ConfigError> {
    let mut table = match file {
        Some(file) => read_file(file)?,
        None => Table::new(),
    };
    check_names(&table)?;
    for key in singles() {
        // An empty variable is one that is not set: that is how compose files leave one out.
        if let Some(text) = environment(&key.variable()).filter(|text| !text.is_empty()) {
            set(&mut table, key, &text).map_err(|why| ConfigError(format!("{}: {why}", key.variable())))?;
        }
    }
    for (key, text) in &flags.0 {
        set(&mut table, key, text).map_err(|why| ConfigError(format!("--{}: {why}", key.flag())))?;
    }
    let config: Config = table.try_into().map_err(|error: toml::de::Error| ConfigError(unquoted(&error)))?;
    config.check()?;
    Ok(config)
}

/// What is wrong and where, without the value: it may be a secret.
fn unquoted(error: &toml::de::Error) -> String {
    let text = error.to_string().trim().replace('\n', " ");
    match (text.find('"'), text.rfind('"')) {
        (Some(start), Some(end)) if start < end => format!("{}...{}", &text[..start], &text[end + 1..]),
        _ => text,
    }
}

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError(format!("{}: {error}", file.display())))?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
        ConfigError(format!("{}, line {line}: {}", file.display(), error.message()))
    })
}

/// Puts a text where a key belongs, as what it looks like.
fn set(table: &mut Table, key: &Key, text: &str) -> Result<(), String> {
    let mut inside = table;
    let (parents, last) = key.name.rsplit_once('.').unwrap_or(("", key.name));
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let entry = inside.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        inside = entry.as_table_mut().ok_or_else(|| format!("{parent} is no table"))?;
    }
    let value = match key.default.as_bytes().first() {
        Some(b'0'..=b'9') => Value::Integer(text.parse().map_err(|_| "a whole number is needed".to_owned())?),
        Some(b'[') => Value::Array(text.split(',').map(|one| Value::String(one.trim().to_owned())).collect()),
        _ => Value::String(text.to_owned()),
    };
    inside.insert(last.to_owned(), value);
    Ok(())
}

fn check_names(table: &Table) -> Result<(), ConfigError> {
    let mut path = Vec::new();
    table.iter().try_for_each(|(name, value)| check_name(&mut path, name, value))
}

fn check_name<'a>(path: &mut Vec<&'a str>, name: &'a str, value: &'a Value) -> Result<(), ConfigError> {
    path.push(name);
    if !KEYS.iter().any(|key| key.matches(path)) {
        match value {
            Value::Table(inside) if KEYS.iter().any(|key| key.is_inside(path)) => {
                inside.iter().try_for_each(|(name, value)| check_name(path, name, value))?;
            }
            Value::Array(entries) if KEYS.iter().any(|key| key.is_inside(path)) => {
                entries.iter().try_for_each(|entry| check_name(path, "*", entry))?;
            }
            _ => return Err(unknown(&path.join("."))),
        }
    }
    path.pop();
    Ok(())
}

fn unknown(name: &str) -> ConfigError {
    let distance = |key: &&Key| strsim::damerau_levenshtein(&plain(key.name), &plain(name));
    let nearest = KEYS.iter().min_by_key(distance).map_or("", |key| key.name);
    ConfigError(format!("unknown key {name}; the nearest known one is {nearest} (all of them: driftless config)"))
}

/// A name's last part weighs as much as all before it: that is where a slip is likely.
fn plain(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    format!("{name}{last}")
}
