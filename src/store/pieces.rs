//! Large contents cut into rows that the engine takes, and put together again.
//!
//! Piece `n` stands under the content's own key with `n` behind it. The first piece begins with the number of pieces.

use super::engine::{Bytes, EngineError, ROW_BYTES};

/// Bytes of content in the first row, behind the count, and in each further row.
const PIECE_BYTES: usize = ROW_BYTES - COUNT_BYTES;
const COUNT_BYTES: usize = 2;

/// Bytes of a piece's number at the end of its key.
pub(super) const NUMBER_BYTES: usize = 2;

/// A content as it is cut, or was put together: the room in front of it is for the number of pieces, so that what fits one row is that row.
pub(super) struct Whole(Bytes);

impl Whole {
    /// An empty one, with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Whole {
        let mut row = Vec::with_capacity(COUNT_BYTES + bytes);
        row.extend_from_slice(&[0; COUNT_BYTES]);
        Whole(row)
    }

    /// What is written behind this is content.
    pub(super) fn end(&mut self) -> &mut Bytes {
        &mut self.0
    }

    /// A content by its rows, in order.
    pub(super) fn of(first: Bytes, more: impl FnMut(u16) -> Result<Bytes, EngineError>) -> Result<Whole, EngineError> {
        let (count, _) = part(&first)?;
        if count == 0 {
            return Err(EngineError::Damaged("a content of no pieces".to_owned()));
        }
        let mut whole = Whole(first);
        for row in (1..count).map(more) {
            whole.0.extend_from_slice(part(&row?)?.1);
        }
        Ok(whole)
    }
}

impl std::ops::Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[COUNT_BYTES..]
    }
}

/// How many rows a content takes.
fn count(content: &[u8]) -> u16 {
    // A content is bounded by a dataset's bytes; 65,535 pieces are 3 GiB.
    content.len().div_ceil(PIECE_BYTES).clamp(1, u16::MAX.into()) as u16
}

/// Adds the rows of a content, and says how many they are.
pub(super) fn cut(key: &[u8], content: Whole, rows: &mut Vec<(Bytes, Option<Bytes>)>) -> u16 {
    let pieces = count(&content);
    if pieces == 1 {
        let Whole(mut row) = content;
        row[..COUNT_BYTES].copy_from_slice(&pieces.to_be_bytes());
        rows.push((piece_key(key, 0), Some(row)));
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
            let (mut whole, mut rows) = (Whole::with_capacity(0), Vec::new());
            whole.end().extend_from_slice(&content);
            let pieces = cut(b"key", whole, &mut rows);
            assert_eq!(rows.len(), usize::from(pieces));
            for (at, (key, row)) in rows.iter().enumerate() {
                assert_eq!(*key, piece_key(b"key", at as u16));
                let row = row.as_ref().expect("a row");
                assert!(row.len() <= ROW_BYTES);
                assert_eq!(usize::from(part(row).expect("a part").0), rows.len());
            }
            let row = |piece: u16| rows[usize::from(piece)].1.clone().expect("a row");
            let whole = Whole::of(row(0), |piece| Ok(row(piece))).expect("is whole");
            assert_eq!(*whole, *content);
        }
    }
}
