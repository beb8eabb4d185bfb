//! Reaps in small steps: deletes tombstones that no device needs, and history that is older or larger than it is kept.
//!
//! A dataset that has something to reap stands once in the index of due dates (`r`). A visit takes one bounded step and sets the dataset's next
//! date. So the reaper reads nothing of datasets that have nothing to reap, and a step costs the committer as much as a few writes.
//!
//! Tombstones go in the order of their versions. The horizon is the version of the newest deleted tombstone: a device that has seen less
//! gets a snapshot.

use driftless_protocol::DatasetName;

use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::retention::REVISIT_MS;
use super::rewind::RewindRow;
use super::row_source::RowSource;
use super::rows::{self, AckRow, HeadRow, PointerRow, TombstoneRow};
use super::{Identity, RetentionPolicy, Store, StoreError, history_row, keys, pieces, version};

/// Tombstones, and versions of history, that one step deletes: as many rows as a few large patches write.
const STEP: usize = 256;

/// The limit of a step for a dataset far beyond its bound: a step then deletes at least as many of them as a flood of patches at their
/// bounds adds in one group.
const FLOOD_STEP: usize = 16 * STEP;

/// About how many bytes of history a step reads.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Rows of history that are read at a time.
const CHUNK: usize = 16;

/// A dataset that the reaper has to visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDataset {
    /// Since when it is due, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    pub identity: Identity,
    pub dataset: DatasetName,
}

/// How much one step deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReapResult {
    pub tombstones: u64,
    /// Versions of history.
    pub versions: u64,
    pub has_moved_horizon: bool,
    /// Whether more of the dataset can be deleted now.
    pub has_more: bool,
}

impl Store {
    /// Up to `limit` datasets that are due, those that have been due the longest first.
    pub fn due_datasets(&self, now_ms: u64, limit: usize) -> Result<Vec<DueDataset>, StoreError> {
        let prefix = keys::of_kind(keys::RowKind::ReapDue);
        let end = keys::reap_due_until(now_ms);
        let rows = self.engine.scan(&prefix, &end, limit)?;
        rows.iter().map(|(key, _)| due_dataset(key, &prefix)).collect()
    }
}

fn due_dataset(key: &[u8], prefix: &[u8]) -> Result<DueDataset, StoreError> {
    let mut parts = keys::KeyParts::after(key, prefix)?;
    Ok(DueDataset { at_ms: parts.version()?, identity: Identity::from(parts.name()?), dataset: parts.dataset()? })
}

/// How much a step deleted of tombstones or of history, and what remains.
#[derive(Default)]
struct Remaining {
    deleted: u64,
    has_more: bool,
    /// When the oldest one that remains was made, in milliseconds since 1970.
    oldest_ms: Option<u64>,
}

/// A tombstone as it is read.
struct Tombstone<'a> {
    key: &'a Bytes,
    version: u64,
    row: TombstoneRow,
}

/// One step at one dataset, while its rows are collected.
struct ReapStep<'a> {
    due: &'a DueDataset,
    retention: &'a RetentionPolicy,
    now_ms: u64,
    head: HeadRow,
    batch: RowBatch,
}

