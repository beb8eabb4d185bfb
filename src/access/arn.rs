//! Amazon Resource Names and the ids of accounts. Source: "Amazon Resource Names (ARNs)" in the AWS General Reference.

use std::fmt;

/// Digits of an account's id.
const ACCOUNT_DIGITS: usize = 12;

/// The id of an account: twelve digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(String);

impl AccountId {
    /// `None` unless the text is twelve ASCII digits.
    pub fn parse(text: &str) -> Option<AccountId> {
        let is_valid = text.len() == ACCOUNT_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_valid.then(|| AccountId(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `arn:aws:iam::123456789012:root`, which in a policy stands for the account.
    pub fn root_arn(&self) -> String {
        format!("arn:aws:iam::{self}:root")
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The six parts of an ARN. The last part keeps its colons: names of datasets and keys of objects may have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    pub partition: &'a str,
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None` unless the text is `arn:` and five more parts; parts may be empty.
    pub fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let mut next = || parts.next();
        Some(Arn { partition: next()?, service: next()?, region: next()?, account: next()?, resource: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_twelve_digits() {
        assert!(AccountId::parse("123456789012").is_some());
        for wrong in ["", "12345678901", "1234567890123", "12345678901x", "１２３４"] {
            assert_eq!(AccountId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_part_of_an_arn_keeps_its_colons() {
        let arn = Arn::parse("arn:aws:s3:::app/data:2024/x").expect("six parts");
        assert_eq!((arn.service, arn.account, arn.resource), ("s3", "", "app/data:2024/x"));
        assert_eq!(Arn::parse("arn:aws:s3:::app:").map(|arn| arn.resource), Some("app:"));
        for wrong in ["", "arn", "arn:aws:s3::", "urn:aws:s3:::app", "ARN:aws:s3:::app"] {
            assert_eq!(Arn::parse(wrong), None, "{wrong}");
        }
    }
}
