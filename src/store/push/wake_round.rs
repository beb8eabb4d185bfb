//! A wake round: the facts about one identity from which the courier decides its wakes, and the results that the courier records.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use driftless_protocol::{DatasetName, DeviceId, Provider, PushTarget};

use super::super::commit::Group;
use super::super::engine::{Bytes, RowBatch};
use super::super::keys::{self, RowKind};
use super::super::row_source::RowSource;
use super::super::rows::{self, AckRow, IdentityRow};
use super::super::{Identity, Store, StoreError, live_identity};
use super::debts::Debt;
use super::delivery_log::DeliveryLogEntry;
use super::rows::{DeadToken, DebtRow, PushBudget, PushBudgetRow, RegistrationRow, TokenLoss};

/// Debts up to which the acknowledgements of a device are read one by one. With more, all of the device's are read at once, of which it has at most one
/// for each dataset.
const FEW_DEBTS: usize = 4;

/// Datasets of which a device's row remembers what it was woken for: with the longest names they fit a row. Of others it may be woken once more.
pub(in crate::store) const WOKEN_DATASETS: usize = 256;

/// The debts of an identity, and its devices that can be woken.
#[derive(Clone, Debug)]
pub struct WakeRound {
    pub identity: Identity,
    pub pool: String,
    /// By dataset, at least one.
    pub debts: Vec<Debt>,
    pub targets: Vec<WakeTarget>,
}

/// A device with a push registration.
#[derive(Clone, Debug)]
pub struct WakeTarget {
    pub device: DeviceId,
    pub provider: Provider,
    /// The token or the endpoint; `None`: the token is dead.
    pub target: Option<PushTarget>,
    pub dead: Option<DeadToken>,
    pub app: String,
    /// The datasets whose changes wake it; `None`: all.
    pub datasets: Option<Vec<DatasetName>>,
    /// Whether a wake may be shown to the user.
    pub shown: bool,
    /// The id of its pool, if its wakes have the keys of Amazon Cognito's push sync.
    pub cognito_pool: Option<String>,
    /// When it registered, in milliseconds since 1970 (UTC).
    pub registered_ms: u64,
    /// When it was last seen, in milliseconds since 1970 (UTC).
    pub seen_ms: u64,
    /// Each of the round's debts, with this device's progress.
    pub debts: Vec<TargetDebt>,
    pub budget: PushBudget,
}

/// A debt of a round, and what one device has done about it.
#[derive(Clone, Debug)]
pub struct TargetDebt {
    pub debt: Debt,
    /// The version of the dataset that the device has acknowledged; 0 if none.
    pub acknowledged: u64,
    /// The version of the dataset that the device was woken for; 0 if none.
    pub woken: u64,
}

/// An identity with a due wake round, and where the scan of the dates goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueIdentity {
    pub identity: Identity,
    /// The date of the round, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    key: Bytes,
}

/// The result of a wake that was sent to a device.
#[derive(Clone, Debug)]
pub struct WakeResult {
    pub device: DeviceId,
    /// The versions that the wake has covered.
    pub woken: Vec<(DatasetName, u64)>,
    /// The device's budget after the wake.
    pub budget: PushBudget,
    pub disposition: TokenDisposition,
    pub log_entry: DeliveryLogEntry,
}

/// What a wake means for the token to which it was sent.
#[derive(Clone, Debug)]
pub enum TokenDisposition {
    Keep,
    /// The token is of the provider's other environment.
    SwitchEnvironment(PushTarget),
    /// The token is dead, unless it was registered again after the provider's date.
    MarkDead {
        /// The token that failed.
        failed: PushTarget,
        /// The provider's date, in milliseconds since 1970 (UTC).
        since_ms: Option<u64>,
        /// The provider's reason.
        reason: String,
    },
}

/// `None`: the identity has no debts, or was erased or merged since it had some. Nobody is woken for it then.
fn wake_round(source: &(impl RowSource + ?Sized), identity: &Identity) -> Result<Option<WakeRound>, StoreError> {
    let prefix = keys::of_identity(RowKind::Debt, identity);
    let mut debts = Vec::new();
    for (key, row) in source.all_of(&prefix)? {
        debts.push(Debt::of(keys::KeyParts::after(&key, &prefix)?.dataset()?, rows::decode::<DebtRow>(&row)?));
    }
    if debts.is_empty() {
        return Ok(None);
    }
    let Some(row) = source.row::<IdentityRow>(&keys::identity(identity))?.filter(|row| row.moved_to.is_none()) else {
        return Ok(None);
    };
    let targets = wake_targets(source, identity, &live_identity::unmoved(Some(&row)), &debts)?;
    Ok(Some(WakeRound { identity: identity.clone(), pool: row.pool, debts, targets }))
}