impl Group<'_> {
    /// Takes one step at a dataset that is due.
    pub fn reap(&mut self, due: &DueDataset, retention: &RetentionPolicy, now_ms: u64) -> Result<ReapResult, StoreError> {
        let DueDataset { at_ms, identity, dataset } = due;
        let head_key = keys::head(identity, dataset);
        let mut batch = RowBatch::new();
        let head: Option<HeadRow> = self.view.row(&head_key)?;
        // The dataset may be gone, or its date was moved after it was read.
        let Some(head) = head.filter(|head| head.reap_at_ms == *at_ms) else {
            batch.push((keys::reap_due(*at_ms, identity, dataset), None));
            self.view.decide(batch);
            return Ok(ReapResult::default());
        };
        let horizon = head.tombstone_horizon;
        let mut step = ReapStep { due, retention, now_ms, head, batch };
        let tombstones = self.reap_tombstones(&mut step)?;
        let versions = self.reap_history(&mut step)?;
        let ReapStep { mut head, mut batch, .. } = step;
        let has_more = tombstones.has_more || versions.has_more;
        let forgotten_at_ms = head.forgotten_at_ms(retention);
        if forgotten_at_ms.is_some_and(|forgotten_at_ms| forgotten_at_ms <= now_ms) {
            // The rest of the step's rows are deletions, too.
            self.view.decide(batch);
            self.forget_dataset(due, &head)?;
            let has_moved_horizon = head.tombstone_horizon > horizon;
            return Ok(ReapResult { tombstones: tombstones.deleted, versions: versions.deleted, has_moved_horizon, has_more: false });
        }
        let next_ms = if has_more { Some(*at_ms) } else { next_visit_ms(&tombstones, &versions, retention, now_ms).or(forgotten_at_ms) };
        version::move_due(identity, dataset, &mut head, next_ms.unwrap_or(0), &mut batch);
        self.count_owned(identity, &mut head, &mut batch)?;
        batch.push((head_key, Some(rows::encode(&head)?)));
        self.view.decide(batch);
        let has_moved_horizon = head.tombstone_horizon > horizon;
        Ok(ReapResult { tombstones: tombstones.deleted, versions: versions.deleted, has_moved_horizon, has_more })
    }

    fn reap_tombstones(&self, step: &mut ReapStep<'_>) -> Result<Remaining, StoreError> {
        let DueDataset { identity, dataset, .. } = step.due;
        if step.head.tombstones == 0 {
            return Ok(Remaining::default());
        }
        let prefix = keys::of_dataset(keys::RowKind::Tombstone, identity, dataset);
        let excess = step.head.tombstones.saturating_sub(step.retention.tombstones);
        let limit = if excess > STEP as u64 { FLOOD_STEP } else { STEP };
        let rows = self.view.some_of(&prefix, limit + 1)?;
        let acknowledged = self.oldest_acknowledged(identity, dataset)?;
        let mut tombstones = Vec::with_capacity(rows.len());
        for (key, row) in &rows {
            let version = keys::KeyParts::after(key, &prefix)?.version()?;
            let row: TombstoneRow = rows::decode(row)?;
            tombstones.push(Tombstone { key, version, row });
        }
        // Tombstones are in the order of their versions, so each is at least as old as any later one, even if the clock was wrong when it was
        // written. All tombstones before the last deletable one are deleted with it.
        let is_deletable = |(at, tombstone): (usize, &Tombstone<'_>)| {
            (at as u64) < excess || step.retention.may_delete(tombstone, acknowledged, step.now_ms)
        };
        let end = tombstones.iter().enumerate().filter(|one| is_deletable(*one)).map(|(at, _)| at + 1).max().unwrap_or(0).min(limit);
        self.delete_tombstones(step, &tombstones[..end])?;
        step.clamp_future_dates(&tombstones[end..])?;
        let oldest_ms = tombstones.get(end).map(|tombstone| tombstone.row.at_ms.min(step.now_ms));
        Ok(Remaining { deleted: end as u64, has_more: end == limit && tombstones.len() > end, oldest_ms })
    }

    fn delete_tombstones(&self, step: &mut ReapStep<'_>, tombstones: &[Tombstone<'_>]) -> Result<(), StoreError> {
        let DueDataset { identity, dataset, .. } = step.due;
        for Tombstone { key, version, row } in tombstones {
            let key_row = keys::pointer(identity, dataset, &row.key);
            let pointer: Option<PointerRow> = self.view.row(&key_row)?;
            let pointer = pointer.ok_or_else(|| StoreError::Damaged("a tombstone without its record".to_owned()))?;
            version::delete_record(identity, dataset, &pointer, &mut step.batch);
            step.batch.push((key_row, None));
            step.batch.push(((*key).clone(), None));
            step.head.tombstone_horizon = step.head.tombstone_horizon.max(*version);
            step.head.tombstone_bytes = step.head.tombstone_bytes.saturating_sub(row.key.as_str().len() as u64);
        }
        step.head.tombstones = step.head.tombstones.saturating_sub(tombstones.len() as u64);
        Ok(())
    }

    /// The version that every device has acknowledged that acknowledged anything of the dataset; `None`: no device has, so the store does
    /// not know which tombstones they need.
    fn oldest_acknowledged(&self, identity: &Identity, dataset: &DatasetName) -> Result<Option<u64>, StoreError> {
        let prefix = keys::devices(identity);
        let mut oldest = None;
        for (key, _) in self.view.all_of(&prefix)? {
            let device = keys::KeyParts::after(&key, &prefix)?.device()?;
            if let Some(row) = self.view.get(&keys::ack(identity, &device, dataset))? {
                let AckRow { version } = rows::decode(&row)?;
                oldest = Some(oldest.map_or(version, |oldest: u64| oldest.min(version)));
            }
        }
        Ok(oldest)
    }

    fn reap_history(&self, step: &mut ReapStep<'_>) -> Result<Remaining, StoreError> {
        let ReapStep { due: DueDataset { identity, dataset, .. }, retention, now_ms, head, batch } = step;
        if head.history_bytes == 0 {
            return Ok(Remaining::default());
        }
        let prefix = keys::of_dataset(keys::RowKind::History, identity, dataset);
        let end = keys::prefix_end(&prefix);
        let under_way: Option<RewindRow> = self.view.row(&keys::rewind(identity, dataset))?;
        let limit = if retention.oldest_kept(head.version).saturating_sub(head.oldest_version) > STEP as u64 { FLOOD_STEP } else { STEP };
        let (mut remaining, mut start, mut bytes) = (Remaining::default(), prefix.clone(), 0);
        loop {
            let rows = self.view.scan(&start, &end, CHUNK)?;
            for (key, row) in &rows {
                let version = keys::KeyParts::after(key, &prefix)?.version()?;
                let (_, part) = pieces::part(row)?;
                // A version's first piece holds its date; the other pieces go with it, in the same step.
                if pieces::is_first(key) {
                    let at_ms = history_row::date_ms(part)?;
                    let is_needed = under_way.is_some_and(|rewind| rewind.needs_history_of(version, *now_ms));
                    let is_kept = is_needed || retention.keeps_version(head, version, at_ms, *now_ms);
                    if version > head.oldest_version && is_kept {
                        remaining.oldest_ms = Some(at_ms.min(*now_ms));
                        return Ok(remaining);
                    }
                    if remaining.deleted >= limit as u64 || bytes >= STEP_BYTES {
                        remaining.has_more = true;
                        return Ok(remaining);
                    }
                    remaining.deleted += 1;
                }
                bytes += part.len();
                head.history_bytes = head.history_bytes.saturating_sub(part.len() as u64);
                head.oldest_version = head.oldest_version.max(version);
                batch.push((key.clone(), None));
            }
            match rows.last() {
                Some((key, _)) if rows.len() == CHUNK => start = [key.as_slice(), &[0]].concat(),
                _ => {
                    head.history_bytes = 0;
                    return Ok(remaining);
                }
            }
        }
    }

    /// Moves a dataset that cannot be reaped to a later date, so that it does not hold up the datasets behind it.
    pub fn postpone(&mut self, due: &DueDataset, now_ms: u64) -> Result<(), StoreError> {
        let DueDataset { at_ms, identity, dataset } = due;
        let (head_key, again_ms) = (keys::head(identity, dataset), now_ms.saturating_add(REVISIT_MS));
        let mut batch = RowBatch::new();
        match self.view.get(&head_key).and_then(|row| row.as_deref().map(rows::decode::<HeadRow>).transpose()) {
            Ok(Some(mut head)) if head.reap_at_ms == *at_ms => {
                version::move_due(identity, dataset, &mut head, again_ms, &mut batch);
                batch.push((head_key, Some(rows::encode(&head)?)));
            }
            // The dataset is gone, or its date was moved.
            Ok(_) => batch.push((keys::reap_due(*at_ms, identity, dataset), None)),
            Err(_) => {
                batch.push((keys::reap_due(*at_ms, identity, dataset), None));
                batch.push((keys::reap_due(again_ms, identity, dataset), Some(Vec::new())));
            }
        }
        self.view.decide(batch);
        Ok(())
    }
}

