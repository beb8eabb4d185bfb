//! What the courier finds at an identity, and what it leaves there.

use std::collections::HashSet;

use driftless_protocol::{DatasetName, DeviceId, Provider, PushTarget};

use super::super::commit::Group;
use super::super::engine::{Batch, Bytes, EngineError, SupervisedEngine};
use super::super::keys::{self, Kind};
use super::super::rows::{self, AckRow, IdentityRow};
use super::super::view::View;
use super::super::{Identity, Store, StoreError};
use super::{DeadToken, Debt, DeliveryLogEntry, OwedRow, PurseRow, PushBudget, PushRow};

/// An identity to which something may be owed.
#[derive(Clone, Debug)]
pub struct WakeRound {
    /// Whose.
    pub identity: Identity,
    /// Of which pool.
    pub pool: String,
    /// What may be owed.
    pub owed: Vec<Debt>,
    /// To whom.
    pub sleepers: Vec<WakeTarget>,
}

/// A device with a registration.
#[derive(Clone, Debug)]
pub struct WakeTarget {
    /// Which.
    pub device: DeviceId,
    /// Who wakes it.
    pub provider: Provider,
    /// Where it is reached; `None`: its token is dead.
    pub target: Option<PushTarget>,
    /// Since when and why it is dead.
    pub dead: Option<DeadToken>,
    /// For which app.
    pub app: String,
    /// Of which datasets a change wakes it; `None`: of all.
    pub datasets: Option<Vec<DatasetName>>,
    /// Whether a wake may be shown.
    pub shown: bool,
    /// When it registered, in milliseconds since 1970 (UTC).
    pub registered_ms: u64,
    /// When it was last seen.
    pub seen_ms: u64,
    /// What it has acknowledged, for each of the owed datasets in their order.
    pub acknowledged: Vec<u64>,
    /// What it was woken for, for each of them.
    pub woken: Vec<u64>,
    /// What it may be sent.
    pub purse: PushBudget,
}

/// An identity that is due, and where the next visit goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueIdentity {
    /// Whose.
    pub identity: Identity,
    /// Of the date, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    at: Bytes,
}

/// What became of a device in a visit.
#[derive(Clone, Debug)]
pub struct WakeResult {
    /// Which.
    pub device: DeviceId,
    /// Versions that it needs not be woken for any more.
    pub woken: Vec<(DatasetName, u64)>,
    /// What it may be sent from now on.
    pub purse: PushBudget,
    /// What happened to its token.
    pub fate: TokenDisposition,
    /// For its log.
    pub entry: DeliveryLogEntry,
}

/// What a wake means for the token that it went to.
#[derive(Clone, Debug)]
pub enum TokenDisposition {
    /// Nothing.
    Stands,
    /// It is of the provider's other environment.
    Turned(PushTarget),
    /// It is dead, since when its provider says; if it was not registered again after that.
    Died {
        /// The token that failed.
        failed: PushTarget,
        /// In milliseconds since 1970 (UTC).
        since_ms: Option<u64>,
        /// What its provider said.
        reason: String,
    },
}

/// Rows as somebody sees them.
trait Rows {
    fn row(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;
    fn rows(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, EngineError>;
}

impl Rows for View<'_> {
    fn row(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.get(key)
    }

    fn rows(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        Ok(self.scan(prefix)?.into_iter().collect())
    }
}

impl Rows for SupervisedEngine {
    fn row(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.get(key)
    }

    fn rows(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.scan(prefix, &keys::after(prefix), usize::MAX)
    }
}

/// `None`: nobody is owed anything.
fn round(rows: &impl Rows, identity: &Identity) -> Result<Option<WakeRound>, StoreError> {
    let prefix = keys::owned(Kind::Debt, identity);
    let mut owed = Vec::new();
    for (key, row) in rows.rows(&prefix)? {
        owed.push(Debt::of(keys::Parts::after(&key, &prefix)?.dataset()?, rows::decode::<OwedRow>(&row)?));
    }
    if owed.is_empty() {
        return Ok(None);
    }
    let row = rows.row(&keys::identity(identity))?.map(|row| rows::decode::<IdentityRow>(&row)).transpose()?;
    let pool = row.map_or_else(String::new, |row| row.pool);
    let sleepers = sleepers(rows, identity, &owed)?;
    Ok(Some(WakeRound { identity: identity.clone(), pool, owed, sleepers }))
}

fn sleepers(rows: &impl Rows, identity: &Identity, owed: &[Debt]) -> Result<Vec<WakeTarget>, StoreError> {
    let prefix = keys::owned(Kind::Push, identity);
    let mut sleepers = Vec::new();
    for (key, row) in rows.rows(&prefix)? {
        let device = keys::Parts::after(&key, &prefix)?.device()?;
        let PushRow { pool: _, provider, target, app, datasets, shown, registered_ms, seen_ms, dead } = rows::decode(&row)?;
        let purse: PurseRow = rows.row(&keys::purse(identity, &device))?.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default();
        let (mut acknowledged, mut woken) = (Vec::with_capacity(owed.len()), Vec::with_capacity(owed.len()));
        for one in owed {
            let row = rows.row(&keys::ack(identity, &device, &one.dataset))?;
            acknowledged.push(row.map(|row| rows::decode::<AckRow>(&row)).transpose()?.map_or(0, |row| row.version));
            woken.push(purse.paid.iter().find(|(dataset, _)| *dataset == one.dataset).map_or(0, |(_, version)| *version));
        }
        let purse = purse.purse;
        sleepers.push(WakeTarget {
            device,
            provider,
            target,
            dead,
            app,
            datasets,
            shown,
            registered_ms,
            seen_ms,
            acknowledged,
            woken,
            purse,
        });
    }
    Ok(sleepers)
}

impl Store {
    /// Identities that are due by a date, after a visit: up to `limit` dates of datasets, so one may be named more than once.
    pub fn wakes_due(&self, after: Option<&DueIdentity>, until_ms: u64, limit: usize) -> Result<Vec<DueIdentity>, StoreError> {
        let prefix = keys::kind(Kind::WakeDue);
        let start = after.map_or(prefix.clone(), |last| [last.at.as_slice(), &[0]].concat());
        let end = keys::wake_due_until(until_ms);
        if start >= end {
            return Ok(Vec::new());
        }
        let rows = self.engine.scan(&start, &end, limit)?;
        rows.into_iter().map(|(key, _)| visit(&prefix, key)).collect()
    }

