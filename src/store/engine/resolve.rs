//! Pure: which of a call's batches are applied, and what all of them come to.

use super::{Batch, Bytes, Committed, EngineError};

/// What a call of `commit` comes to.
pub(super) struct Resolved {
    /// Each batch's fate, in order.
    pub done: Vec<Committed>,
    /// The rows as they are to be written, in the order of their keys; a row that several batches set stands once. `None` deletes.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
}

/// Decides the batches of a call, each on top of those before it. `read` gives what stands in the engine.
pub(super) fn resolve(
    batches: Vec<Batch>,
    mut read: impl FnMut(&[u8]) -> Result<Option<Bytes>, EngineError>,
) -> Result<Resolved, EngineError> {
    let mut resolved = Resolved { done: Vec::with_capacity(batches.len()), rows: Vec::new() };
    for Batch { guards, rows } in batches {
        let mut holds = true;
        for (key, expected) in &guards {
            holds &= match resolved.find(key) {
                Some(row) => row == expected,
                None => read(key)? == *expected,
            };
        }
        if holds {
            resolved.put(rows);
        }
        resolved.done.push(if holds { Committed::Applied } else { Committed::Stale });
    }
    Ok(resolved)
}

impl Resolved {
    fn find(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        let at = self.rows.binary_search_by(|(other, _)| other.as_slice().cmp(key)).ok()?;
        Some(&self.rows[at].1)
    }

    /// Adds rows over those that are there. What is sorted already costs one pass.
    fn put(&mut self, rows: Vec<(Bytes, Option<Bytes>)>) {
        self.rows.extend(rows);
        self.rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.rows.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
    }
}
