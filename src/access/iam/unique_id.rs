//! The unique ids of users, groups, roles and policies: a prefix that tells the kind, and 17 letters of base 32.
//! Source: "IAM identifiers", "Unique identifiers" (IAM User Guide).
//!
//! The first four letters after the prefix are the account's number, so that an id that stands in another account's policy leads to its account.

use crate::keyring::AccountNumber;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Letters of the account's number: 20 bits.
const ACCOUNT_LETTERS: u32 = 4;

/// Random letters: 65 bits.
const RANDOM_LETTERS: u32 = 13;

const LETTER_BITS: u32 = 5;

/// What an id is of.
#[derive(Clone, Copy)]
pub(super) enum IdKind {
    User,
    Group,
    Role,
    Policy,
}

/// An id of an account's, different from others by `chance`.
pub(super) fn unique_id(kind: IdKind, account: u32, chance: u128) -> String {
    let prefix = match kind {
        IdKind::User => "AIDA",
        IdKind::Group => "AGPA",
        IdKind::Role => "AROA",
        IdKind::Policy => "ANPA",
    };
    let letter = |bits: u128| char::from(ALPHABET[(bits % 32) as usize]);
    let account = (0..ACCOUNT_LETTERS).rev().map(|at| letter(u128::from(account) >> (at * LETTER_BITS)));
    let random = (0..RANDOM_LETTERS).map(|at| letter(chance >> (at * LETTER_BITS)));
    prefix.chars().chain(account).chain(random).collect()
}

/// The number of the account to which an id belongs, if this server made it: anybody can write an id.
pub(super) fn account_number_of(id: &str) -> Option<AccountNumber> {
    let letters = id.get(4..)?;
    if letters.len() != (ACCOUNT_LETTERS + RANDOM_LETTERS) as usize {
        return None;
    }
    let of = |byte: u8| ALPHABET.iter().position(|letter| *letter == byte);
    let digits: Option<Vec<usize>> = letters.bytes().map(of).collect();
    let number = digits?.into_iter().take(ACCOUNT_LETTERS as usize).fold(0, |number, digit| number * 32 + digit as u32);
    AccountNumber::new(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_its_account() {
        for number in [0, 1, 31, 32, 77_777, (1 << 20) - 1] {
            let id = unique_id(IdKind::Role, number, u128::MAX / 3);
            assert!(id.len() == 21 && id.starts_with("AROA"), "{id}");
            assert_eq!(account_number_of(&id).map(AccountNumber::get), Some(number));
        }
        for other in ["", "AROA", "AROAAAAAAAAAAAAAAAAAA1", "AROA1AAAAAAAAAAAAAAAA", "ÄÄAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(account_number_of(other), None, "{other}");
        }
    }
}
