//! The policies of a user, group or role: managed ones that are attached to it, and its own.

use super::change::{AccountChange, Decided};
use super::error::{IamError, IamResult, no_group};
use super::names::{NameKind, key_of, policy_key};
use super::policies::no_policy;
use super::{roles, users};
use crate::access::policy::{PolicyDocument, PolicyKind, counted_size};
use crate::access::shared::Accounts;
use crate::store::{
    AccountId, IamGroup, IamRole, IamUser, InlinePolicy, ManagedPolicy, PolicyAttachment, PrincipalKind, Store, StoreError,
};

/// Managed policies of one principal: the most that "IAM and AWS STS quotas" lets an account have.
const MOST_ATTACHED: usize = 20;

/// A principal's own policies: their texts together are bounded, and a policy has 40 characters at least.
const MOST_INLINE: usize = 256;

/// A policy of a principal's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineDocument {
    pub principal: String,
    pub name: String,
    pub document: String,
}

/// A user, group or role with the policies that are attached to it.
enum PolicyOwner {
    User(IamUser),
    Group(IamGroup),
    Role(IamRole),
}

impl PolicyOwner {
    fn name(&self) -> &str {
        match self {
            PolicyOwner::User(user) => &user.name,
            PolicyOwner::Group(group) => &group.name,
            PolicyOwner::Role(role) => &role.name,
        }
    }

    fn attached(&mut self) -> &mut Vec<String> {
        match self {
            PolicyOwner::User(user) => &mut user.attached,
            PolicyOwner::Group(group) => &mut group.attached,
            PolicyOwner::Role(role) => &mut role.attached,
        }
    }

    fn write(&self, change: &mut AccountChange<'_, '_>, key: &str) -> Result<(), StoreError> {
        match self {
            PolicyOwner::User(user) => change.put(&[key], user),
            PolicyOwner::Group(group) => change.put(&[key], group),
            PolicyOwner::Role(role) => change.put(&[key], role),
        }
    }
}

fn name_kind(kind: PrincipalKind) -> NameKind {
    match kind {
        PrincipalKind::User => NameKind::User,
        PrincipalKind::Group => NameKind::Group,
        PrincipalKind::Role => NameKind::Role,
    }
}

fn absent(kind: PrincipalKind, name: &str) -> IamError {
    match kind {
        PrincipalKind::User => users::no_user(name),
        PrincipalKind::Group => no_group(name),
        PrincipalKind::Role => roles::no_role(name),
    }
}

fn inline_kind(kind: PrincipalKind) -> PolicyKind {
    match kind {
        PrincipalKind::User => PolicyKind::UserInline,
        PrincipalKind::Group => PolicyKind::GroupInline,
        PrincipalKind::Role => PolicyKind::RoleInline,
    }
}

fn owner_of(change: &AccountChange<'_, '_>, kind: PrincipalKind, key: &str) -> Result<Option<PolicyOwner>, StoreError> {
    Ok(match kind {
        PrincipalKind::User => change.get(&[key])?.map(PolicyOwner::User),
        PrincipalKind::Group => change.get(&[key])?.map(PolicyOwner::Group),
        PrincipalKind::Role => change.get(&[key])?.map(PolicyOwner::Role),
    })
}

/// The principal's name and the ARNs of what is attached to it, as the store has it.
fn stored_owner(store: &Store, account: &AccountId, kind: PrincipalKind, name: &str) -> Decided<(String, PolicyOwner)> {
    let key = key_of(name_kind(kind), name)?;
    let found = match kind {
        PrincipalKind::User => store.account_record(account, &[&key])?.map(PolicyOwner::User),
        PrincipalKind::Group => store.account_record(account, &[&key])?.map(PolicyOwner::Group),
        PrincipalKind::Role => store.account_record(account, &[&key])?.map(PolicyOwner::Role),
    };
    found.map(|owner| (key, owner)).ok_or_else(|| absent(kind, name).into())
}

impl Accounts {
    /// Attaches a managed policy; one that is attached stays so.
    pub async fn attach_policy(&self, account: &AccountId, kind: PrincipalKind, name: &str, arn: &str) -> IamResult<()> {
        let (name, arn) = (name.to_owned(), arn.to_owned());
        self.change(account, move |change| {
            let (key, policy_name) = (key_of(name_kind(kind), &name)?, policy_key(&arn)?);
            let mut owner = owner_of(change, kind, &key)?.ok_or_else(|| absent(kind, &name))?;
            let policy: Option<ManagedPolicy> = change.get(&[&policy_name])?;
            let mut policy = policy.filter(|policy| policy.arn(&change.account.id) == arn).ok_or_else(|| no_policy(&arn))?;
            if owner.attached().contains(&arn) {
                return Ok(());
            }
            if owner.attached().len() >= MOST_ATTACHED {
                let quota = match kind {
                    PrincipalKind::User => "PoliciesPerUser",
                    PrincipalKind::Group => "PoliciesPerGroup",
                    PrincipalKind::Role => "PoliciesPerRole",
                };
                return Err(IamError::quota(quota, MOST_ATTACHED).into());
            }
            owner.attached().push(arn.clone());
            policy.attachments += 1;
            owner.write(change, &key)?;
            change.put(&[&policy_name], &policy)?;
            change.put(&[&policy_name, kind.as_str(), &key], &PolicyAttachment { made_ms: change.now_ms })?;
            Ok(())
        })
        .await
    }

