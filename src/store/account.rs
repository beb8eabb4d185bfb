//! The id of an account: who owns users, roles, pools and buckets.

use std::fmt;
use std::sync::Arc;

/// How many digits an account's id has.
const DIGITS: usize = 12;

/// The id of an account, twelve digits. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The id with this text; `None` if the text is not twelve digits.
    pub fn parse(text: &str) -> Option<AccountId> {
        (text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| AccountId(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_twelve_digits() {
        assert_eq!(AccountId::parse("001234567890").map(|id| id.to_string()), Some("001234567890".to_owned()));
        for text in ["", "12345678901", "1234567890123", "12345678901a", "+12345678901", "１23456789012"] {
            assert_eq!(AccountId::parse(text), None, "{text}");
        }
    }
}
