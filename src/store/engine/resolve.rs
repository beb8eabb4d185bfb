//! Pure: which of a call's batches are applied, and what all of them come to.

use std::collections::BTreeMap;

use super::{Batch, Bytes, Committed, EngineError};

/// What a call of `commit` comes to.
pub(super) struct Resolved<'a> {
    /// Each batch's fate, in order.
    pub done: Vec<Committed>,
    /// The rows as they are to be written, in the order of their keys; a row that several batches set stands once. `None` deletes.
    pub rows: Vec<(&'a [u8], Option<&'a Bytes>)>,
}

/// Decides the batches of a call, each on top of those before it. `read` gives what stands in the engine.
pub(super) fn resolve<'a>(
    batches: &[&'a Batch],
    mut read: impl FnMut(&[u8]) -> Result<Option<Bytes>, EngineError>,
) -> Result<Resolved<'a>, EngineError> {
    let mut rows: BTreeMap<&'a [u8], Option<&'a Bytes>> = BTreeMap::new();
    let mut done = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut holds = true;
        for (key, expected) in &batch.guards {
            holds &= match rows.get(key.as_slice()) {
                Some(row) => *row == expected.as_ref(),
                None => read(key)? == *expected,
            };
        }
        if holds {
            rows.extend(batch.rows.iter().map(|(key, row)| (key.as_slice(), row.as_ref())));
        }
        done.push(if holds { Committed::Applied } else { Committed::Stale });
    }
    Ok(Resolved { done, rows: rows.into_iter().collect() })
}
