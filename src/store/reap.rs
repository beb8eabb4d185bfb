//! What is of the past goes, in small steps: tombstones that no device needs, and versions that are older than the history is kept.
//!
//! A dataset that has something to reap stands in the index of dates (`r`), once. A visit does one bounded step and gives it its next date, so
//! the reaper reads nothing of datasets that have nothing to reap, and a step is as cheap for the committer as a few writes.
//!
//! Tombstones go in the order of their versions. The horizon is the version of the last one that went: a device that has seen less gets a snapshot.

use driftless_protocol::{DatasetName, DeviceId};

use super::commit::Group;
use super::engine::{Batch, Bytes};
use super::rows::{self, AckRow, HeadRow, PointerRow, TombstoneRow};
use super::version;
use super::{Identity, RetentionPolicy, Store, StoreError, history, keys, pieces};

/// Tombstones, and versions of history, that one step takes: as many rows as a few large patches write.
const STEP: usize = 256;

/// The same where far more is kept than should be: a flood of patches at their bounds leaves no more behind in a group.
const FLOOD_STEP: usize = 16 * STEP;

/// Bytes of history that a step reads, about.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Rows of history that are read at a time.
const CHUNK: usize = 16;

/// A dataset with something that has to stay is looked at again within this time, in milliseconds: settings change, and clocks are set right.
pub(super) const REVISIT_MS: u64 = 24 * 3600 * 1000;

/// A dataset that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDataset {
    /// Since when, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Whose.
    pub identity: Identity,
    /// Which.
    pub dataset: DatasetName,
}

/// What a step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReapResult {
    /// Tombstones.
    pub tombstones: u64,
    /// Versions of history.
    pub versions: u64,
    /// Whether the horizon moved.
    pub horizon: bool,
    /// Whether the dataset has more that may go now.
    pub more: bool,
}

impl Store {
    /// Datasets that are due, the longest first: up to `limit`.
    pub fn due(&self, now_ms: u64, limit: usize) -> Result<Vec<DueDataset>, StoreError> {
        let prefix = keys::of_kind(keys::RowKind::ReapDue);
        let end = keys::reap_due_until(now_ms);
        let rows = self.engine.scan(&prefix, &end, limit)?;
        rows.iter().map(|(key, _)| due(key, &prefix)).collect()
    }
}

fn due(key: &[u8], prefix: &[u8]) -> Result<DueDataset, StoreError> {
    let mut parts = keys::KeyParts::after(key, prefix)?;
    Ok(DueDataset { at_ms: parts.version()?, identity: Identity::from(parts.name()?), dataset: parts.dataset()? })
}

/// What is left of one kind after a step.
#[derive(Default)]
struct Left {
    taken: u64,
    more: bool,
    /// When the oldest of what stays was made.
    oldest_ms: Option<u64>,
}

