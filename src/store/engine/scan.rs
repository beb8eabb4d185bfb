//! A range of rows, merged from both memtables and the tree, in the state of one moment.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::batch::Bytes;
use super::error::EngineError;
use super::memtable::{Chunk, RowValue};
use super::memtables::{Memtables, Snapshot};
use super::tree::Tree;

/// The fewest rows that a scan reads of the tree after its first read.
const MIN_CHUNK_ROWS: usize = 64;

/// Up to `limit` rows of a range, in order; the newest value of each key wins. The tree is read in chunks, because the memtables may hide
/// many of its rows.
pub(super) fn scan(
    memtables: &Memtables,
    tree: &dyn Tree,
    start: &[u8],
    end: &[u8],
    limit: usize,
) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
    let mut all = Vec::new();
    if start >= end {
        return Ok(all);
    }
    let (first, snapshot) = memtables.snapshot(start, end, limit);
    let mut active = ActiveRows::new(first);
    let mut immutable = snapshot.immutable.iter().flat_map(|memtable| memtable.rows.range(start, end)).peekable();
    let mut below = Vec::new().into_iter().peekable();
    let (mut from, mut least) = (Some(start.to_vec()), 0);
    while all.len() < limit {
        if below.peek().is_none()
            && let Some(start) = from.take()
        {
            // The first chunk is as small as the limit allows: often no row of it is hidden, and no other chunk is read.
            let wanted = (limit - all.len()).max(least);
            least = MIN_CHUNK_ROWS;
            let chunk = tree.scan(&start, end, wanted)?;
            from = chunk.last().filter(|_| chunk.len() == wanted).map(|(last, _)| [last.as_slice(), &[0]].concat());
            below = chunk.into_iter().peekable();
        }
        active.fill(memtables, &snapshot, end, limit - all.len());
        let keys = [active.rows.peek().map(|(key, _)| key), immutable.peek().map(|(key, _)| key), below.peek().map(|(key, _)| key)];
        let Some(next) = keys.into_iter().flatten().min() else { break };
        let [in_active, in_immutable, in_tree] = keys.map(|key| key == Some(next));
        let found = in_tree.then(|| below.next()).flatten();
        let hidden = in_immutable.then(|| immutable.next()).flatten();
        all.extend(match (in_active.then(|| active.rows.next()).flatten(), hidden) {
            (Some((key, row)), _) => row.map(|row| (key, row)),
            (None, Some((key, row))) => row.map(|row| (key, row.to_vec())),
            (None, None) => found,
        });
    }
    Ok(all)
}

/// The rows of the memtable that was active when the scan began.
struct ActiveRows {
    rows: Peekable<IntoIter<(Bytes, RowValue)>>,
    /// Where the next chunk begins, if there is one.
    next: Option<Bytes>,
}

impl ActiveRows {
    fn new(Chunk { rows, next }: Chunk) -> ActiveRows {
        ActiveRows { rows: rows.into_iter().peekable(), next }
    }

    /// Reads another chunk if the last one is used up.
    fn fill(&mut self, memtables: &Memtables, snapshot: &Snapshot, end: &[u8], wanted: usize) {
        while self.rows.peek().is_none()
            && let Some(start) = self.next.take()
        {
            *self = ActiveRows::new(memtables.next_chunk(snapshot, &start, end, wanted));
        }
    }
}
