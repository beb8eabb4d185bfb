//! What an account has for IAM: users, groups, roles, policies and providers, each a row that stands with its account's.
//!
//! Names in keys are in lower case where IAM compares them so; the record keeps the spelling. What a record means, and which changes are allowed, is
//! decided in `access`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::account::AccountId;
use super::commit::Group;
use super::engine::Bytes;
use super::keys::{self, KeyParts, RowKind};
use super::row_source::RowSource;
use super::{Store, StoreError, rows};

/// The kinds of records that an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountRecordKind {
    /// Under the user's name.
    User,
    /// Under the group's name.
    Group,
    /// Under the role's name.
    Role,
    /// Under the policy's name.
    Policy,
    /// Under the policy's name and the version's.
    PolicyVersion,
    /// Under the principal's kind and name, and the policy's name.
    InlinePolicy,
    /// Under the policy's name, and the principal's kind and name.
    Attachment,
    /// Under the group's name and the user's.
    Member,
    /// Under the id.
    PrincipalId,
    /// Under the issuer without its scheme.
    OidcProvider,
}

impl AccountRecordKind {
    fn row_kind(self) -> RowKind {
        match self {
            AccountRecordKind::User => RowKind::IamUser,
            AccountRecordKind::Group => RowKind::IamGroup,
            AccountRecordKind::Role => RowKind::IamRole,
            AccountRecordKind::Policy => RowKind::ManagedPolicy,
            AccountRecordKind::PolicyVersion => RowKind::PolicyVersion,
            AccountRecordKind::InlinePolicy => RowKind::InlinePolicy,
            AccountRecordKind::Attachment => RowKind::PolicyAttachment,
            AccountRecordKind::Member => RowKind::GroupMember,
            AccountRecordKind::PrincipalId => RowKind::PrincipalId,
            AccountRecordKind::OidcProvider => RowKind::OidcProvider,
        }
    }
}

/// A record of an account.
pub trait AccountRecord: Serialize + DeserializeOwned + Send + 'static {
    const KIND: AccountRecordKind;
}

macro_rules! account_records {
    ($($record:ident => $kind:ident),* $(,)?) => {
        $(impl AccountRecord for $record { const KIND: AccountRecordKind = AccountRecordKind::$kind; })*
    };
}

account_records! {
    IamUser => User, IamGroup => Group, IamRole => Role, ManagedPolicy => Policy, PolicyVersion => PolicyVersion, InlinePolicy => InlinePolicy,
    PolicyAttachment => Attachment, GroupMember => Member, PrincipalId => PrincipalId, OidcProvider => OidcProvider,
}

/// A tag of a user, role, policy or provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamTag {
    pub key: String,
    pub value: String,
}

/// A user. Dates are in milliseconds since 1970 (UTC); paths begin and end with a slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamUser {
    /// `AIDA...`, never used again.
    pub id: String,
    pub name: String,
    pub path: String,
    pub made_ms: u64,
    /// The ARN of the policy that bounds what the user may do.
    pub boundary: Option<String>,
    /// The names of its groups, in lower case.
    pub groups: Vec<String>,
    /// The ARNs of the managed policies that are attached to it.
    pub attached: Vec<String>,
    pub tags: Vec<IamTag>,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamGroup {
    /// `AGPA...`
    pub id: String,
    pub name: String,
    pub path: String,
    pub made_ms: u64,
    pub attached: Vec<String>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamRole {
    /// `AROA...`, never used again.
    pub id: String,
    pub name: String,
    pub path: String,
    pub made_ms: u64,
    pub description: Option<String>,
    /// Who may assume it, with the ids of users and roles in place of their ARNs.
    pub trust: String,
    /// How long a session may last, in seconds.
    pub max_session_s: u32,
    pub boundary: Option<String>,
    pub attached: Vec<String>,
    pub tags: Vec<IamTag>,
}

/// A managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// `ANPA...`
    pub id: String,
    pub name: String,
    pub path: String,
    pub description: Option<String>,
    pub made_ms: u64,
    pub changed_ms: u64,
    /// The name of the default version, `v1`.
    pub default_version: String,
    /// The number of the next version.
    pub next_version: u32,
    /// To how many principals it is attached.
    pub attachments: u32,
    pub tags: Vec<IamTag>,
}

