//! The encoding of a row on disk: a format byte, a CRC-32 of key and payload, the payload.

use super::batch::{Bytes, ROW_BYTES};
use super::error::EngineError;

/// The frame's format.
const FORMAT: u8 = 1;

/// Bytes before the payload.
const HEADER_BYTES: usize = 5;

/// Frames a payload for writing.
pub(super) fn encode(key: &[u8], payload: &[u8]) -> Result<Bytes, EngineError> {
    if payload.len() > ROW_BYTES {
        return Err(EngineError::Io(format!("a row of {} bytes is over the engine's {ROW_BYTES}", payload.len())));
    }
    let mut row = Vec::with_capacity(HEADER_BYTES + payload.len());
    row.push(FORMAT);
    row.extend_from_slice(&checksum(key, payload).to_be_bytes());
    row.extend_from_slice(payload);
    Ok(row)
}

/// Checks the frame of a row that was read and returns its payload.
pub(super) fn decode(key: &[u8], row: &[u8]) -> Result<Bytes, EngineError> {
    let damaged = |what: &str| EngineError::Damaged(format!("{what} in row {}", key.escape_ascii()));
    let (header, payload) = row.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("a short frame"))?;
    if header[0] != FORMAT {
        return Err(damaged("an unknown format"));
    }
    if header[1..] != checksum(key, payload).to_be_bytes() {
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
    fn any_flipped_bit_is_detected() {
        let row = encode(b"key", b"payload").expect("small");
        assert_eq!(decode(b"key", &row).expect("whole"), b"payload");
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(b"key", &flipped).is_err(), "bit {bit}");
        }
        assert!(decode(b"other", &row).is_err(), "a row under another key");
        assert!(decode(b"key", &row[..4]).is_err(), "a cut row");
        assert!(encode(b"key", &vec![0; ROW_BYTES + 1]).is_err());
    }
}
