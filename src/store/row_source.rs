//! Where rows are read from: the engine, or a group's view of it. Whatever is read in both ways is written once, over this trait.

use serde::de::DeserializeOwned;

use super::engine::{Bytes, Engine, EngineError};
use super::pieces::{self, RowContent};
use super::{keys, rows};

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
