//! What a user pool demands of a new password: "Adding user pool password requirements" in the Amazon Cognito developer guide, and
//! PasswordPolicyType.

use std::fmt;
use std::ops::RangeInclusive;

use super::password::Password;

/// The shortest length that a policy may demand, in characters.
const MINIMUM_LENGTHS: RangeInclusive<u8> = 6..=99;

/// What counts as a symbol. A space does too: [`Password`] has none at its ends.
const SYMBOLS: &str = "^$*.[]{}()?-\"!@#%&/\\,><':;|_~`+= ";

/// What a user pool demands of a new password. The default is that of CreateUserPool: 8 characters and one of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    minimum_length: u8,
    pub requires_uppercase: bool,
    pub requires_lowercase: bool,
    pub requires_numbers: bool,
    pub requires_symbols: bool,
}

impl Default for PasswordPolicy {
    fn default() -> PasswordPolicy {
        PasswordPolicy {
            minimum_length: 8,
            requires_uppercase: true,
            requires_lowercase: true,
            requires_numbers: true,
            requires_symbols: true,
        }
    }
}

impl PasswordPolicy {
    /// A policy of a length alone, in characters; `None` if it is not from 6 to 99.
    pub fn of_length(minimum_length: u8) -> Option<PasswordPolicy> {
        MINIMUM_LENGTHS.contains(&minimum_length).then_some(PasswordPolicy {
            minimum_length,
            requires_uppercase: false,
            requires_lowercase: false,
            requires_numbers: false,
            requires_symbols: false,
        })
    }

    pub fn minimum_length(&self) -> u8 {
        self.minimum_length
    }

    /// Whether a password satisfies the policy, or the first demand that it does not meet. Letters and numbers are those of ASCII.
    pub fn check(&self, password: Password<'_>) -> Result<(), PolicyFlaw> {
        let text = password.as_str();
        let has = |is_of_class: fn(char) -> bool| text.chars().any(is_of_class);
        let demands = [
            (true, text.chars().count() >= usize::from(self.minimum_length), PolicyFlaw::TooShort),
            (self.requires_lowercase, has(|one| one.is_ascii_lowercase()), PolicyFlaw::NoLowercase),
            (self.requires_uppercase, has(|one| one.is_ascii_uppercase()), PolicyFlaw::NoUppercase),
            (self.requires_numbers, has(|one| one.is_ascii_digit()), PolicyFlaw::NoNumber),
            (self.requires_symbols, has(|one| SYMBOLS.contains(one)), PolicyFlaw::NoSymbol),
        ];
        let unmet = demands.into_iter().find(|(is_demanded, is_met, _)| *is_demanded && !is_met);
        unmet.map_or(Ok(()), |(_, _, flaw)| Err(flaw))
    }
}

/// A demand that a password does not meet. The words are those of Amazon Cognito's InvalidPasswordException.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFlaw {
    TooShort,
    NoLowercase,
    NoUppercase,
    NoNumber,
    NoSymbol,
}

impl fmt::Display for PolicyFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password did not conform with policy: ")?;
        f.write_str(match self {
            PolicyFlaw::TooShort => "Password not long enough",
            PolicyFlaw::NoLowercase => "Password must have lowercase characters",
            PolicyFlaw::NoUppercase => "Password must have uppercase characters",
            PolicyFlaw::NoNumber => "Password must have numeric characters",
            PolicyFlaw::NoSymbol => "Password must have symbol characters",
        })
    }
}

impl std::error::Error for PolicyFlaw {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: PasswordPolicy, text: &str) -> Result<(), String> {
        policy.check(Password::parse(text).expect("a password")).map_err(|flaw| flaw.to_string())
    }

    #[test]
    fn the_default_demands_eight_characters_and_one_of_each_class() {
        let policy = PasswordPolicy::default();
        assert_eq!(check(policy, "Passw0rd!"), Ok(()));
        let cases = [
            ("Pw0!", "Password not long enough"),
            ("PASSW0RD!", "Password must have lowercase characters"),
            ("passw0rd!", "Password must have uppercase characters"),
            ("Password!", "Password must have numeric characters"),
            ("Passw0rdX", "Password must have symbol characters"),
            // Letters and digits of other scripts, and signs that are not on the list, belong to no class.
            ("\u{c4}\u{d6}\u{dc}passw0rd!", "Password must have uppercase characters"),
            ("Password!\u{0663}", "Password must have numeric characters"),
            ("Passw0rd\u{20ac}\u{a7}", "Password must have symbol characters"),
        ];
        for (text, words) in cases {
            assert_eq!(check(policy, text), Err(format!("Password did not conform with policy: {words}")), "{text}");
        }
    }

    #[test]
    fn each_symbol_and_a_space_inside_counts() {
        for symbol in SYMBOLS.chars() {
            assert_eq!(check(PasswordPolicy::default(), &format!("Passw0{symbol}rd")), Ok(()), "{symbol:?}");
        }
    }

    #[test]
    fn a_length_is_counted_in_characters_and_bounded() {
        let six = PasswordPolicy::of_length(6).expect("a policy");
        assert_eq!(check(six, "\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}"), Ok(()));
        assert!(check(six, "\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}").is_err());
        assert_eq!((PasswordPolicy::of_length(5), PasswordPolicy::of_length(100)), (None, None));
        let longest = PasswordPolicy::of_length(99).expect("a policy");
        assert_eq!((check(longest, &"x".repeat(99)), check(longest, &"x".repeat(98)).is_err()), (Ok(()), true));
    }
}
