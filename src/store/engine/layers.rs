//! The rows that stand in the journal and not yet in the tree, in memory: what is asked of the tree is answered by them first.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::tree::Tree;
use super::{Bytes, EngineError};

/// Rows of a further stretch of the tree, at least.
const STRETCH: usize = 64;

/// Bytes that a row takes in memory beside its key and value: their allocations and its place in the map.
const ROW_OVERHEAD: usize = 100;

/// Rows to set and to delete (`None`), the newest value of each.
#[derive(Default)]
pub(super) struct Layer {
    pub rows: BTreeMap<Bytes, Option<Bytes>>,
    /// Bytes of keys and values with the room that they have, and of what keeping them takes.
    pub bytes: usize,
}

impl Layer {
    pub(super) fn set(&mut self, key: Bytes, row: Option<Bytes>) {
        let key_bytes = key.capacity();
        self.bytes += row.as_ref().map_or(0, Vec::capacity);
        match self.rows.insert(key, row) {
            Some(old) => self.bytes -= old.map_or(0, |old| old.capacity()),
            None => self.bytes += key_bytes + ROW_OVERHEAD,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// All rows above the tree.
#[derive(Default)]
pub(super) struct Layers {
    /// What is being committed now.
    pub young: Layer,
    /// What is on its way into the tree, and stands above it until all of it is there.
    pub old: Option<Arc<Layer>>,
}

impl Layers {
    /// What the layers say of a row: `None`, if the tree has to be asked.
    fn find(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.young.rows.get(key).or_else(|| self.old.as_ref()?.rows.get(key))
    }

    /// A row as it is in these layers, or below them.
    pub(super) fn get(&self, tree: &dyn Tree, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.find(key).map_or_else(|| tree.get(key), |row| Ok(row.clone()))
    }

    /// A range of them, in order, up to a limit: of each key the topmost row. The tree is read in stretches, as many of its rows may be hidden.
    pub(super) fn scan(&self, tree: &dyn Tree, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut all = Vec::new();
        if start >= end {
            return Ok(all);
        }
        let range = (Bound::Included(start), Bound::Excluded(end));
        let mut young = self.young.rows.range::<[u8], _>(range).peekable();
        let mut old = self.old.iter().flat_map(|old| old.rows.range::<[u8], _>(range)).peekable();
        let mut below = Vec::new().into_iter().peekable();
        let (mut from, mut least) = (Some(start.to_vec()), 0);
        while all.len() < limit {
            if below.peek().is_none()
                && let Some(start) = from.take()
            {
                // The first stretch may be all that there is to it; after that many of its rows can be hidden.
                let wanted = (limit - all.len()).max(least);
                least = STRETCH;
                let stretch = tree.scan(&start, end, wanted)?;
                from = stretch.last().filter(|_| stretch.len() == wanted).map(|(last, _)| [last.as_slice(), &[0]].concat());
                below = stretch.into_iter().peekable();
            }
            let keys = [young.peek().map(|(key, _)| *key), old.peek().map(|(key, _)| *key), below.peek().map(|(key, _)| key)];
            let Some(next) = keys.into_iter().flatten().min() else { break };
            let [is_young, is_old, is_below] = keys.map(|key| key == Some(next));
            let found = is_below.then(|| below.next()).flatten();
            let hidden = is_old.then(|| old.next()).flatten();
            let top = is_young.then(|| young.next()).flatten().or(hidden);
            all.extend(match top {
                Some((key, row)) => row.as_ref().map(|row| (key.clone(), row.clone())),
                None => found,
            });
        }
        Ok(all)
    }
}
