//! Why a policy is refused, in AWS's words.

use super::kind::PolicyKind;

/// Why a policy is refused: AWS's error code and words, and in parentheses the place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// `MalformedPolicyDocument` of IAM and STS, `MalformedPolicy` of S3; for a policy that is too large `LimitExceeded`, `ValidationError` or `PolicyTooLarge`.
    pub code: &'static str,
    pub message: String,
}

impl PolicyError {
    pub(super) fn malformed(kind: PolicyKind, message: impl Into<String>) -> PolicyError {
        PolicyError { code: kind.malformed_code(), message: message.into() }
    }
}

/// What is wrong, before the kind of the policy gives it its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw(pub(super) String);

impl Flaw {
    /// AWS's words, then the place and what is wrong there.
    pub(super) fn at(words: &str, place: &str, what: impl std::fmt::Display) -> Flaw {
        Flaw(format!("{words} ({place}: {what})"))
    }

    /// For what AWS refuses without saying more.
    pub(super) fn syntax(place: &str, what: impl std::fmt::Display) -> Flaw {
        Flaw::at("Syntax errors in policy.", place, what)
    }
}
