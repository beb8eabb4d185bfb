//! Managed policies and their versions.

use super::change::AccountChange;
use super::error::{IamError, IamResult};
use super::names::{NameKind, check_description, check_tags, key_of, parse_path, policy_key};
use super::page::IamPage;
use super::unique_id::{IdKind, unique_id};
use super::users::{chance, page};
use crate::access::policy::{PolicyDocument, PolicyKind};
use crate::access::shared::Accounts;
use crate::store::{AccountId, IamTag, ManagedPolicy, PolicyVersion};

/// Managed policies of an account.
const MOST_POLICIES: u32 = 1500;

/// A managed policy to be made.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    pub name: String,
    pub path: Option<String>,
    pub description: Option<String>,
    pub document: String,
    pub tags: Vec<IamTag>,
}

/// A managed policy and its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    pub arn: String,
    pub policy: ManagedPolicy,
}

impl ManagedPolicy {
    pub fn arn(&self, account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:policy{}{}", self.path, self.name)
    }
}

pub(super) fn no_policy(arn: &str) -> IamError {
    IamError::absent(format!("Policy {arn} does not exist or is not attachable."))
}

impl AccountChange<'_, '_> {
    /// Whether there is a policy that can be a boundary.
    pub(super) fn check_boundary(&self, arn: Option<&str>) -> super::change::Decided<()> {
        let Some(arn) = arn else { return Ok(()) };
        let policy: Option<ManagedPolicy> = self.get(&[&policy_key(arn)?])?;
        let is_there = policy.is_some_and(|policy| policy.arn(&self.account.id) == arn);
        is_there.then_some(()).ok_or_else(|| IamError::absent(format!("Scope ARN: {arn} does not exist or is not attachable.")).into())
    }
}

impl Accounts {
    /// Makes a managed policy, with the document as its version `v1`.
    pub async fn create_policy(&self, account: &AccountId, new: NewPolicy) -> IamResult<PolicyRecord> {
        if let Err(error) = PolicyDocument::parse(PolicyKind::Managed, &new.document) {
            return Ok(Err(error.into()));
        }
        let chance = chance()?;
        self.change(account, move |change| {
            let (key, path) = (key_of(NameKind::Policy, &new.name)?, parse_path(new.path.as_deref())?);
            check_tags(&new.tags)?;
            check_description(new.description.as_deref())?;
            if change.get::<ManagedPolicy>(&[&key])?.is_some() {
                return Err(
                    IamError::exists(format!("A policy called {} already exists. Duplicate names are not allowed.", new.name)).into()
                );
            }
            if change.account.state.policies >= MOST_POLICIES {
                return Err(IamError::quota("CustomerManagedPoliciesPerAccount", MOST_POLICIES as usize).into());
            }
            let (name, description, tags, now) = (new.name.clone(), new.description.clone(), new.tags.clone(), change.now_ms);
            let id = unique_id(IdKind::Policy, change.account.number, chance);
            let version = "v1".to_owned();
            change.put(&[&key, &version], &PolicyVersion { document: new.document.clone(), made_ms: now })?;
            let policy = ManagedPolicy {
                id,
                name,
                path,
                description,
                made_ms: now,
                changed_ms: now,
                default_version: version,
                next_version: 2,
                attachments: 0,
                tags,
            };
            change.account.state.policies += 1;
            change.put(&[&key], &policy)?;
            Ok(PolicyRecord { arn: policy.arn(&change.account.id), policy })
        })
        .await
    }

    /// A managed policy.
    pub async fn policy(&self, account: &AccountId, arn: &str) -> IamResult<PolicyRecord> {
        let arn = arn.to_owned();
        self.look(account, move |store, account| {
            let policy: Option<ManagedPolicy> = store.account_record(account, &[&policy_key(&arn)?])?;
            let policy = policy.filter(|policy| policy.arn(account) == arn);
            let policy = policy.ok_or_else(|| IamError::absent(format!("Policy {arn} was not found.")))?;
            Ok(PolicyRecord { arn, policy })
        })
        .await
    }

    /// A version of a managed policy, and whether it is the default.
    pub async fn policy_version(&self, account: &AccountId, arn: &str, version: &str) -> IamResult<(PolicyVersion, bool)> {
        let (arn, version) = (arn.to_owned(), version.to_owned());
        self.look(account, move |store, account| {
            let key = policy_key(&arn)?;
            let policy: Option<ManagedPolicy> = store.account_record(account, &[&key])?;
            let policy = policy.filter(|policy| policy.arn(account) == arn);
            let policy = policy.ok_or_else(|| IamError::absent(format!("Policy {arn} was not found.")))?;
            let found: Option<PolicyVersion> = store.account_record(account, &[&key, &version])?;
            let found =
                found.ok_or_else(|| IamError::absent(format!("Policy {arn} version {version} does not exist or is not attachable.")))?;
            Ok((found, policy.default_version == version))
        })
        .await
    }

    /// Up to `most` policies whose path begins with a prefix, behind the marker.
    pub async fn policies(
        &self,
        account: &AccountId,
        prefix: String,
        only_attached: bool,
        marker: Option<String>,
        most: usize,
    ) -> IamResult<IamPage<PolicyRecord>> {
        self.look(account, move |store, account| {
            let wanted = |policy: &ManagedPolicy| policy.path.starts_with(&prefix) && (policy.attachments > 0 || !only_attached);
            let IamPage { items, marker } = page(store, account, marker, most, wanted)?;
            let items = items.into_iter().map(|policy: ManagedPolicy| PolicyRecord { arn: policy.arn(account), policy }).collect();
            Ok(IamPage { items, marker })
        })
        .await
    }

    /// Deletes a managed policy that is attached to nobody.
    pub async fn delete_policy(&self, account: &AccountId, arn: &str) -> IamResult<()> {
        /// Versions of a policy: those that are there are deleted with it.
        const MOST_VERSIONS: usize = 5;
        let arn = arn.to_owned();
        self.change(account, move |change| {
            let key = policy_key(&arn)?;
            let policy: Option<ManagedPolicy> = change.get(&[&key])?;
            let policy = policy.filter(|policy| policy.arn(&change.account.id) == arn);
            let policy = policy.ok_or_else(|| IamError::absent(format!("Policy {arn} was not found.")))?;
            if policy.attachments > 0 {
                return Err(IamError::deleting("Cannot delete a policy attached to entities.").into());
            }
            let versions = change.list::<PolicyVersion>(&[&key], MOST_VERSIONS)?;
            for (names, _) in versions {
                let names: Vec<&str> = [key.as_str()].into_iter().chain(names.iter().map(String::as_str)).collect();
                change.delete::<PolicyVersion>(&names);
            }
            change.account.state.policies = change.account.state.policies.saturating_sub(1);
            change.delete::<ManagedPolicy>(&[&key]);
            Ok(())
        })
        .await
    }
}
