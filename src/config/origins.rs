//! Where each value of a configuration comes from, so that an error can name the place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::ConfigProblem;
use super::key_path::KeyPath;

/// Where a value was set. In the order of precedence: a later one replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ValueOrigin {
    /// The line of the file, counted from 1.
    Line(usize),
    /// The source that the name of a variable or of a flag is.
    Variable(String),
    Flag(String),
}

impl ValueOrigin {
    /// The order of precedence alone.
    pub(super) fn rank(&self) -> u8 {
        match self {
            ValueOrigin::Line(_) => 0,
            ValueOrigin::Variable(_) => 1,
            ValueOrigin::Flag(_) => 2,
        }
    }
}

/// The origins of the values of one configuration.
#[derive(Clone, Default)]
pub(super) struct ValueOrigins {
    file: Option<PathBuf>,
    origins: BTreeMap<KeyPath, ValueOrigin>,
}

impl fmt::Debug for ValueOrigins {
    /// Nothing: two configurations that are equal differ here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueOrigins")
    }
}

impl ValueOrigins {
    pub(super) fn of_file(file: &Path, origins: BTreeMap<KeyPath, ValueOrigin>) -> ValueOrigins {
        ValueOrigins { file: Some(file.to_owned()), origins }
    }

    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn set(&mut self, path: KeyPath, origin: ValueOrigin) {
        self.origins.insert(path, origin);
    }

    pub(super) fn get(&self, path: &KeyPath) -> Option<&ValueOrigin> {
        self.origins.get(path)
    }

    /// A problem of the value at a path, or of the table around it if there is no such value.
    pub(super) fn problem(&self, path: &KeyPath, text: impl Into<String>) -> ConfigProblem {
        ConfigProblem::at(self.place(path), text)
    }

    fn place(&self, path: &KeyPath) -> Option<String> {
        let file = self.file.as_ref().map(|file| file.display().to_string());
        match (self.origins.get(path), path.parent()) {
            (Some(origin), _) => Some(origin.place(file.as_deref().unwrap_or_default())),
            (None, Some(table)) => self.place(&table),
            (None, None) => file,
        }
    }
}

impl ValueOrigin {
    /// The place in words; `file` is the file that has the line.
    pub(super) fn place(&self, file: &str) -> String {
        match self {
            ValueOrigin::Line(line) => format!("{file}, line {line}"),
            ValueOrigin::Variable(name) => name.clone(),
            ValueOrigin::Flag(name) => format!("--{name}"),
        }
    }
}
