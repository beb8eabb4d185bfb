//! The ids of access keys: a prefix of four letters, and sixteen letters of base 32 (RFC 4648 section 6), 80 bits.
//!
//! The prefixes are those of "IAM identifiers" in the IAM user guide: `AKIA` for a key that lasts, `ASIA` for a temporary one. Here the letters
//! after them say more: the first is the generation of a temporary key (5 bits; of a lasting one it is random), the next four the account's
//! number (20 bits), the last eleven are random (55 bits).

use std::fmt;
use std::str::FromStr;

const LASTING: &str = "AKIA";
const TEMPORARY: &str = "ASIA";

const PREFIX_BYTES: usize = 4;
const LETTERS: usize = 16;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const LETTER_BITS: u32 = 5;
const ACCOUNT_BITS: u32 = 20;
const CHANCE_BITS: u32 = 55;

/// How many accounts there can be. Their numbers begin at 0.
pub const ACCOUNT_NUMBERS: u32 = 1 << ACCOUNT_BITS;

/// How many generations an access key id tells apart: it says the number's remainder. Far fewer are kept at a time.
pub(super) const GENERATION_LETTERS: u32 = 1 << LETTER_BITS;

/// The running number of an account, below [`ACCOUNT_NUMBERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(u32);

impl AccountNumber {
    /// `None` if the number is not below [`ACCOUNT_NUMBERS`].
    pub fn new(number: u32) -> Option<AccountNumber> {
        (number < ACCOUNT_NUMBERS).then_some(AccountNumber(number))
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

/// The id of an access key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKeyId {
    is_temporary: bool,
    /// 80 bits.
    bits: u128,
}

/// What an access key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKeyKind {
    /// It stands in a row with its secret.
    Lasting,
    /// It is nowhere: its secret is derived from its id.
    Temporary {
        /// The remainder of the generation's number by 32.
        generation_letter: u32,
    },
}

impl AccessKeyId {
    /// The id of a temporary key. Of `chance` the low 55 bits count.
    pub fn temporary(generation: u32, account: AccountNumber, chance: u64) -> AccessKeyId {
        let letter = u128::from(generation % GENERATION_LETTERS);
        AccessKeyId { is_temporary: true, bits: (letter << (ACCOUNT_BITS + CHANCE_BITS)) | account_and_chance(account, chance) }
    }

    /// The id of a key that lasts. Of `chance` the low 60 bits count.
    pub fn lasting(account: AccountNumber, chance: u64) -> AccessKeyId {
        let letter = u128::from(chance >> CHANCE_BITS) % u128::from(GENERATION_LETTERS);
        AccessKeyId { is_temporary: false, bits: (letter << (ACCOUNT_BITS + CHANCE_BITS)) | account_and_chance(account, chance) }
    }

    /// The account to which the key belongs, if the server made it: anybody can write an id.
    pub fn account(&self) -> AccountNumber {
        AccountNumber((self.bits >> CHANCE_BITS) as u32 % ACCOUNT_NUMBERS)
    }

    pub fn kind(&self) -> AccessKeyKind {
        match self.is_temporary {
            true => AccessKeyKind::Temporary { generation_letter: (self.bits >> (ACCOUNT_BITS + CHANCE_BITS)) as u32 },
            false => AccessKeyKind::Lasting,
        }
    }
}

fn account_and_chance(account: AccountNumber, chance: u64) -> u128 {
    (u128::from(account.0) << CHANCE_BITS) | (u128::from(chance) % (1 << CHANCE_BITS))
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_temporary { TEMPORARY } else { LASTING })?;
        (0..LETTERS as u32).rev().try_for_each(|at| {
            let letter = (self.bits >> (at * LETTER_BITS)) as usize % ALPHABET.len();
            fmt::Write::write_char(f, char::from(ALPHABET[letter]))
        })
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no access key id of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAccessKeyId;

impl fmt::Display for NoAccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an access key id")
    }
}

impl std::error::Error for NoAccessKeyId {}

impl FromStr for AccessKeyId {
    type Err = NoAccessKeyId;

    /// Reads the one spelling that [`Display`](fmt::Display) writes: twenty letters, all upper case.
    fn from_str(text: &str) -> Result<AccessKeyId, NoAccessKeyId> {
        let (prefix, letters) = text.as_bytes().split_at_checked(PREFIX_BYTES).ok_or(NoAccessKeyId)?;
        let is_temporary = match prefix {
            prefix if prefix == TEMPORARY.as_bytes() => true,
            prefix if prefix == LASTING.as_bytes() => false,
            _ => return Err(NoAccessKeyId),
        };
        if letters.len() != LETTERS {
            return Err(NoAccessKeyId);
        }
        let mut bits = 0;
        for letter in letters {
            let value = ALPHABET.iter().position(|one| one == letter).ok_or(NoAccessKeyId)?;
            bits = (bits << LETTER_BITS) | value as u128;
        }
        Ok(AccessKeyId { is_temporary, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_its_account_and_generation_in_its_letters() {
        let account = AccountNumber::new(1).expect("a number");
        let id = AccessKeyId::temporary(33, account, 2);
        // One letter for the generation, four for the account, eleven for chance.
        assert_eq!(id.to_string(), ["ASIA", "B", "AAAB", "AAAAAAAAAAC"].concat());
        assert_eq!((id.account(), id.kind()), (account, AccessKeyKind::Temporary { generation_letter: 1 }));
        let last = AccountNumber::new(ACCOUNT_NUMBERS - 1).expect("a number");
        let id = AccessKeyId::lasting(last, u64::MAX);
        assert_eq!(id.to_string(), "AKIA7777777777777777");
        assert_eq!((id.account(), id.kind()), (last, AccessKeyKind::Lasting));
        assert_eq!(AccountNumber::new(ACCOUNT_NUMBERS), None);
    }

    #[test]
    fn every_id_is_read_as_it_was_written() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let account = AccountNumber::new(random.u32(0..ACCOUNT_NUMBERS)).expect("a number");
            let generation = random.u32(..);
            let temporary = AccessKeyId::temporary(generation, account, random.u64(..));
            let lasting = AccessKeyId::lasting(account, random.u64(..));
            for id in [temporary, lasting] {
                assert_eq!(id.to_string().len(), 20);
                assert_eq!(id.to_string().parse(), Ok(id));
                assert_eq!(id.account(), account);
            }
            assert_eq!(temporary.kind(), AccessKeyKind::Temporary { generation_letter: generation % 32 });
        }
    }

    #[test]
    fn another_text_is_no_id() {
        let long = "A".repeat(1024 * 1024);
        for text in [
            "",
            "ASI",
            "ASIA",
            "ASIAIOSFODNN7EXAMPL",
            "ASIAIOSFODNN7EXAMPLEE",
            "asiaiosfodnn7example",
            "ASIAiosfodnn7example",
            "AROAIOSFODNN7EXAMPLE",
            "ASIA0OSFODNN7EXAMPLE",
            "ASIAIOSFODNN7EXAMP E",
            "ASIAIOSFODNN7EXAMPÄ",
            "123456789012",
            "ASIA/OSFODNN7EXAMPLE",
            &long,
        ] {
            assert_eq!(text.parse::<AccessKeyId>(), Err(NoAccessKeyId), "{:.30}", text);
        }
        assert!("AKIAIOSFODNN7EXAMPLE".parse::<AccessKeyId>().is_ok(), "the one of Amazon's examples");
    }
}