/// The registered devices, also those that are yet to come from identities that are merged into this one. Of two registrations of a device it has
/// the one that the merge keeps.
fn wake_targets(
    source: &(impl RowSource + ?Sized),
    identity: &Identity,
    unmoved: &[Identity],
    debts: &[Debt],
) -> Result<Vec<WakeTarget>, StoreError> {
    let mut registered: BTreeMap<Bytes, (DeviceId, &Identity, RegistrationRow)> = BTreeMap::new();
    // The identity comes last: a reader that sees no single state finds a device that moves meanwhile under one of both.
    for owner in unmoved.iter().chain([identity]) {
        let prefix = keys::of_identity(RowKind::Registration, owner);
        for (key, row) in source.all_of(&prefix)? {
            let (device, row) = (keys::KeyParts::after(&key, &prefix)?.device()?, rows::decode::<RegistrationRow>(&row)?);
            if owner != identity && live_identity::is_revoked_at(source, identity, &device)? {
                continue;
            }
            let is_kept = |there: &RegistrationRow| if owner == identity { row.comes_before(there) } else { !there.comes_before(&row) };
            if registered.get(&key[prefix.len()..]).is_none_or(|(_, _, there)| is_kept(there)) {
                registered.insert(key[prefix.len()..].to_vec(), (device, owner, row));
            }
        }
    }
    let mut targets = Vec::with_capacity(registered.len());
    for (device, owner, row) in registered.into_values() {
        let RegistrationRow { pool: _, provider, target, app, datasets, shown, registered_ms, seen_ms, dead, cognito_pool } = row;
        let own: Option<PushBudgetRow> = source.row(&keys::push_budget(identity, &device))?;
        let PushBudgetRow { woken, budget, .. } = match own {
            None if owner != identity => {
                // What it was woken for there are versions of other datasets.
                let theirs: PushBudgetRow = source.row(&keys::push_budget(owner, &device))?.unwrap_or_default();
                PushBudgetRow { woken: Vec::new(), ..theirs }
            }
            own => own.unwrap_or_default(),
        };
        let debts = target_debts(source, identity, &device, &woken, debts)?;
        targets.push(WakeTarget {
            device,
            provider,
            target,
            dead,
            app,
            datasets,
            shown,
            cognito_pool,
            registered_ms,
            seen_ms,
            debts,
            budget,
        });
    }
    Ok(targets)
}

/// Each of the debts, with the device's progress.
fn target_debts(
    source: &(impl RowSource + ?Sized),
    identity: &Identity,
    device: &DeviceId,
    woken: &[(DatasetName, u64)],
    debts: &[Debt],
) -> Result<Vec<TargetDebt>, StoreError> {
    let mut acknowledged = HashMap::new();
    if debts.len() <= FEW_DEBTS {
        for debt in debts {
            let ack = source.row::<AckRow>(&keys::ack(identity, device, &debt.dataset))?;
            acknowledged.extend(ack.map(|ack| (debt.dataset.clone(), ack.version)));
        }
    } else {
        let prefix = keys::of_device(RowKind::Ack, identity, device);
        for (key, row) in source.all_of(&prefix)? {
            acknowledged.insert(keys::KeyParts::after(&key, &prefix)?.dataset()?, rows::decode::<AckRow>(&row)?.version);
        }
    }
    let woken: HashMap<&DatasetName, u64> = woken.iter().map(|(dataset, version)| (dataset, *version)).collect();
    let of = |debt: &Debt| TargetDebt {
        acknowledged: acknowledged.get(&debt.dataset).copied().unwrap_or(0),
        woken: woken.get(&debt.dataset).copied().unwrap_or(0),
        debt: debt.clone(),
    };
    Ok(debts.iter().map(of).collect())
}

impl Store {
    /// The identities that are due up to a date, after one of them: up to `limit` dates of datasets, so an identity can appear more than
    /// once.
    pub fn due_identities(&self, after: Option<&DueIdentity>, until_ms: u64, limit: usize) -> Result<Vec<DueIdentity>, StoreError> {
        let prefix = keys::of_kind(RowKind::WakeDue);
        let start = after.map_or(prefix.clone(), |last| [last.key.as_slice(), &[0]].concat());
        let end = keys::wake_due_until(until_ms);
        if start >= end {
            return Ok(Vec::new());
        }
        let rows = self.engine.scan(&start, &end, limit)?;
        rows.into_iter().map(|(key, _)| due_identity(&prefix, key)).collect()
    }

