//! The error of a pool's push settings and credential files.

use std::fmt;
use std::path::Path;

/// A setting or a credential file that cannot be used. The text names the setting or the file, and never quotes a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct PushConfigError(String);

impl PushConfigError {
    pub(super) fn file(path: &Path, why: impl fmt::Display) -> PushConfigError {
        PushConfigError(format!("{}: {why}", path.display()))
    }

    pub(super) fn setting(why: impl Into<String>) -> PushConfigError {
        PushConfigError(why.into())
    }
}

impl fmt::Display for PushConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PushConfigError {}
