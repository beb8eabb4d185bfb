//! How names are compared, and where a code went.

use crate::store::UserPoolSettings;

/// Where a code was sent, as it is told to who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeDelivery {
    pub attribute: String,
    pub destination: String,
}

/// A name as the pool compares it.
pub(super) fn fold(settings: &UserPoolSettings, name: &str) -> String {
    if settings.case_sensitive { name.to_owned() } else { name.to_lowercase() }
}