/// A version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    pub document: String,
    pub made_ms: u64,
}

/// A policy of a principal's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlinePolicy {
    pub name: String,
    pub document: String,
}

/// That a managed policy is attached to a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyAttachment {
    pub made_ms: u64,
}

/// That a user is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    pub made_ms: u64,
}

/// What can have policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    User,
    Group,
    Role,
}

impl PrincipalKind {
    /// Its name in keys and ARNs.
    pub fn as_str(self) -> &'static str {
        match self {
            PrincipalKind::User => "user",
            PrincipalKind::Group => "group",
            PrincipalKind::Role => "role",
        }
    }
}

/// Whose id it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalId {
    pub kind: PrincipalKind,
    /// The name, in lower case.
    pub name: String,
}

/// A provider of OpenID Connect tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcProvider {
    /// The issuer without its scheme, as in the provider's ARN.
    pub issuer: String,
    /// The audiences that are accepted.
    pub client_ids: Vec<String>,
    pub thumbprints: Vec<String>,
    pub made_ms: u64,
    pub tags: Vec<IamTag>,
}

fn record<R: AccountRecord>(source: &(impl RowSource + ?Sized), account: &AccountId, names: &[&str]) -> Result<Option<R>, StoreError> {
    source.row(&keys::account_record(R::KIND.row_kind(), account, names))
}

/// Up to `limit` records that stand under some names, behind the one with the name `after` that comes next in their keys.
fn records<R: AccountRecord>(
    source: &(impl RowSource + ?Sized),
    account: &AccountId,
    under: &[&str],
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(Vec<String>, R)>, StoreError> {
    let prefix = keys::account_record(R::KIND.row_kind(), account, under);
    let start = after.map_or_else(
        || prefix.clone(),
        |after| keys::prefix_end(&keys::account_record(R::KIND.row_kind(), account, &[under, &[after]].concat())),
    );
    let one = |(key, row): &(Bytes, Bytes)| {
        let mut parts = KeyParts::after(key, &prefix)?;
        let mut names = Vec::new();
        while !parts.is_empty() {
            names.push(parts.name()?.to_owned());
        }
        Ok((names, rows::decode(row)?))
    };
    source.scan(&start, &keys::prefix_end(&prefix), limit)?.iter().map(one).collect()
}

impl Store {
    /// A record of an account.
    pub fn account_record<R: AccountRecord>(&self, account: &AccountId, names: &[&str]) -> Result<Option<R>, StoreError> {
        record(&*self.engine, account, names)
    }

    /// Up to `limit` records of an account under some names, each with the names that come after these, behind the one with the name `after`. In the
    /// order of their keys: by the length of a name first.
    pub fn account_records<R: AccountRecord>(
        &self,
        account: &AccountId,
        under: &[&str],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Vec<String>, R)>, StoreError> {
        records(&*self.engine, account, under, after, limit)
    }
}

impl Group<'_> {
    /// A record of an account.
    pub fn account_record<R: AccountRecord>(&self, account: &AccountId, names: &[&str]) -> Result<Option<R>, StoreError> {
        record(&self.view, account, names)
    }

    /// Up to `limit` records of an account under some names, see [`Store::account_records`].
    pub fn account_records<R: AccountRecord>(
        &self,
        account: &AccountId,
        under: &[&str],
        limit: usize,
    ) -> Result<Vec<(Vec<String>, R)>, StoreError> {
        records(&self.view, account, under, None, limit)
    }

    /// Writes a record of an account.
    pub fn put_account_record<R: AccountRecord>(&mut self, account: &AccountId, names: &[&str], record: &R) -> Result<(), StoreError> {
        self.view.decide(vec![(keys::account_record(R::KIND.row_kind(), account, names), Some(rows::encode(record)?))]);
        Ok(())
    }

    /// Deletes a record of an account.
    pub fn delete_account_record<R: AccountRecord>(&mut self, account: &AccountId, names: &[&str]) {
        self.view.decide(vec![(keys::account_record(R::KIND.row_kind(), account, names), None)]);
    }
}
