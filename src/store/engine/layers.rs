//! The rows that stand in the journal and not yet in the tree, in memory: what is asked of the tree is answered by them first.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::tree::Tree;
use super::{Bytes, EngineError};

/// Rows to set and to delete (`None`), the newest value of each.
#[derive(Default)]
pub(super) struct Layer {
    pub rows: BTreeMap<Bytes, Option<Bytes>>,
    /// Bytes of keys and values.
    pub bytes: usize,
}

impl Layer {
    pub(super) fn set(&mut self, key: Bytes, row: Option<Bytes>) {
        let length = row.as_ref().map_or(0, Vec::len);
        let key_length = key.len();
        self.bytes += length;
        match self.rows.insert(key, row) {
            Some(old) => self.bytes -= old.map_or(0, |old| old.len()),
            None => self.bytes += key_length,
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
    pub(super) fn find(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.young.rows.get(key).or_else(|| self.old.as_ref()?.rows.get(key))
    }

    /// Rows as they are below these layers' and in them.
    pub(super) fn get(&self, tree: &dyn Tree, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let found: Vec<Option<&Option<Bytes>>> = keys.iter().map(|key| self.find(key)).collect();
        let missed: Vec<&[u8]> = keys.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(key, _)| *key).collect();
        let mut below = if missed.is_empty() { Vec::new() } else { tree.get(&missed)? }.into_iter();
        Ok(found.into_iter().map(|found| found.map_or_else(|| below.next().flatten(), Clone::clone)).collect())
    }

    /// A range of them, in order. The tree is read in stretches: how many of its rows are hidden by those above is not known before.
    pub(super) fn scan(&self, tree: &dyn Tree, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut all = Vec::new();
        let mut start = start.to_vec();
        while start.as_slice() < end && all.len() < limit {
            let wanted = limit - all.len();
            let below = tree.scan(&start, end, wanted)?;
            // Up to here the tree's rows are known: the last one that was read, or all.
            let next = match below.last() {
                Some((last, _)) if below.len() == wanted => [last.as_slice(), &[0]].concat(),
                _ => end.to_vec(),
            };
            let mut rows: BTreeMap<Bytes, Option<Bytes>> = below.into_iter().map(|(key, row)| (key, Some(row))).collect();
            let range = (Bound::Included(start.as_slice()), Bound::Excluded(next.as_slice()));
            for layer in self.old.as_deref().into_iter().chain([&self.young]) {
                rows.extend(layer.rows.range::<[u8], _>(range).map(|(key, row)| (key.clone(), row.clone())));
            }
            all.extend(rows.into_iter().filter_map(|(key, row)| Some((key, row?))).take(wanted));
            start = next;
        }
        Ok(all)
    }
}