    /// Identities with a date from a moment on: up to `limit` dates.
    pub fn wakes_from(&self, at_ms: u64, limit: usize) -> Result<Vec<DueIdentity>, StoreError> {
        let prefix = keys::kind(Kind::WakeDue);
        let rows = self.engine.scan(&keys::wake_due_until(at_ms), &keys::after(&prefix), limit)?;
        rows.into_iter().map(|(key, _)| visit(&prefix, key)).collect()
    }

    /// What is owed to an identity's devices; `None`: nothing.
    pub fn round(&self, identity: &Identity) -> Result<Option<WakeRound>, StoreError> {
        round(&*self.engine, identity)
    }

    /// The registered devices of an identity, whether anything is owed to them or not.
    pub fn sleepers(&self, identity: &Identity) -> Result<Vec<WakeTarget>, StoreError> {
        sleepers(&*self.engine, identity, &[])
    }
}

fn visit(prefix: &[u8], key: Bytes) -> Result<DueIdentity, StoreError> {
    let mut parts = keys::Parts::after(&key, prefix)?;
    let (at_ms, identity) = (parts.version()?, Identity::from(parts.name()?));
    Ok(DueIdentity { identity, at_ms, at: key })
}

impl Group<'_> {
    /// What is owed to an identity's devices, as the group sees it.
    pub fn round(&self, identity: &Identity) -> Result<Option<WakeRound>, StoreError> {
        round(&self.view, identity)
    }

    /// Keeps what became of a device in a visit.
    pub fn settle(&mut self, identity: &Identity, settled: WakeResult, now_ms: u64) -> Result<(), StoreError> {
        let WakeResult { device, woken, purse, fate, entry } = settled;
        match fate {
            TokenDisposition::Stands => {}
            TokenDisposition::Turned(target) => self.turn(identity, &device, &target)?,
            TokenDisposition::Died { failed, since_ms, reason } => {
                self.bury(identity, &device, &failed, since_ms, DeadToken { at_ms: now_ms, reason })?;
            }
        }
        let mut row = self.purse(identity, &device)?;
        row.purse = purse;
        for (dataset, version) in woken {
            match row.paid.iter_mut().find(|(known, _)| *known == dataset) {
                Some((_, paid)) => *paid = version.max(*paid),
                None => row.paid.push((dataset, version)),
            }
        }
        let rows = vec![(keys::purse(identity, &device), Some(rows::encode(&row)?))];
        self.view.decide(Batch { preconditions: Vec::new(), rows });
        self.log_wake(identity, &device, entry)
    }

    /// Ends a visit: each dataset that it saw at a version gets its next date, or nothing of it is owed any more.
    pub fn end_visit(&mut self, identity: &Identity, seen: &[Debt], dates: &[(DatasetName, Option<u64>)]) -> Result<(), StoreError> {
        for owed in seen {
            self.visited(identity, &owed.dataset, owed.version)?;
        }
        for (dataset, at_ms) in dates {
            self.redate(identity, dataset, *at_ms)?;
        }
        let ended: HashSet<&DatasetName> = dates.iter().filter(|(_, at_ms)| at_ms.is_none()).map(|(dataset, _)| dataset).collect();
        if ended.is_empty() { Ok(()) } else { self.forget_woken(identity, &ended) }
    }

    /// What devices were woken for of datasets of which nothing is owed is not needed any more.
    fn forget_woken(&mut self, identity: &Identity, ended: &HashSet<&DatasetName>) -> Result<(), StoreError> {
        let prefix = keys::owned(Kind::PushBudget, identity);
        let mut batch = Batch::default();
        for (key, row) in self.view.scan(&prefix)? {
            let mut row: PurseRow = rows::decode(&row)?;
            let before = row.paid.len();
            row.paid.retain(|(known, _)| !ended.contains(known));
            if row.paid.len() < before {
                batch.rows.push((key, Some(rows::encode(&row)?)));
            }
        }
        self.view.decide(batch);
        Ok(())
    }
}

/// A purse without what its device was woken for.
pub(in crate::store) fn unwoken(row: &[u8]) -> Result<Bytes, StoreError> {
    rows::encode(&PurseRow { paid: Vec::new(), ..rows::decode(row)? })
}
