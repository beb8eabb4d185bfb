//! The policies of users and roles as they are read from the store. They are kept parsed for as long as the account's revision is the same, so that a
//! change counts from the next request on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::NamedPolicy;
use super::iam::names::policy_key;
use super::policy::{PolicyDocument, PolicyKind};
use crate::store::{
    AccountId, IamGroup, IamRole, IamUser, InlinePolicy, ManagedPolicy, PolicyVersion, PrincipalId, PrincipalKind, Store, StoreError,
};

/// Users and roles whose policies are kept parsed. With more than that, they are read again.
const MOST_KEPT: usize = 4096;

/// Inline policies of one principal: their texts together are bounded to 10,240 characters.
const MOST_INLINE: usize = 256;

/// A policy under the name by which a decision tells of it.
#[derive(Clone, Debug)]
pub(super) struct KeptPolicy {
    name: String,
    document: Arc<PolicyDocument>,
}

/// The policies of a user or role.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptGrants {
    pub identity: Vec<KeptPolicy>,
    pub boundary: Option<KeptPolicy>,
}

/// The policies that were read, by the principal's id, each with the account's revision.
#[derive(Clone, Default)]
pub(super) struct GrantsCache(Arc<Mutex<GrantsById>>);

type GrantsById = HashMap<String, (u64, Arc<KeptGrants>)>;

impl KeptPolicy {
    pub(super) fn named(&self) -> NamedPolicy<'_> {
        NamedPolicy { name: &self.name, document: &self.document }
    }
}

impl GrantsCache {
    /// The policies of the user or role with an id. One that is not there any more has none.
    pub(super) fn get(&self, store: &Store, account: &AccountId, id: &str) -> Result<Arc<KeptGrants>, StoreError> {
        // Read before the policies: what is kept under a revision is at least as new.
        let Some(revision) = store.account(account)?.map(|account| account.state.revision) else { return Ok(Arc::default()) };
        if let Some((kept_at, kept)) = self.kept().get(id)
            && *kept_at == revision
        {
            return Ok(Arc::clone(kept));
        }
        let read = Arc::new(read_grants(store, account, id)?);
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT && !kept.contains_key(id) {
            kept.clear();
        }
        kept.insert(id.to_owned(), (revision, Arc::clone(&read)));
        Ok(read)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, GrantsById> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_grants(store: &Store, account: &AccountId, id: &str) -> Result<KeptGrants, StoreError> {
    let mut grants = KeptGrants::default();
    let Some(PrincipalId { kind, name }) = store.account_record(account, &[id])? else { return Ok(grants) };
    let (attached, boundary, groups) = match kind {
        PrincipalKind::User => match store.account_record::<IamUser>(account, &[&name])? {
            Some(user) => (user.attached, user.boundary, user.groups),
            None => return Ok(grants),
        },
        PrincipalKind::Role => match store.account_record::<IamRole>(account, &[&name])? {
            Some(role) => (role.attached, role.boundary, Vec::new()),
            None => return Ok(grants),
        },
        PrincipalKind::Group => return Ok(grants),
    };
    add(&mut grants.identity, store, account, kind, &name, &attached)?;
    for group in groups {
        if let Some(found) = store.account_record::<IamGroup>(account, &[&group])? {
            add(&mut grants.identity, store, account, PrincipalKind::Group, &group, &found.attached)?;
        }
    }
    if let Some(arn) = boundary {
        // A boundary whose policy is gone allows nothing.
        let boundary = managed(store, account, &arn)?;
        grants.boundary = Some(boundary.map_or_else(|| nothing(&arn), Ok)?);
    }
    Ok(grants)
}

/// Adds the inline and the attached policies of a principal.
fn add(
    policies: &mut Vec<KeptPolicy>,
    store: &Store,
    account: &AccountId,
    kind: PrincipalKind,
    name: &str,
    attached: &[String],
) -> Result<(), StoreError> {
    let inline_kind = match kind {
        PrincipalKind::User => PolicyKind::UserInline,
        PrincipalKind::Group => PolicyKind::GroupInline,
        PrincipalKind::Role => PolicyKind::RoleInline,
    };
    for (_, InlinePolicy { name, document }) in store.account_records(account, &[kind.as_str(), name], None, MOST_INLINE)? {
        policies.push(parsed(inline_kind, &name, &document)?);
    }
    for arn in attached {
        policies.extend(managed(store, account, arn)?);
    }
    Ok(())
}

/// The default version of a managed policy; `None`: it is not there any more.
pub(super) fn managed(store: &Store, account: &AccountId, arn: &str) -> Result<Option<KeptPolicy>, StoreError> {
    let Ok(key) = policy_key(arn) else { return Ok(None) };
    let policy: Option<ManagedPolicy> = store.account_record(account, &[&key])?;
    let Some(policy) = policy.filter(|policy| policy.arn(account) == arn) else { return Ok(None) };
    let version: Option<PolicyVersion> = store.account_record(account, &[&key, &policy.default_version])?;
    version.map(|version| parsed(PolicyKind::Managed, arn, &version.document)).transpose()
}

/// A policy that allows nothing.
fn nothing(name: &str) -> Result<KeptPolicy, StoreError> {
    parsed(PolicyKind::Managed, name, r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#)
}

/// A stored policy. What was accepted once is always parsed; what is not is never taken for a policy that says nothing, because it may deny something.
pub(super) fn parsed(kind: PolicyKind, name: &str, text: &str) -> Result<KeptPolicy, StoreError> {
    let document =
        PolicyDocument::parse_stored(kind, text).map_err(|error| StoreError::Damaged(format!("policy {name}: {}", error.code)))?;
    Ok(KeptPolicy { name: name.to_owned(), document: Arc::new(document) })
}
