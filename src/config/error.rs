//! The one error of this module.

use std::fmt;

/// A configuration that cannot be used. The text names the setting and says what to do; it never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(problem: impl Into<String>) -> ConfigError {
        ConfigError(problem.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
