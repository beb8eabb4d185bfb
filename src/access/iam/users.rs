//! Users.

use super::change::Decided;
use super::error::{IamError, IamResult, no_group};
use super::names::{NameKind, check_tags, key_of, parse_path, policy_key};
use super::page::{IamPage, MOST_ITEMS};
use super::unique_id::{IdKind, unique_id};
use crate::access::UserIdentity;
use crate::access::shared::Accounts;
use crate::committer::Unavailable;
use crate::store::{AccountId, AccountRecord, GroupMember, IamTag, IamUser, InlinePolicy, PrincipalId, PrincipalKind, Store};

/// Users of an account ("IAM and AWS STS quotas").
const MOST_USERS: u32 = 5000;

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: String,
    pub path: Option<String>,
    pub boundary: Option<String>,
    pub tags: Vec<IamTag>,
}

pub(super) fn no_user(name: &str) -> IamError {
    IamError::absent(format!("The user with name {name} cannot be found."))
}

impl Accounts {
    /// Makes a user.
    pub async fn create_user(&self, account: &AccountId, new: NewUser) -> IamResult<IamUser> {
        let chance = chance()?;
        self.change(account, move |change| {
            let key = checked(&new)?;
            if change.get::<IamUser>(&[&key])?.is_some() {
                return Err(IamError::exists(format!("User with name {} already exists.", new.name)).into());
            }
            if change.account.state.users >= MOST_USERS {
                return Err(IamError::quota("UsersPerAccount", MOST_USERS as usize).into());
            }
            change.check_boundary(new.boundary.as_deref())?;
            let id = unique_id(IdKind::User, change.account.number, chance);
            let path = parse_path(new.path.as_deref()).unwrap_or_default();
            let (name, boundary, tags) = (new.name.clone(), new.boundary.clone(), new.tags.clone());
            let user = IamUser { id, name, path, made_ms: change.now_ms, boundary, groups: Vec::new(), attached: Vec::new(), tags };
            change.account.state.users += 1;
            change.put(&[&user.id], &PrincipalId { kind: PrincipalKind::User, name: key.clone() })?;
            change.put(&[&key], &user)?;
            Ok(user)
        })
        .await
    }

    /// A user by its name.
    pub async fn user(&self, account: &AccountId, name: &str) -> IamResult<IamUser> {
        let name = name.to_owned();
        self.look(account, move |store, account| find_user(store, account, &name)).await
    }

    /// The user with an id.
    pub async fn user_of_id(&self, account: &AccountId, id: &str) -> Result<Option<IamUser>, Unavailable> {
        let id = id.to_owned();
        self.look(account, move |store, account| {
            user_of_id(store, account, &id)?.ok_or_else(|| IamError::absent("The user cannot be found.").into())
        })
        .await
        .map(Result::ok)
    }

    /// Up to `most` users whose path begins with a prefix, behind the marker.
    pub async fn users(&self, account: &AccountId, prefix: String, marker: Option<String>, most: usize) -> IamResult<IamPage<IamUser>> {
        self.look(account, move |store, account| page(store, account, marker, most, |user: &IamUser| user.path.starts_with(&prefix))).await
    }

    /// Deletes a user that has nothing any more.
    pub async fn delete_user(&self, account: &AccountId, name: &str) -> IamResult<()> {
        let name = name.to_owned();
        self.change(account, move |change| {
            let key = key_of(NameKind::User, &name)?;
            let Some(user) = change.get::<IamUser>(&[&key])? else { return Err(no_user(&name).into()) };
            if !user.groups.is_empty() {
                return Err(IamError::conflict("remove users from group").into());
            }
            if !user.attached.is_empty() {
                return Err(IamError::conflict("detach all policies").into());
            }
            if !change.list::<InlinePolicy>(&["user", &key], 1)?.is_empty() {
                return Err(IamError::conflict("delete policies").into());
            }
            if !change.access_key_ids(&user.id)?.is_empty() {
                return Err(IamError::conflict("delete access keys").into());
            }
            change.account.state.users = change.account.state.users.saturating_sub(1);
            change.delete::<PrincipalId>(&[&user.id]);
            change.delete::<IamUser>(&[&key]);
            Ok(())
        })
        .await
    }