impl Group<'_> {
    /// One step at a dataset that is due.
    pub fn reap(&mut self, due: &DueDataset, keep: &RetentionPolicy, now_ms: u64) -> Result<ReapResult, StoreError> {
        let DueDataset { at_ms, identity, dataset } = due;
        let head_key = keys::head(identity, dataset);
        let head_row = self.view.get(&head_key)?;
        let mut batch = Batch { guards: vec![(head_key.clone(), head_row.clone())], rows: Vec::new() };
        let Some(head_row) = head_row else {
            batch.rows.push((keys::reap_due(*at_ms, identity, dataset), None));
            self.view.decide(batch);
            return Ok(ReapResult::default());
        };
        let mut head: HeadRow = rows::decode(&head_row)?;
        if head.reap_at_ms != *at_ms {
            // The date was moved after it was read.
            batch.rows.push((keys::reap_due(*at_ms, identity, dataset), None));
            self.view.decide(batch);
            return Ok(ReapResult::default());
        }
        let horizon = head.tombstone_horizon;
        let tombstones = self.reap_tombstones(due, &mut head, keep, now_ms, &mut batch)?;
        let versions = self.reap_history(due, &mut head, keep, now_ms, &mut batch)?;
        let more = tombstones.more || versions.more;
        let next_ms = if more { Some(*at_ms) } else { next_visit(&tombstones, &versions, keep, now_ms) };
        version::move_due(identity, dataset, &mut head, next_ms.unwrap_or(0), &mut batch.rows);
        batch.rows.push((head_key, Some(rows::encode(&head)?)));
        self.view.decide(batch);
        Ok(ReapResult { tombstones: tombstones.taken, versions: versions.taken, horizon: head.tombstone_horizon > horizon, more })
    }

    fn reap_tombstones(
        &self,
        due: &DueDataset,
        head: &mut HeadRow,
        keep: &RetentionPolicy,
        now_ms: u64,
        batch: &mut Batch,
    ) -> Result<Left, StoreError> {
        let DueDataset { identity, dataset, .. } = due;
        if head.tombstones == 0 {
            return Ok(Left::default());
        }
        let prefix = keys::of_dataset(keys::RowKind::Tombstone, identity, dataset);
        let over = head.tombstones.saturating_sub(keep.tombstones);
        let step = if over > STEP as u64 { FLOOD_STEP } else { STEP };
        let rows = self.view.scan_some(&prefix, &keys::prefix_end(&prefix), step + 1)?;
        let needed = self.oldest_needed(identity, dataset)?;
        let mut gone = Vec::with_capacity(rows.len());
        for (key, row) in &rows {
            let version = keys::KeyParts::after(key, &prefix)?.version()?;
            let row: TombstoneRow = rows::decode(row)?;
            gone.push((key, version, row));
        }
        // A tombstone is at least as old as any later one, whatever the clock said when it was made.
        let may_go = |(at, (_, version, row)): (usize, &(&Bytes, u64, TombstoneRow))| {
            let age_ms = now_ms.saturating_sub(row.at_ms);
            let unneeded = needed.is_some_and(|needed| *version <= needed) && age_ms >= keep.least_ms();
            (at as u64) < over || age_ms >= keep.tombstone_ms || unneeded
        };
        let end = gone.iter().enumerate().filter(|one| may_go(*one)).map(|(at, _)| at + 1).max().unwrap_or(0).min(step);
        for (key, version, row) in &gone[..end] {
            let key_row = keys::pointer(identity, dataset, &row.key);
            let pointer = self.view.get(&key_row)?.ok_or_else(|| StoreError::Damaged("a tombstone without its record".to_owned()))?;
            let pointer: PointerRow = rows::decode(&pointer)?;
            version::forget(identity, dataset, pointer, &mut batch.rows);
            batch.rows.push((key_row, None));
            batch.rows.push(((*key).clone(), None));
            head.tombstone_horizon = head.tombstone_horizon.max(*version);
        }
        head.tombstones = head.tombstones.saturating_sub(end as u64);
        // A stamp from the future would keep its tombstone until then.
        let future = |row: &TombstoneRow| row.at_ms > now_ms;
        for (key, _, row) in gone[end..].iter().take_while(|(_, _, row)| future(row)) {
            let row = TombstoneRow { key: row.key.clone(), at_ms: now_ms };
            batch.rows.push(((*key).clone(), Some(rows::encode(&row)?)));
        }
        let oldest_ms = gone.get(end).map(|(_, _, row)| row.at_ms.min(now_ms));
        Ok(Left { taken: end as u64, more: end == step && gone.len() > end, oldest_ms })
    }

    /// The version that every device which acknowledged anything of the dataset has acknowledged; `None`: no device has, so it is not known
    /// what they need.
    fn oldest_needed(&self, identity: &Identity, dataset: &DatasetName) -> Result<Option<u64>, StoreError> {
        let prefix = keys::devices(identity);
        let mut oldest = None;
        for (key, _) in self.view.scan(&prefix)? {
            let device = DeviceId::new(keys::KeyParts::after(&key, &prefix)?.name()?);
            let device = device.map_err(|_| StoreError::Damaged("a device's id".to_owned()))?;
            if let Some(row) = self.view.get(&keys::ack(identity, &device, dataset))? {
                let AckRow { version } = rows::decode(&row)?;
                oldest = Some(oldest.map_or(version, |oldest: u64| oldest.min(version)));
            }
        }
        Ok(oldest)
    }

    fn reap_history(
        &self,
        due: &DueDataset,
        head: &mut HeadRow,
        keep: &RetentionPolicy,
        now_ms: u64,
        batch: &mut Batch,
    ) -> Result<Left, StoreError> {
        let DueDataset { identity, dataset, .. } = due;
        if head.history_bytes == 0 {
            return Ok(Left::default());
        }
        let prefix = keys::of_dataset(keys::RowKind::History, identity, dataset);
        let end = keys::prefix_end(&prefix);
        let kept_from = if keep.has_history() { head.version.saturating_sub(keep.history_versions) + 1 } else { head.version + 1 };
        let step = if kept_from.saturating_sub(head.oldest_version) > STEP as u64 { FLOOD_STEP } else { STEP };
        let (mut left, mut start, mut bytes) = (Left::default(), prefix.clone(), 0);
        loop {
            let rows = self.view.scan_some(&start, &end, CHUNK)?;
            for (key, row) in &rows {
                let version = keys::KeyParts::after(key, &prefix)?.version()?;
                let (_, part) = pieces::part(row)?;
                // A version's first piece says when it was made; the others go with it, in the same step.
                if pieces::is_first(key) {
                    let at_ms = history::date(part)?;
                    let is_old = now_ms.saturating_sub(at_ms) >= keep.history_ms;
                    if version > head.oldest_version && version >= kept_from && !is_old && head.history_bytes <= keep.history_bytes {
                        left.oldest_ms = Some(at_ms.min(now_ms));
                        return Ok(left);
                    }
                    if left.taken >= step as u64 || bytes >= STEP_BYTES {
                        left.more = true;
                        return Ok(left);
                    }
                    left.taken += 1;
                }
                bytes += part.len();
                head.history_bytes = head.history_bytes.saturating_sub(part.len() as u64);
                head.oldest_version = head.oldest_version.max(version);
                batch.rows.push((key.clone(), None));
            }
            match rows.last() {
                Some((key, _)) if rows.len() == CHUNK => start = [key.as_slice(), &[0]].concat(),
                _ => {
                    head.history_bytes = 0;
                    return Ok(left);
                }
            }
        }
    }

    /// A dataset that cannot be reaped waits for another day, so that others behind it do not.
    pub fn postpone(&mut self, due: &DueDataset, now_ms: u64) -> Result<(), StoreError> {
        let DueDataset { at_ms, identity, dataset } = due;
        let (head_key, again_ms) = (keys::head(identity, dataset), now_ms.saturating_add(REVISIT_MS));
        let mut batch = Batch::default();
        match self.view.get(&head_key).and_then(|row| row.as_deref().map(rows::decode::<HeadRow>).transpose()) {
            Ok(Some(mut head)) if head.reap_at_ms == *at_ms => {
                version::move_due(identity, dataset, &mut head, again_ms, &mut batch.rows);
                batch.rows.push((head_key, Some(rows::encode(&head)?)));
            }
            // There is none, or its date was moved.
            Ok(_) => batch.rows.push((keys::reap_due(*at_ms, identity, dataset), None)),
            Err(_) => {
                batch.rows.push((keys::reap_due(*at_ms, identity, dataset), None));
                batch.rows.push((keys::reap_due(again_ms, identity, dataset), Some(Vec::new())));
            }
        }
        self.view.decide(batch);
        Ok(())
    }
}

/// When to look again; `None` if nothing is left.
fn next_visit(tombstones: &Left, versions: &Left, keep: &RetentionPolicy, now_ms: u64) -> Option<u64> {
    let gone = tombstones.oldest_ms.map(|oldest_ms| {
        let again_ms = now_ms + now_ms.saturating_sub(oldest_ms).clamp(keep.least_ms(), REVISIT_MS);
        again_ms.min(oldest_ms.saturating_add(keep.tombstone_ms).max(now_ms + 1))
    });
    let history = versions.oldest_ms.map(|oldest_ms| oldest_ms.saturating_add(keep.history_ms).clamp(now_ms + 1, now_ms + REVISIT_MS));
    gone.into_iter().chain(history).min()
}
