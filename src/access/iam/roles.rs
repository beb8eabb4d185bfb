//! Roles and who may assume them.

use super::change::{Decided, NotDone};
use super::error::{IamError, IamResult};
use super::names::{NameKind, check_description, check_tags, key_of, parse_path, policy_key};
use super::page::IamPage;
use super::unique_id::{IdKind, account_number_of, unique_id};
use super::users::{chance, page};
use crate::access::AccountId;
use crate::access::policy::{PolicyKind, PrincipalName, resolve_principals, show_principals};
use crate::access::shared::Accounts;
use crate::committer::{ReadOwner, Unavailable};
use crate::store::{IamRole, IamTag, IamUser, InlinePolicy, PrincipalId, PrincipalKind, Store, StoreError};

/// Roles of an account.
const MOST_ROLES: u32 = 1000;

/// How long a session of a role may last, in seconds: the least, the most, and without a wish.
const SESSION_S: (u32, u32, u32) = (3600, 43_200, 3600);

/// A role to be made.
#[derive(Clone, Debug)]
pub struct NewRole {
    pub name: String,
    pub path: Option<String>,
    pub trust: String,
    pub description: Option<String>,
    pub max_session_s: Option<i64>,
    pub boundary: Option<String>,
    pub tags: Vec<IamTag>,
}

/// A role, with its trust policy as people read it: the ARNs that principals have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRecord {
    pub arn: String,
    pub role: IamRole,
    pub trust: String,
}

impl IamRole {
    pub fn arn(&self, account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:role{}{}", self.path, self.name)
    }
}

pub(super) fn no_role(name: &str) -> IamError {
    IamError::absent(format!("The role with name {name} cannot be found."))
}

impl Accounts {
    /// Makes a role.
    pub async fn create_role(&self, account: &AccountId, new: NewRole) -> IamResult<RoleRecord> {
        let trust = match self.resolved_policy(PolicyKind::Trust, &new.trust).await? {
            Ok(trust) => trust,
            Err(error) => return Ok(Err(error)),
        };
        let chance = chance()?;
        let written = new.trust.clone();
        let made = self.change(account, move |change| {
            let (key, path) = (key_of(NameKind::Role, &new.name)?, parse_path(new.path.as_deref())?);
            check_tags(&new.tags)?;
            check_description(new.description.as_deref())?;
            new.boundary.as_deref().map(policy_key).transpose()?;
            let max_session_s = checked_session(new.max_session_s)?;
            if change.get::<IamRole>(&[&key])?.is_some() {
                return Err(IamError::exists(format!("Role with name {} already exists.", new.name)).into());
            }
            if change.account.state.roles >= MOST_ROLES {
                return Err(IamError::quota("RolesPerAccount", MOST_ROLES as usize).into());
            }
            change.check_boundary(new.boundary.as_deref())?;
            let id = unique_id(IdKind::Role, change.account.number, chance);
            let role = IamRole {
                id,
                name: new.name.clone(),
                path,
                made_ms: change.now_ms,
                description: new.description.clone(),
                trust: trust.clone(),
                max_session_s,
                boundary: new.boundary.clone(),
                attached: Vec::new(),
                tags: new.tags.clone(),
            };
            change.account.state.roles += 1;
            change.put(&[&role.id], &PrincipalId { kind: PrincipalKind::Role, name: key.clone() })?;
            change.put(&[&key], &role)?;
            Ok((role.arn(&change.account.id), role))
        });
        Ok(made.await?.map(|(arn, role)| RoleRecord { arn, role, trust: written }))
    }

    /// A role by its name.
    pub async fn role(&self, account: &AccountId, name: &str) -> IamResult<RoleRecord> {
        let name = name.to_owned();
        self.look(account, move |store, account| {
            let role: Option<IamRole> = store.account_record(account, &[&key_of(NameKind::Role, &name)?])?;
            shown(store, account, role.ok_or_else(|| no_role(&name))?)
        })
        .await
    }

    /// The role with an id.
    pub async fn role_of_id(&self, account: &AccountId, id: &str) -> Result<Option<IamRole>, Unavailable> {
        let (account, id) = (account.clone(), id.to_owned());
        self.reader.read(ReadOwner::Server, move |store| role_of_id(store, &account, &id)).await
    }

    /// Up to `most` roles whose path begins with a prefix, behind the marker.
    pub async fn roles(&self, account: &AccountId, prefix: String, marker: Option<String>, most: usize) -> IamResult<IamPage<RoleRecord>> {
        self.look(account, move |store, account| {
            let IamPage { items, marker } = page(store, account, marker, most, |role: &IamRole| role.path.starts_with(&prefix))?;
            let items: Decided<Vec<RoleRecord>> = items.into_iter().map(|role| shown(store, account, role)).collect();
            Ok(IamPage { items: items?, marker })
        })
        .await
    }

    /// Changes who may assume a role.
    pub async fn update_trust(&self, account: &AccountId, name: &str, trust: &str) -> IamResult<()> {
        let resolved = match self.resolved_policy(PolicyKind::Trust, trust).await? {
            Ok(trust) => trust,
            Err(error) => return Ok(Err(error)),
        };
        let name = name.to_owned();
        self.change(account, move |change| {
            let key = key_of(NameKind::Role, &name)?;
            let role = change.get::<IamRole>(&[&key])?.ok_or_else(|| no_role(&name))?;
            change.put(&[&key], &IamRole { trust: resolved.clone(), ..role })?;
            Ok(())
        })
        .await
    }

