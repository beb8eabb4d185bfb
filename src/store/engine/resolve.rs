//! Pure: decides which batches of a commit are applied, and merges their rows.

use super::batch::{Batch, Bytes, Committed};
use super::error::EngineError;

/// The result of resolving a call of `commit`.
pub(super) struct ResolvedCommit {
    /// The outcome of each batch, in order.
    pub outcomes: Vec<Committed>,
    /// The rows to write, in the order of their keys; a row that several batches set is there once. `None` deletes.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
}

/// Decides the batches of a call, each on top of those before it. `read` returns a row as the engine has it.
pub(super) fn resolve(
    batches: Vec<Batch>,
    mut read: impl FnMut(&[u8]) -> Result<Option<Bytes>, EngineError>,
) -> Result<ResolvedCommit, EngineError> {
    let mut resolved = ResolvedCommit { outcomes: Vec::with_capacity(batches.len()), rows: Vec::new() };
    for Batch { preconditions, rows } in batches {
        let mut holds = true;
        for (key, expected) in &preconditions {
            holds &= match resolved.find(key) {
                Some(row) => row == expected,
                None => read(key)? == *expected,
            };
        }
        if holds {
            resolved.put(rows);
        }
        resolved.outcomes.push(if holds { Committed::Applied } else { Committed::Stale });
    }
    Ok(resolved)
}

impl ResolvedCommit {
    fn find(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        let at = self.rows.binary_search_by(|(other, _)| other.as_slice().cmp(key)).ok()?;
        Some(&self.rows[at].1)
    }

    /// Adds rows that replace those with the same keys. Sorting rows that are already sorted costs one pass.
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
