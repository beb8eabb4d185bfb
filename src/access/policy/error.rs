//! Why a policy is refused, in AWS's words.

/// Characters of a message, whose place and values come from the policy: an answer does not carry a whole policy back.
const MESSAGE_CHARACTERS: usize = 1_000;

/// Why a policy is refused: AWS's error code and words, and in parentheses the place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// `MalformedPolicyDocument` of IAM and STS, `MalformedPolicy` of S3; for a policy that is too large `LimitExceeded`, `ValidationError` or `PolicyTooLarge`.
    pub code: &'static str,
    pub message: String,
}

impl PolicyError {
    /// An error whose message has texts of the policy in it: cut off where it is too long, and without control characters, which XML cannot say.
    pub(super) fn quoting(code: &'static str, message: &str) -> PolicyError {
        let replace = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        PolicyError { code, message: message.chars().take(MESSAGE_CHARACTERS).map(replace).collect() }
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