    /// Detaches a managed policy.
    pub async fn detach_policy(&self, account: &AccountId, kind: PrincipalKind, name: &str, arn: &str) -> IamResult<()> {
        let (name, arn) = (name.to_owned(), arn.to_owned());
        self.change(account, move |change| {
            let (key, policy_name) = (key_of(name_kind(kind), &name)?, policy_key(&arn)?);
            let mut owner = owner_of(change, kind, &key)?.ok_or_else(|| absent(kind, &name))?;
            if !owner.attached().contains(&arn) {
                return Err(IamError::absent(format!("Policy {arn} was not found.")).into());
            }
            owner.attached().retain(|other| *other != arn);
            owner.write(change, &key)?;
            change.delete::<PolicyAttachment>(&[&policy_name, kind.as_str(), &key]);
            if let Some(mut policy) = change.get::<ManagedPolicy>(&[&policy_name])? {
                policy.attachments = policy.attachments.saturating_sub(1);
                change.put(&[&policy_name], &policy)?;
            }
            Ok(())
        })
        .await
    }

    /// The ARNs of the managed policies of a principal, 20 at most.
    pub async fn attached_policies(&self, account: &AccountId, kind: PrincipalKind, name: &str) -> IamResult<Vec<String>> {
        let name = name.to_owned();
        self.look(account, move |store, account| {
            let (_, mut owner) = stored_owner(store, account, kind, &name)?;
            Ok(std::mem::take(owner.attached()))
        })
        .await
    }

    /// Writes a policy of a principal's own, also over an older one of the name.
    pub async fn put_inline_policy(
        &self,
        account: &AccountId,
        kind: PrincipalKind,
        name: &str,
        policy: &str,
        document: &str,
    ) -> IamResult<()> {
        let policy_kind = inline_kind(kind);
        if let Err(error) = PolicyDocument::parse(policy_kind, document) {
            return Ok(Err(error.into()));
        }
        let (name, policy, document) = (name.to_owned(), policy.to_owned(), document.to_owned());
        self.change(account, move |change| {
            let (key, policy_name) = (key_of(name_kind(kind), &name)?, key_of(NameKind::Policy, &policy)?);
            owner_of(change, kind, &key)?.ok_or_else(|| absent(kind, &name))?;
            let own = change.list::<InlinePolicy>(&[kind.as_str(), &key], MOST_INLINE)?;
            let others = own.iter().filter(|(_, other)| !other.name.eq_ignore_ascii_case(&policy));
            let others: usize = others.map(|(_, other)| counted_size(policy_kind, &other.document)).sum();
            if others + counted_size(policy_kind, &document) > policy_kind.max_size() {
                let size = policy_kind.max_size();
                let message = format!("Maximum policy size of {size} bytes exceeded for {} {name}", kind.as_str());
                return Err(IamError { code: "LimitExceeded", message }.into());
            }
            change.put(&[kind.as_str(), &key, &policy_name], &InlinePolicy { name: policy.clone(), document: document.clone() })?;
            Ok(())
        })
        .await
    }

    /// A policy of a principal's own.
    pub async fn inline_policy(&self, account: &AccountId, kind: PrincipalKind, name: &str, policy: &str) -> IamResult<InlineDocument> {
        let (name, policy) = (name.to_owned(), policy.to_owned());
        self.look(account, move |store, account| {
            let (key, owner) = stored_owner(store, account, kind, &name)?;
            let found: Option<InlinePolicy> = store.account_record(account, &[kind.as_str(), &key, &key_of(NameKind::Policy, &policy)?])?;
            let InlinePolicy { name: policy, document } = found.ok_or_else(|| no_inline(kind, &policy))?;
            Ok(InlineDocument { principal: owner.name().to_owned(), name: policy, document })
        })
        .await
    }

    /// The names of a principal's own policies.
    pub async fn inline_policies(&self, account: &AccountId, kind: PrincipalKind, name: &str) -> IamResult<Vec<String>> {
        let name = name.to_owned();
        self.look(account, move |store, account| {
            let (key, _) = stored_owner(store, account, kind, &name)?;
            let own = store.account_records::<InlinePolicy>(account, &[kind.as_str(), &key], None, MOST_INLINE)?;
            Ok(own.into_iter().map(|(_, policy)| policy.name).collect())
        })
        .await
    }

    /// Deletes a policy of a principal's own.
    pub async fn delete_inline_policy(&self, account: &AccountId, kind: PrincipalKind, name: &str, policy: &str) -> IamResult<()> {
        let (name, policy) = (name.to_owned(), policy.to_owned());
        self.change(account, move |change| {
            let (key, policy_name) = (key_of(name_kind(kind), &name)?, key_of(NameKind::Policy, &policy)?);
            owner_of(change, kind, &key)?.ok_or_else(|| absent(kind, &name))?;
            let names = [kind.as_str(), &key, &policy_name];
            change.get::<InlinePolicy>(&names)?.ok_or_else(|| no_inline(kind, &policy))?;
            change.delete::<InlinePolicy>(&names);
            Ok(())
        })
        .await
    }
}

fn no_inline(kind: PrincipalKind, policy: &str) -> IamError {
    IamError::absent(format!("The {} policy with name {policy} cannot be found.", kind.as_str()))
}