    /// Puts a user into a group; a user that is in it stays in it.
    pub async fn add_to_group(&self, account: &AccountId, group: &str, user: &str) -> IamResult<()> {
        /// Groups of one user.
        const MOST_GROUPS: usize = 10;
        let (group, name) = (group.to_owned(), user.to_owned());
        self.change(account, move |change| {
            let (group_key, key) = (key_of(NameKind::Group, &group)?, key_of(NameKind::User, &name)?);
            if change.get::<crate::store::IamGroup>(&[&group_key])?.is_none() {
                return Err(no_group(&group).into());
            }
            let Some(mut user) = change.get::<IamUser>(&[&key])? else { return Err(no_user(&name).into()) };
            if user.groups.contains(&group_key) {
                return Ok(());
            }
            if user.groups.len() >= MOST_GROUPS {
                return Err(IamError::quota("GroupsPerUser", MOST_GROUPS).into());
            }
            user.groups.push(group_key.clone());
            change.put(&[&key], &user)?;
            change.put(&[&group_key, &key], &GroupMember { made_ms: change.now_ms })?;
            Ok(())
        })
        .await
    }

    /// Takes a user out of a group.
    pub async fn remove_from_group(&self, account: &AccountId, group: &str, user: &str) -> IamResult<()> {
        let (group, name) = (group.to_owned(), user.to_owned());
        self.change(account, move |change| {
            let (group_key, key) = (key_of(NameKind::Group, &group)?, key_of(NameKind::User, &name)?);
            if change.get::<crate::store::IamGroup>(&[&group_key])?.is_none() {
                return Err(no_group(&group).into());
            }
            let Some(mut user) = change.get::<IamUser>(&[&key])? else { return Err(no_user(&name).into()) };
            if change.get::<GroupMember>(&[&group_key, &key])?.is_none() {
                return Err(IamError::absent(format!("The user with name {name} is not in the group with name {group}.")).into());
            }
            user.groups.retain(|other| *other != group_key);
            change.put(&[&key], &user)?;
            change.delete::<GroupMember>(&[&group_key, &key]);
            Ok(())
        })
        .await
    }
}

fn checked(new: &NewUser) -> Result<String, IamError> {
    parse_path(new.path.as_deref())?;
    check_tags(&new.tags)?;
    if let Some(boundary) = &new.boundary {
        policy_key(boundary)?;
    }
    key_of(NameKind::User, &new.name)
}

pub(super) fn find_user(store: &Store, account: &AccountId, name: &str) -> Decided<IamUser> {
    let key = key_of(NameKind::User, name)?;
    store.account_record(account, &[&key])?.ok_or_else(|| no_user(name).into())
}

pub(in crate::access) fn user_of_id(store: &Store, account: &AccountId, id: &str) -> Result<Option<IamUser>, crate::store::StoreError> {
    let Some(PrincipalId { kind: PrincipalKind::User, name }) = store.account_record(account, &[id])? else { return Ok(None) };
    let user: Option<IamUser> = store.account_record(account, &[&name])?;
    Ok(user.filter(|user| user.id == id))
}

/// Records that `is_wanted`, behind a marker, which is the key of the last one that was looked at. At most 1,000 rows are read.
pub(super) fn page<R: AccountRecord>(
    store: &Store,
    account: &AccountId,
    marker: Option<String>,
    most: usize,
    is_wanted: impl Fn(&R) -> bool,
) -> Decided<IamPage<R>> {
    let mut read = store.account_records::<R>(account, &[], marker.as_deref(), MOST_ITEMS + 1)?;
    let mut is_last = read.len() <= MOST_ITEMS;
    read.truncate(MOST_ITEMS);
    let (mut items, mut end) = (Vec::new(), None);
    for (names, record) in read {
        if items.len() == most {
            is_last = false;
            break;
        }
        end = names.into_iter().next();
        if is_wanted(&record) {
            items.push(record);
        }
    }
    Ok(IamPage { items, marker: end.filter(|_| !is_last) })
}

/// 128 random bits.
pub(super) fn chance() -> Result<u128, Unavailable> {
    let half = || getrandom::u64().map_err(|_| Unavailable::Now);
    Ok((u128::from(half()?) << 64) | u128::from(half()?))
}

impl UserIdentity {
    /// A user as a caller.
    pub fn of(account: AccountId, user: &IamUser) -> UserIdentity {
        UserIdentity { account, id: user.id.clone(), path: user.path.clone(), name: user.name.clone() }
    }
}
