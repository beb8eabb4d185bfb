//! Amazon Resource Names. Source: "Amazon Resource Names (ARNs)" in the AWS General Reference.

use super::AccountId;

/// `arn:aws:iam::123456789012:root`, which in a policy stands for the account.
pub fn root_arn(account: &AccountId) -> String {
    format!("arn:aws:iam::{account}:root")
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
    fn the_last_part_of_an_arn_keeps_its_colons() {
        let arn = Arn::parse("arn:aws:s3:::app/data:2024/x").expect("six parts");
        assert_eq!((arn.service, arn.account, arn.resource), ("s3", "", "app/data:2024/x"));
        assert_eq!(Arn::parse("arn:aws:s3:::app:").map(|arn| arn.resource), Some("app:"));
        for wrong in ["", "arn", "arn:aws:s3::", "urn:aws:s3:::app", "ARN:aws:s3:::app"] {
            assert_eq!(Arn::parse(wrong), None, "{wrong}");
        }
    }
}
