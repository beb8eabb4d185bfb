//! Large contents, cut into rows that the engine takes and joined again.
//!
//! Piece `n` stands under the content's own key with `n` behind it. Each piece begins with the number of pieces.

use super::engine::{Bytes, EngineError, ROW_BYTES};

/// Bytes of content in each row, behind the count.
const PIECE_BYTES: usize = ROW_BYTES - COUNT_BYTES;
const COUNT_BYTES: usize = 2;

/// Bytes of a piece's number at the end of its key.
pub(super) const NUMBER_BYTES: usize = 2;

/// A content before it is cut, or after it was joined. In front of it is space for the number of pieces, so that a content that fits one row
/// becomes that row without a copy.
pub(super) struct RowContent(Bytes);

impl RowContent {
    /// An empty content, with space reserved for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> RowContent {
        let mut row = Vec::with_capacity(COUNT_BYTES + bytes);
        row.extend_from_slice(&[0; COUNT_BYTES]);
        RowContent(row)
    }

    /// The buffer to append the content to. The bytes in it already must stay.
    pub(super) fn buffer(&mut self) -> &mut Bytes {
        &mut self.0
    }

    /// Joins a content from its first row; `more` reads the further ones by their number, in order.
    pub(super) fn join(first: Bytes, more: impl FnMut(u16) -> Result<Bytes, EngineError>) -> Result<RowContent, EngineError> {
        let (count, _) = part(&first)?;
        if count == 0 {
            return Err(EngineError::Damaged("a content of no pieces".to_owned()));
        }
        let mut content = RowContent(first);
        for row in (1..count).map(more) {
            content.0.extend_from_slice(part(&row?)?.1);
        }
        Ok(content)
    }
}

impl std::ops::Deref for RowContent {
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

/// Adds the rows of a content, and returns their number.
pub(super) fn cut(key: &[u8], content: RowContent, rows: &mut Vec<(Bytes, Option<Bytes>)>) -> u16 {
    let pieces = count(&content);
    if pieces == 1 {
        let RowContent(mut row) = content;
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

pub(super) fn piece_key(key: &[u8], piece: u16) -> Bytes {
    let mut row = Vec::with_capacity(key.len() + NUMBER_BYTES);
    row.extend_from_slice(key);
    row.extend_from_slice(&piece.to_be_bytes());
    row
}

/// Whether a key is that of the first piece of a content.
pub(super) fn is_first(key: &[u8]) -> bool {
    key.ends_with(&[0; NUMBER_BYTES])
}

/// Splits a row into the number of pieces of its content, and its part of the content.
pub(super) fn part(row: &[u8]) -> Result<(u16, &[u8]), EngineError> {
    let (count, part) = row.split_first_chunk().ok_or_else(|| EngineError::Damaged("an empty piece".to_owned()))?;
    Ok((u16::from_be_bytes(*count), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_that_was_cut_is_joined_again() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7] {
            let bytes: Bytes = (0..length).map(|n| (n % 251) as u8).collect();
            let (mut content, mut rows) = (RowContent::with_capacity(0), Vec::new());
            content.buffer().extend_from_slice(&bytes);
            let pieces = cut(b"key", content, &mut rows);
            assert_eq!(rows.len(), usize::from(pieces));
            for (at, (key, row)) in rows.iter().enumerate() {
                assert_eq!(*key, piece_key(b"key", at as u16));
                let row = row.as_ref().expect("a row");
                assert!(row.len() <= ROW_BYTES);
                assert_eq!(usize::from(part(row).expect("a part").0), rows.len());
            }
            let row = |piece: u16| rows[usize::from(piece)].1.clone().expect("a row");
            let joined = RowContent::join(row(0), |piece| Ok(row(piece))).expect("is complete");
            assert_eq!(*joined, *bytes);
        }
    }
}
