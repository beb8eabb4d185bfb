//! Merges the three sources, checks them, and makes a [`ServerConfig`] of them.

use std::path::Path;

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::check;
use super::document;
use super::environment::Environment;
use super::error::{ConfigError, ConfigProblem};
use super::flags::Flags;
use super::key_path::{KeyPath, KeySegment};
use super::origins::{ValueOrigin, ValueOrigins};
use super::server::ServerConfig;
use super::settings::{ConfigSetting, SETTINGS};
use super::shape;
use crate::invocation;

/// What ends the name of a setting whose value is the file of a secret, instead of the secret itself.
const FILE: &str = "_file";

/// Reads and checks a configuration: the file, replaced by the environment, replaced by the flags. Reads the files of secrets, so it blocks.
///
/// # Errors
/// Every problem of the names and values; if there is none, every problem that only all values together show.
pub fn read(file: Option<&Path>, environment: &Environment, flags: &Flags) -> Result<ServerConfig, ConfigError> {
    let (table, origins) = match file {
        Some(file) => document::read(file)?,
        None => Default::default(),
    };
    let mut sources = MergedSources { table, origins };
    let mut problems = shape::check(&mut sources.table, &sources.origins);
    problems.extend(environment.unknown());
    for setting in SETTINGS.iter().filter(|setting| setting.is_global()) {
        if let Some(text) = environment.value(setting) {
            problems.extend(sources.set(setting, text, ValueOrigin::Variable(setting.variable())));
        }
    }
    for (setting, text) in &flags.0 {
        problems.extend(sources.set(setting, text, ValueOrigin::Flag(setting.flag())));
    }
    problems.extend(sources.choose_secrets());
    ConfigError::check(problems)?;
    let config = sources.config()?;
    ConfigError::check(check::problems(&config))?;
    Ok(config)
}

struct MergedSources {
    table: Table,
    origins: ValueOrigins,
}

impl MergedSources {
    /// Sets a value that was given as text.
    fn set(&mut self, setting: &ConfigSetting, text: &str, origin: ValueOrigin) -> Option<ConfigProblem> {
        let path = KeyPath::of_setting(setting.name);
        let value = match shape::normalize(setting, &path, setting.form().read(text)) {
            Ok(value) => value,
            Err(why) => return Some(ConfigProblem::at(Some(origin.place("")), why)),
        };
        let mut table = &mut self.table;
        let (parents, last) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            // A parent that is no table is a problem of the file.
            table = table.entry(parent).or_insert_with(|| Value::Table(Table::new())).as_table_mut()?;
        }
        table.insert(last.to_owned(), value);
        self.origins.set(path, origin);
        None
    }

    /// A secret and the file of that secret are two notations of one setting: the source that takes precedence decides.
    fn choose_secrets(&mut self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for setting in SETTINGS.iter().filter(|setting| setting.is_secret && setting.is_global()) {
            let (secret, file) = (KeyPath::of_setting(setting.name), KeyPath::of_setting(&format!("{}{FILE}", setting.name)));
            let (Some(of_secret), Some(of_file)) = (self.origins.get(&secret), self.origins.get(&file)) else { continue };
            match of_secret.rank().cmp(&of_file.rank()) {
                std::cmp::Ordering::Equal => problems.push(self.origins.problem(&file, format!("set only one of {secret} and {file}"))),
                std::cmp::Ordering::Less => self.remove(&secret),
                std::cmp::Ordering::Greater => self.remove(&file),
            }
        }
        problems
    }

    fn remove(&mut self, path: &KeyPath) {
        let mut table = Some(&mut self.table);
        for part in path.parent().unwrap_or_default().parts() {
            table = table.and_then(|table| table.get_mut(part)?.as_table_mut());
        }
        if let Some(table) = table {
            table.remove(path.last());
        }
    }

    fn config(self) -> Result<ServerConfig, ConfigError> {
        let MergedSources { table, origins } = self;
        let config: ServerConfig = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
            // The checks before this one find every value of a wrong form; a new setting whose form is wider than its type ends here. The
            // parser's own text speaks of types, and may quote a secret.
            let path = key_path(error.path());
            origins.problem(
                &path,
                format!("{path} has a value that the server cannot use; what it must be is printed by: {} config", invocation::name()),
            )
        })?;
        config.with_origins(origins)
    }
}

fn key_path(path: &serde_path_to_error::Path) -> KeyPath {
    path.iter().fold(KeyPath::default(), |path, segment| match segment {
        Segment::Seq { index } => path.child(KeySegment::Entry(*index)),
        Segment::Map { key } => path.name(key),
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}
