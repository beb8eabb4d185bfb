//! Where rows are read from: the engine, or a group's view of it. Whatever is read in both ways is written once, over this trait.

use serde::de::DeserializeOwned;

use super::engine::{Bytes, Engine, EngineError};
use super::pieces::{self, RowContent};
use super::{keys, rows};

/// Rows that are read at a time where the number of their bytes is bounded: of the largest ones these are 1.5 MiB.
const CHUNK_ROWS: usize = 32;

pub(super) trait RowSource {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Up to `limit` rows from `start` on, below `end`, in order.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// A row as what it says.
    fn row<R: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<R>, EngineError> {
        self.get(key)?.map(|row| rows::decode(&row)).transpose()
    }

    /// All rows under a prefix, in order. Only for rows of one owner whose number is small and bounded.
    fn all_of(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.some_of(prefix, usize::MAX)
    }

    /// The first rows under a prefix.
    fn some_of(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.scan(prefix, &keys::prefix_end(prefix), limit)
    }

    /// The first rows under a prefix: at most so many, and no more once they have so many bytes.
    fn first_of(&self, prefix: &[u8], rows: usize, bytes: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let end = keys::prefix_end(prefix);
        let (mut found, mut found_bytes, mut start) = (Vec::new(), 0, prefix.to_vec());
        while found.len() < rows && found_bytes < bytes {
            let wanted = CHUNK_ROWS.min(rows - found.len());
            let chunk = self.scan(&start, &end, wanted)?;
            let is_last = chunk.len() < wanted;
            found_bytes += chunk.iter().map(|(key, row)| key.len() + row.len()).sum::<usize>();
            found.extend(chunk);
            match found.last() {
                Some((last, _)) if !is_last => start = [last.as_slice(), &[0]].concat(),
                _ => break,
            }
        }
        Ok(found)
    }

    /// A content that may be cut into pieces.
    fn content(&self, key: &[u8]) -> Result<Option<RowContent>, EngineError> {
        let Some(first) = self.get(&pieces::piece_key(key, 0))? else { return Ok(None) };
        let more = |piece| self.get(&pieces::piece_key(key, piece))?.ok_or_else(|| EngineError::Damaged("a missing piece".to_owned()));
        RowContent::join(first, more).map(Some)
    }
}

impl RowSource for dyn Engine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Engine::get(self, key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        Engine::scan(self, start, end, limit)
    }
}