impl ReapStep<'_> {
    /// Moves dates in the future to now; otherwise such a tombstone would stay until its date.
    fn clamp_future_dates(&mut self, tombstones: &[Tombstone<'_>]) -> Result<(), StoreError> {
        let now_ms = self.now_ms;
        for tombstone in tombstones.iter().take_while(|tombstone| tombstone.row.at_ms > now_ms) {
            let row = TombstoneRow { key: tombstone.row.key.clone(), at_ms: now_ms };
            self.batch.push((tombstone.key.clone(), Some(rows::encode(&row)?)));
        }
        Ok(())
    }
}

impl RetentionPolicy {
    /// Whether a tombstone may be deleted: it is old enough, or every device has acknowledged it.
    fn may_delete(&self, tombstone: &Tombstone<'_>, acknowledged: Option<u64>, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(tombstone.row.at_ms);
        let is_unneeded = acknowledged.is_some_and(|version| tombstone.version <= version) && age_ms >= self.least_tombstone_ms();
        age_ms >= self.tombstone_ms || is_unneeded
    }

    /// The oldest version that the bound on the number of versions keeps in the history.
    fn oldest_kept(&self, version: u64) -> u64 {
        if self.has_history() { version.saturating_sub(self.history_versions) + 1 } else { version + 1 }
    }

    /// Whether a version stays in the history: by number, age and the bytes of all that is kept.
    fn keeps_version(&self, head: &HeadRow, version: u64, at_ms: u64, now_ms: u64) -> bool {
        let is_old = now_ms.saturating_sub(at_ms) >= self.history_ms;
        version >= self.oldest_kept(head.version) && !is_old && head.history_bytes <= self.history_bytes
    }
}

/// When the reaper visits the dataset again, in milliseconds since 1970; `None` if nothing remains.
fn next_visit_ms(tombstones: &Remaining, versions: &Remaining, retention: &RetentionPolicy, now_ms: u64) -> Option<u64> {
    let tombstones = tombstones.oldest_ms.map(|oldest_ms| {
        let again_ms = now_ms + now_ms.saturating_sub(oldest_ms).clamp(retention.least_tombstone_ms(), REVISIT_MS);
        again_ms.min(oldest_ms.saturating_add(retention.tombstone_ms).max(now_ms + 1))
    });
    let history = versions.oldest_ms.map(|oldest_ms| oldest_ms.saturating_add(retention.history_ms).clamp(now_ms + 1, now_ms + REVISIT_MS));
    tombstones.into_iter().chain(history).min()
}
