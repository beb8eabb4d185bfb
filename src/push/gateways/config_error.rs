//! The error of a pool's push settings and credential files.

use std::fmt;
use std::path::Path;

/// A setting or a credential file that cannot be used. The text names the setting or the file, and never quotes a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct PushConfigError {
    /// The list and the entry in it that the setting stands in; `None`: it stands in none, or it is not known which.
    pub entry: Option<(&'static str, usize)>,
    /// The setting, if it is about one.
    pub key: Option<&'static str>,
    /// What is wrong with it.
    pub why: String,
}

impl PushConfigError {
    pub(super) fn file(path: &Path, why: impl fmt::Display) -> PushConfigError {
        PushConfigError::setting(format!("{}: {why}", path.display()))
    }

    pub(super) fn setting(why: impl Into<String>) -> PushConfigError {
        PushConfigError { entry: None, key: None, why: why.into() }
    }

    /// The same error, of the value of this setting, unless it is known to be of another one.
    pub(super) fn of(self, key: &'static str) -> PushConfigError {
        PushConfigError { key: self.key.or(Some(key)), ..self }
    }

    /// The same error, in an entry of a list.
    pub(super) fn in_entry(self, list: &'static str, at: usize) -> PushConfigError {
        PushConfigError { entry: Some((list, at)), ..self }
    }
}

impl fmt::Display for PushConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{key}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl std::error::Error for PushConfigError {}
