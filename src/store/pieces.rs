//! Large contents cut into rows that the engine takes, and put together again.
//!
//! Piece `n` stands under the content's own key with `n` behind it. The first piece begins with the number of pieces.

use super::engine::{Bytes, EngineError, ROW_BYTES};

/// Bytes of content in the first row, behind the count, and in each further row.
const PIECE_BYTES: usize = ROW_BYTES - COUNT_BYTES;
const COUNT_BYTES: usize = 2;

/// Bytes of a piece's number at the end of its key.
pub(super) const NUMBER_BYTES: usize = 2;

/// How many rows a content takes.
fn count(content: &[u8]) -> u16 {
    // A content is bounded by a dataset's bytes; 65,535 pieces are 3 GiB.
    content.len().div_ceil(PIECE_BYTES).clamp(1, u16::MAX.into()) as u16
}

/// Adds the rows of a content, and says how many they are.
pub(super) fn cut(key: &[u8], mut content: Bytes, rows: &mut Vec<(Bytes, Option<Bytes>)>) -> u16 {
    let pieces = count(&content);
    if pieces == 1 {
        content.splice(..0, pieces.to_be_bytes());
        rows.push((piece_key(key, 0), Some(content)));
        return pieces;
    }
    for (piece, part) in (0..pieces).zip(content.chunks(PIECE_BYTES)) {
        let mut row = Vec::with_capacity(COUNT_BYTES + part.len());
        row.extend_from_slice(&pieces.to_be_bytes());
        row.extend_from_slice(part);
        rows.push((piece_key(key, piece), Some(row)));
    }
    pieces
}

/// The key of one piece.
pub(super) fn piece_key(key: &[u8], piece: u16) -> Bytes {
    let mut row = Vec::with_capacity(key.len() + 2);
    row.extend_from_slice(key);
    row.extend_from_slice(&piece.to_be_bytes());
    row
}

/// Whether a row is the first piece of its content.
pub(super) fn is_first(key: &[u8]) -> bool {
    key.ends_with(&[0; NUMBER_BYTES])
}

/// A row as the number of pieces of its content, and its part.
pub(super) fn part(row: &[u8]) -> Result<(u16, &[u8]), EngineError> {
    let (count, part) = row.split_first_chunk().ok_or_else(|| EngineError::Damaged("an empty piece".to_owned()))?;
    Ok((u16::from_be_bytes(*count), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_is_put_together_again() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7] {
            let content: Bytes = (0..length).map(|n| (n % 251) as u8).collect();
            let mut rows = Vec::new();
            let pieces = cut(b"key", content.clone(), &mut rows);
            assert_eq!(rows.len(), usize::from(pieces));
            let mut whole = Vec::new();
            for (at, (key, row)) in rows.iter().enumerate() {
                assert_eq!(*key, piece_key(b"key", at as u16));
                let row = row.as_ref().expect("a row");
                assert!(row.len() <= ROW_BYTES);
                let (count, part) = part(row).expect("a part");
                assert_eq!(usize::from(count), rows.len());
                whole.extend_from_slice(part);
            }
            assert_eq!(whole, content);
        }
    }
}
