//! The codes that are sent to a user: how they look, how often they may be asked for and tried. Pure but for the random bytes, which are arguments.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::keyring::{CryptoFailed, SecretKey};
use crate::store::{CodeUse, StoredCode};

/// The time in which codes and tries are counted, in milliseconds.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Codes that are sent to a user for one use in an hour: more would fill a inbox.
const MOST_SENT: u32 = 5;

/// Wrong codes of a use that are looked at in an hour, whichever code: guessing takes 10^5 hours for an even chance of a tenth.
const MOST_TRIES: u32 = 10;

/// How long a code is valid, in milliseconds: "Signing up and confirming user accounts" and "Managing user accounts" of the developer guide.
pub fn life_ms(code: CodeUse) -> u64 {
    match code {
        CodeUse::SignUp | CodeUse::Email | CodeUse::Phone => 24 * HOUR_MS,
        CodeUse::Password => HOUR_MS,
    }
}

/// A code of six digits from random bits. 2^64 is so much larger than a million that no digit is likelier than another by more than 10^-13.
pub fn digits(chance: u64) -> String {
    format!("{:06}", chance % 1_000_000)
}

/// The keyed hash of a code, which stands in the row: for one user, one use and one value. Without the key it says nothing of the code.
pub fn hash(key: &SecretKey, sub: &str, code: CodeUse, value: &str, digits: &str) -> Result<Vec<u8>, CryptoFailed> {
    let mut hash = vec![0; 32];
    // No part but the last has a zero byte, and the digits come last.
    key.expand(
        &[b"driftless user code 1:", sub.as_bytes(), b"\0", code.name().as_bytes(), b"\0", value.as_bytes(), b"\0", digits.as_bytes()],
        &mut hash,
    )?;
    Ok(hash)
}

/// The counts of an hour: those of the row, or none if its hour is over. A clock that went back begins a new hour.
fn counts(row: Option<&StoredCode>, now_ms: u64) -> (u64, u32, u32) {
    match row {
        Some(row) if now_ms.wrapping_sub(row.counted_from_ms) < HOUR_MS => (row.counted_from_ms, row.sent, row.tries),
        _ => (now_ms, 0, 0),
    }
}

/// The row of a new code; `None`: as many were sent in this hour as are sent.
pub fn sent(row: Option<&StoredCode>, code: CodeUse, proves: (&str, &str), hash: Vec<u8>, now_ms: u64) -> Option<StoredCode> {
    let (counted_from_ms, sent, tries) = counts(row, now_ms);
    let (attribute, value) = proves;
    (sent < MOST_SENT).then(|| StoredCode {
        hash,
        expires_ms: now_ms.saturating_add(life_ms(code)),
        attribute: attribute.to_owned(),
        value: value.to_owned(),
        counted_from_ms,
        sent: sent + 1,
        tries,
    })
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeTry {
    Right,
    Wrong,
    /// There is no code any more, or its time is over.
    Expired,
    /// As many were tried in this hour as are looked at.
    TooMany,
}

/// Tries a code by its hash: what came of it, and the row after it. A right code is used up.
pub fn tried(row: &StoredCode, hash: &[u8], now_ms: u64) -> (CodeTry, StoredCode) {
    let (counted_from_ms, sent, tries) = counts(Some(row), now_ms);
    let counted = StoredCode { counted_from_ms, sent, tries: tries.saturating_add(1), ..row.clone() };
    if tries >= MOST_TRIES {
        return (CodeTry::TooMany, StoredCode { tries, ..counted });
    }
    if row.hash.is_empty() || row.expires_ms <= now_ms {
        return (CodeTry::Expired, counted);
    }
    match verify_slices_are_equal(&row.hash, hash) {
        Ok(()) => (CodeTry::Right, StoredCode { hash: Vec::new(), tries, ..counted }),
        Err(_) => (CodeTry::Wrong, counted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hash: &[u8], now_ms: u64) -> StoredCode {
        sent(None, CodeUse::SignUp, ("email", "ann@example.com"), hash.to_vec(), now_ms).expect("is sent")
    }

    #[test]
    fn a_code_is_good_once_until_its_time_is_over() {
        assert_eq!((digits(7), digits(1_234_567_890)), ("000007".to_owned(), "567890".to_owned()));
        let code = row(b"right", 0);
        let (outcome, used) = tried(&code, b"right", 5);
        assert_eq!(outcome, CodeTry::Right);
        assert_eq!(tried(&used, b"right", 6).0, CodeTry::Expired, "it is used up");
        assert_eq!(tried(&used, b"", 6).0, CodeTry::Expired, "nothing is no code");
        assert_eq!(tried(&code, b"wrong", 5).0, CodeTry::Wrong);
        assert_eq!(tried(&code, b"right", life_ms(CodeUse::SignUp) - 1).0, CodeTry::Right);
        assert_eq!(tried(&code, b"right", life_ms(CodeUse::SignUp)).0, CodeTry::Expired);
    }

    #[test]
    fn ten_tries_an_hour_whichever_code_was_sent_meanwhile() {
        let mut code = row(b"right", 0);
        for _ in 0..MOST_TRIES {
            let (outcome, after) = tried(&code, b"wrong", 5);
            assert_eq!(outcome, CodeTry::Wrong);
            code = sent(Some(&after), CodeUse::SignUp, ("email", "a"), b"right".to_vec(), 5).unwrap_or(after);
        }
        assert_eq!(tried(&code, b"right", 6).0, CodeTry::TooMany);
        assert_eq!(tried(&code, b"right", HOUR_MS).0, CodeTry::Right);
    }

    #[test]
    fn five_codes_an_hour() {
        let mut code = row(b"1", 0);
        for _ in 1..MOST_SENT {
            code = sent(Some(&code), CodeUse::Password, ("email", "a"), b"2".to_vec(), 9).expect("is sent");
        }
        assert_eq!(sent(Some(&code), CodeUse::Password, ("email", "a"), b"3".to_vec(), HOUR_MS - 1), None);
        assert_eq!(sent(Some(&code), CodeUse::Password, ("email", "a"), b"3".to_vec(), HOUR_MS).map(|row| row.sent), Some(1));
    }

    #[test]
    fn a_hash_is_of_one_user_use_and_value() {
        let key = SecretKey::random().expect("a key");
        let of = |sub: &str, code, value: &str, digits: &str| hash(&key, sub, code, value, digits).expect("hashes");
        let one = of("s", CodeUse::Email, "a", "000001");
        assert_eq!(one, of("s", CodeUse::Email, "a", "000001"));
        for other in
            [of("t", CodeUse::Email, "a", "000001"), of("s", CodeUse::Phone, "a", "000001"), of("s", CodeUse::Email, "b", "000001")]
        {
            assert_ne!(one, other);
        }
    }
}
