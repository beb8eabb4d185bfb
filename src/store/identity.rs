//! The id of an identity: one person or guest of a pool.

use std::fmt;
use std::sync::Arc;

/// The id of an identity, `region:uuid`. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Arc<str>);

impl Identity {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id for a holder that keeps the text without copying it.
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl From<&str> for Identity {
    fn from(text: &str) -> Identity {
        Identity(text.into())
    }
}

impl AsRef<[u8]> for Identity {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