    /// Deletes a role that has no policies any more.
    pub async fn delete_role(&self, account: &AccountId, name: &str) -> IamResult<()> {
        let name = name.to_owned();
        self.change(account, move |change| {
            let key = key_of(NameKind::Role, &name)?;
            let role = change.get::<IamRole>(&[&key])?.ok_or_else(|| no_role(&name))?;
            if !role.attached.is_empty() {
                return Err(IamError::conflict("detach all policies").into());
            }
            if !change.list::<InlinePolicy>(&["role", &key], 1)?.is_empty() {
                return Err(IamError::conflict("delete policies").into());
            }
            change.account.state.roles = change.account.state.roles.saturating_sub(1);
            change.delete::<PrincipalId>(&[&role.id]);
            change.delete::<IamRole>(&[&key]);
            Ok(())
        })
        .await
    }

    /// A stored policy with principals, with the ARNs that they have now.
    pub async fn shown_policy(&self, kind: PolicyKind, stored: &str) -> IamResult<String> {
        let stored = stored.to_owned();
        let read = move |store: &Store| match shown_policy(store, kind, &stored) {
            Ok(shown) => Ok(Ok(shown)),
            Err(NotDone::Refused(why)) => Ok(Err(why)),
            Err(NotDone::Store(error)) => Err(error),
        };
        self.reader.read(ReadOwner::Server, read).await
    }

    /// A policy with principals as it is stored: users and roles of any account by their ids.
    pub async fn resolved_policy(&self, kind: PolicyKind, text: &str) -> IamResult<String> {
        let text = text.to_owned();
        let read = move |store: &Store| {
            let mut failed = None;
            let resolved = resolve_principals(kind, &text, |name| match id_of(store, name) {
                Ok(id) => id,
                Err(error) => {
                    failed = Some(error);
                    None
                }
            });
            failed.map_or(Ok(resolved.map_err(IamError::from)), Err)
        };
        self.reader.read(ReadOwner::Server, read).await
    }
}

fn checked_session(wanted: Option<i64>) -> Result<u32, IamError> {
    let (least, most, usual) = SESSION_S;
    let wanted = u32::try_from(wanted.unwrap_or(i64::from(usual))).ok().filter(|wanted| (least..=most).contains(wanted));
    let words = "1 validation error detected: Value at 'maxSessionDuration' failed to satisfy constraint";
    wanted.ok_or_else(|| IamError::invalid(format!("{words}: Member must have value between {least} and {most}")))
}

fn shown(store: &Store, account: &AccountId, role: IamRole) -> Decided<RoleRecord> {
    let trust = shown_policy(store, PolicyKind::Trust, &role.trust)?;
    Ok(RoleRecord { arn: role.arn(account), role, trust })
}

/// A stored policy with the ARNs that its principals have now.
pub(in crate::access) fn shown_policy(store: &Store, kind: PolicyKind, stored: &str) -> Decided<String> {
    let mut failed = None;
    let shown = show_principals(kind, stored, |id| match arn_of(store, id) {
        Ok(arn) => arn,
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(shown.map_err(IamError::from)?),
    }
}

pub(in crate::access) fn role_of_id(store: &Store, account: &AccountId, id: &str) -> Result<Option<IamRole>, StoreError> {
    let Some(PrincipalId { kind: PrincipalKind::Role, name }) = store.account_record(account, &[id])? else { return Ok(None) };
    let role: Option<IamRole> = store.account_record(account, &[&name])?;
    Ok(role.filter(|role| role.id == id))
}

/// The id of a user or role of any account.
fn id_of(store: &Store, name: PrincipalName<'_>) -> Result<Option<String>, StoreError> {
    let key = |kind, name| key_of(kind, name).ok();
    Ok(match name {
        PrincipalName::Id(id) => arn_of(store, id)?.map(|_| id.to_owned()),
        PrincipalName::User { account, path, name } => match (AccountId::parse(account), key(NameKind::User, name)) {
            (Some(account), Some(key)) => {
                let user: Option<IamUser> = store.account_record(&account, &[&key])?;
                user.filter(|user| user.path == path && user.name == name).map(|user| user.id)
            }
            _ => None,
        },
        PrincipalName::Role { account, path, name } => match (AccountId::parse(account), key(NameKind::Role, name)) {
            (Some(account), Some(key)) => {
                let role: Option<IamRole> = store.account_record(&account, &[&key])?;
                role.filter(|role| path.is_none_or(|path| role.path == path) && role.name == name).map(|role| role.id)
            }
            _ => None,
        },
    })
}

/// The ARN of the user or role with an id, in any account.
fn arn_of(store: &Store, id: &str) -> Result<Option<String>, StoreError> {
    let Some(number) = account_number_of(id) else { return Ok(None) };
    let Some(account) = store.account_of_number(number.get())? else { return Ok(None) };
    let user = super::users::user_of_id(store, &account, id)?;
    let role = role_of_id(store, &account, id)?;
    let of_user = user.map(|user| format!("arn:aws:iam::{account}:user{}{}", user.path, user.name));
    Ok(of_user.or_else(|| role.map(|role| role.arn(&account))))
}
