//! How a row stands on disk: a format byte, a CRC-32 of key and payload, the payload.

use super::{Bytes, EngineError, ROW_BYTES};

/// The format that this version writes.
const FORMAT: u8 = 1;

/// Bytes before the payload.
const HEAD: usize = 5;

/// A payload as it is written.
pub(super) fn seal(key: &[u8], payload: &[u8]) -> Result<Bytes, EngineError> {
    if payload.len() > ROW_BYTES {
        return Err(EngineError::Io(format!("a row of {} bytes is over the engine's {ROW_BYTES}", payload.len())));
    }
    let mut row = Vec::with_capacity(HEAD + payload.len());
    row.push(FORMAT);
    row.extend_from_slice(&checksum(key, payload).to_be_bytes());
    row.extend_from_slice(payload);
    Ok(row)
}

/// The payload of a row as it was read.
pub(super) fn open(key: &[u8], row: &[u8]) -> Result<Bytes, EngineError> {
    let damaged = |what: &str| EngineError::Damaged(format!("{what} in row {}", key.escape_ascii()));
    let (head, payload) = row.split_at_checked(HEAD).ok_or_else(|| damaged("a short frame"))?;
    if head[0] != FORMAT {
        return Err(damaged("an unknown format"));
    }
    if head[1..] != checksum(key, payload).to_be_bytes() {
        return Err(damaged("a wrong checksum"));
    }
    Ok(payload.to_vec())
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_noticed() {
        let row = seal(b"key", b"payload").expect("small");
        assert_eq!(open(b"key", &row).expect("whole"), b"payload");
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(b"key", &flipped).is_err(), "bit {bit}");
        }
        assert!(open(b"other", &row).is_err(), "a row in another's place");
        assert!(open(b"key", &row[..4]).is_err(), "a cut row");
        assert!(seal(b"key", &vec![0; ROW_BYTES + 1]).is_err());
    }
}
