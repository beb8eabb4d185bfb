//! Groups of users.

use super::error::{IamError, IamResult, no_group};
use super::names::{NameKind, key_of, parse_path};
use super::page::{IamPage, MOST_ITEMS};
use super::unique_id::{IdKind, unique_id};
use super::users::{chance, find_user, page};
use crate::access::shared::Accounts;
use crate::store::{AccountId, GroupMember, IamGroup, IamUser, InlinePolicy};

/// Groups of an account.
const MOST_GROUPS: u32 = 300;

impl Accounts {
    /// Makes a group.
    pub async fn create_group(&self, account: &AccountId, name: &str, path: Option<String>) -> IamResult<IamGroup> {
        let (name, chance) = (name.to_owned(), chance()?);
        self.change(account, move |change| {
            let (key, path) = (key_of(NameKind::Group, &name)?, parse_path(path.as_deref())?);
            if change.get::<IamGroup>(&[&key])?.is_some() {
                return Err(IamError::exists(format!("Group with name {name} already exists.")).into());
            }
            if change.account.state.groups >= MOST_GROUPS {
                return Err(IamError::quota("GroupsPerAccount", MOST_GROUPS as usize).into());
            }
            let id = unique_id(IdKind::Group, change.account.number, chance);
            let group = IamGroup { id, name: name.clone(), path, made_ms: change.now_ms, attached: Vec::new() };
            change.account.state.groups += 1;
            change.put(&[&key], &group)?;
            Ok(group)
        })
        .await
    }

    /// A group by its name, with up to `most` of its users behind the marker.
    pub async fn group(
        &self,
        account: &AccountId,
        name: &str,
        marker: Option<String>,
        most: usize,
    ) -> IamResult<(IamGroup, IamPage<IamUser>)> {
        let name = name.to_owned();
        self.look(account, move |store, account| {
            let key = key_of(NameKind::Group, &name)?;
            let Some(group) = store.account_record::<IamGroup>(account, &[&key])? else { return Err(no_group(&name).into()) };
            let most = most.min(MOST_ITEMS);
            let mut members = store.account_records::<GroupMember>(account, &[&key], marker.as_deref(), most + 1)?;
            let is_last = members.len() <= most;
            members.truncate(most);
            let (mut items, mut end) = (Vec::new(), None);
            for (names, _) in members {
                end = names.into_iter().next();
                items.extend(end.as_deref().map(|user| store.account_record(account, &[user])).transpose()?.flatten());
            }
            Ok((group, IamPage { items, marker: end.filter(|_| !is_last) }))
        })
        .await
    }

    /// Up to `most` groups whose path begins with a prefix, behind the marker.
    pub async fn groups(&self, account: &AccountId, prefix: String, marker: Option<String>, most: usize) -> IamResult<IamPage<IamGroup>> {
        self.look(account, move |store, account| page(store, account, marker, most, |group: &IamGroup| group.path.starts_with(&prefix)))
            .await
    }

    /// The groups of a user: ten at most.
    pub async fn groups_of_user(&self, account: &AccountId, user: &str) -> IamResult<Vec<IamGroup>> {
        let name = user.to_owned();
        self.look(account, move |store, account| {
            let user = find_user(store, account, &name)?;
            let groups = user.groups.iter().filter_map(|group| store.account_record(account, &[group]).transpose());
            Ok(groups.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Deletes a group that has no users and no policies any more.
    pub async fn delete_group(&self, account: &AccountId, name: &str) -> IamResult<()> {
        let name = name.to_owned();
        self.change(account, move |change| {
            let key = key_of(NameKind::Group, &name)?;
            let Some(group) = change.get::<IamGroup>(&[&key])? else { return Err(no_group(&name).into()) };
            if !change.list::<GroupMember>(&[&key], 1)?.is_empty() {
                return Err(IamError::conflict("remove users from group").into());
            }
            if !group.attached.is_empty() {
                return Err(IamError::conflict("detach all policies").into());
            }
            if !change.list::<InlinePolicy>(&["group", &key], 1)?.is_empty() {
                return Err(IamError::conflict("delete policies").into());
            }
            change.account.state.groups = change.account.state.groups.saturating_sub(1);
            change.delete::<IamGroup>(&[&key]);
            Ok(())
        })
        .await
    }
}