    /// The identities that are due after a moment: up to `limit` dates.
    pub fn identities_due_after(&self, at_ms: u64, limit: usize) -> Result<Vec<DueIdentity>, StoreError> {
        let prefix = keys::of_kind(RowKind::WakeDue);
        let rows = self.engine.scan(&keys::wake_due_until(at_ms), &keys::prefix_end(&prefix), limit)?;
        rows.into_iter().map(|(key, _)| due_identity(&prefix, key)).collect()
    }

    /// The wake round of an identity; `None`: it has no debts.
    pub fn wake_round(&self, identity: &Identity) -> Result<Option<WakeRound>, StoreError> {
        wake_round(&*self.engine, identity)
    }

    /// The registered devices of an identity, without its debts.
    pub fn wake_targets(&self, identity: &Identity) -> Result<Vec<WakeTarget>, StoreError> {
        let unmoved = live_identity::unmoved(self.engine.row(&keys::identity(identity))?.as_ref());
        wake_targets(&*self.engine, identity, &unmoved, &[])
    }
}

fn due_identity(prefix: &[u8], key: Bytes) -> Result<DueIdentity, StoreError> {
    let mut parts = keys::KeyParts::after(&key, prefix)?;
    let (at_ms, identity) = (parts.version()?, Identity::from(parts.name()?));
    Ok(DueIdentity { identity, at_ms, key })
}

impl Group<'_> {
    /// The wake round of an identity, with the decisions of this group; `None`: it has no debts.
    pub fn wake_round(&self, identity: &Identity) -> Result<Option<WakeRound>, StoreError> {
        wake_round(&self.view, identity)
    }

    /// Records the result of a wake, unless the device was forgotten since it was sent.
    pub fn record_wake_result(&mut self, identity: &Identity, result: WakeResult, now_ms: u64) -> Result<(), StoreError> {
        let WakeResult { device, woken, budget, disposition, log_entry } = result;
        if !self.is_known(identity, &device)? {
            return Ok(());
        }
        match disposition {
            TokenDisposition::Keep => {}
            TokenDisposition::SwitchEnvironment(target) => self.switch_environment(identity, &device, &target)?,
            TokenDisposition::MarkDead { failed, since_ms, reason } => {
                self.mark_dead(identity, &device, &failed, since_ms, DeadToken { at_ms: now_ms, reason, loss: TokenLoss::Dead })?;
            }
        }
        let mut row = self.budget_row(identity, &device)?;
        row.budget = budget;
        // A wake can cover as many datasets as there are.
        let mut places: HashMap<DatasetName, usize> = row.woken.iter().enumerate().map(|(at, (known, _))| (known.clone(), at)).collect();
        for (dataset, version) in woken {
            match places.entry(dataset) {
                Entry::Occupied(place) => row.woken[*place.get()].1 = version.max(row.woken[*place.get()].1),
                Entry::Vacant(place) => {
                    row.woken.push((place.key().clone(), version));
                    place.insert(row.woken.len() - 1);
                }
            }
        }
        row.woken.drain(..row.woken.len().saturating_sub(WOKEN_DATASETS));
        let rows = vec![(keys::push_budget(identity, &device), Some(rows::encode(&row)?))];
        self.view.decide(rows);
        self.append_delivery_log(identity, &device, log_entry)
    }

    /// Gives the debt of each dataset the date of the courier's next round. `None` ends the debt.
    pub fn reschedule_debts(&mut self, identity: &Identity, dates: &[(DatasetName, Option<u64>)]) -> Result<(), StoreError> {
        for (dataset, at_ms) in dates {
            self.reschedule(identity, dataset, *at_ms)?;
        }
        let ended: HashSet<&DatasetName> = dates.iter().filter(|(_, at_ms)| at_ms.is_none()).map(|(dataset, _)| dataset).collect();
        if ended.is_empty() { Ok(()) } else { self.clear_woken(identity, &ended) }
    }

    /// Forgets the versions that devices were woken for, of datasets without a debt.
    fn clear_woken(&mut self, identity: &Identity, ended: &HashSet<&DatasetName>) -> Result<(), StoreError> {
        let prefix = keys::of_identity(RowKind::PushBudget, identity);
        let mut batch = RowBatch::new();
        for (key, row) in self.view.all_of(&prefix)? {
            let mut row: PushBudgetRow = rows::decode(&row)?;
            let before = row.woken.len();
            row.woken.retain(|(known, _)| !ended.contains(known));
            if row.woken.len() < before {
                batch.push((key, Some(rows::encode(&row)?)));
            }
        }
        self.view.decide(batch);
        Ok(())
    }
}

/// A push budget's row without the versions that its device was woken for: they are of another identity's datasets.
pub(in crate::store) fn without_woken(row: &[u8]) -> Result<Bytes, StoreError> {
    rows::encode(&PushBudgetRow { woken: Vec::new(), ..rows::decode(row)? })
}
