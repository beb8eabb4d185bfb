//! What administrators do with users: AdminCreateUser, AdminGetUser, AdminSetUserPassword, ListUsers.

use super::attributes::{self, AttributeWriter, Moment};
use super::fault::UserFault;
use super::names::fold;
use super::sign_up::{aliases, name_taken, new_user, put, take_names, taken};
use super::user_pools::{UserPools, check_username};
use crate::committer::{JobOwner, ReadOwner};
use crate::store::{AliasName, Group, PoolUserKey, Store, Tries, User, UserPool, UserPoolId, UserStatus};

/// Users of one page: QueryLimitType of the service's model.
pub const MOST_LISTED: usize = 60;

/// Users that one page looks at where a filter leaves most out.
const MOST_LOOKED_AT: usize = 1_000;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A user that an administrator makes.
#[derive(Clone, Debug)]
pub struct NewPoolUser<'a> {
    pub username: &'a str,
    pub attributes: &'a [(String, String)],
    /// `None`: the server chooses one.
    pub password: Option<&'a str>,
    /// Whether an address that another user has proved goes over to this one.
    pub takes_alias: bool,
    /// Whether the user is told.
    pub is_told: bool,
    /// Whether a user who is there gets another password and is told again.
    pub is_again: bool,
}

/// Which users are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFilter {
    pub name: String,
    pub value: String,
    /// Whether a value that begins with the text fits.
    pub is_prefix: bool,
}

/// A page of users.
#[derive(Clone, Debug)]
pub struct ListedUsers {
    pub users: Vec<User>,
    /// The name behind which the next page begins.
    pub next: Option<String>,
}

impl UserFilter {
    /// Reads `email = "ann@example.com"` or `email ^= "ann"`: "Searching for and listing users" in the developer guide.
    pub fn parse(text: &str) -> Result<Option<UserFilter>, UserFault> {
        const FAULT: &str = "Error while parsing filter.";
        if text.trim().is_empty() {
            return Ok(None);
        }
        let (name, value) = text.split_once('=').ok_or_else(|| UserFault::parameter(FAULT))?;
        let (name, is_prefix) = name.strip_suffix('^').map_or((name, false), |name| (name, true));
        let value = value.trim().strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.ok_or_else(|| UserFault::parameter(FAULT))?.replace("\\\"", "\"");
        let name = name.trim().trim_matches('"').to_owned();
        const SEARCHABLE: [&str; 11] = [
            "username",
            "email",
            "phone_number",
            "name",
            "given_name",
            "family_name",
            "preferred_username",
            "cognito:user_status",
            "status",
            "sub",
            "enabled",
        ];
        if !SEARCHABLE.contains(&name.as_str()) {
            return Err(UserFault::parameter(FAULT));
        }
        Ok(Some(UserFilter { name, value, is_prefix }))
    }

    fn fits(&self, user: &User) -> bool {
        let value = match self.name.as_str() {
            "username" => Some(user.username.as_str()),
            "sub" => Some(user.sub.as_str()),
            "cognito:user_status" => Some(status_name(user.status)),
            "status" => Some(if user.enabled { "Enabled" } else { "Disabled" }),
            "enabled" => Some(if user.enabled { "true" } else { "false" }),
            name => attributes::value(&user.attributes, name),
        };
        value.is_some_and(|value| if self.is_prefix { value.starts_with(&self.value) } else { value == self.value })
    }
}

/// The service's word for where a user stands.
pub fn status_name(status: UserStatus) -> &'static str {
    match status {
        UserStatus::Unconfirmed => "UNCONFIRMED",
        UserStatus::Confirmed => "CONFIRMED",
        UserStatus::ResetRequired => "RESET_REQUIRED",
        UserStatus::ForceChangePassword => "FORCE_CHANGE_PASSWORD",
    }
}

impl UserPools {
    /// Makes a user who has to choose a password at the first sign-in.
    pub async fn admin_create_user(&self, pool_id: &UserPoolId, pool: &UserPool, new: NewPoolUser<'_>) -> Result<User, UserFault> {
        check_username(new.username)?;
        let settings = &pool.settings;
        let password = match new.password {
            Some(password) => password.to_owned(),
            None => random_password(usize::from(settings.password.minimum_length))?,
        };
        let now_ms = self.clock.unix_ms();
        let until_ms = now_ms.saturating_add(u64::from(settings.password.temporary_days) * DAY_MS);
        if new.is_again {
            let (key, user) = self.find(pool_id, pool, new.username).await?.ok_or(UserFault::NoUser)?;
            if user.status != UserStatus::ForceChangePassword {
                return Err(UserFault::UserState("Resend not possible. status is not FORCE_CHANGE_PASSWORD"));
            }
            let user = self.set_password(key, pool, &password, Some(until_ms), user.sub).await?;
            self.send_invitation(settings, &user, &password)?;
            return Ok(user);
        }
        let given = attributes::checked(settings, new.attributes, AttributeWriter::Administrator, Moment::Creation)?;
        let (key, mut user) = new_user(pool_id, settings, new.username, given, now_ms)?;
        user.password = Some(self.new_password(&key, &settings.password, &password, Some(until_ms)).await?);
        user.status = UserStatus::ForceChangePassword;
        let (takes_alias, then, made) = (new.takes_alias, settings.clone(), user.clone());
        let decide = move |group: &mut Group<'_>, now_ms| {
            if group.live_user_pool(&key.pool)?.is_none() {
                return Ok((Err(UserFault::no_pool(key.pool.as_str())), Vec::new()));
            }
            if group.user(&key)?.is_some() {
                return Ok((Err(UserFault::UsernameTaken("User account already exists")), Vec::new()));
            }
            let names = aliases(&then, &made);
            if let Some(kind) = taken(group, &key, &names)?
                && !(takes_alias && then.aliases.iter().any(|alias| alias == kind))
            {
                let is_username = matches!(then.usernames, crate::store::UsernameKind::Attribute { .. });
                let fault = if is_username { UserFault::UsernameTaken("User account already exists") } else { name_taken(kind) };
                return Ok((Err(fault), Vec::new()));
            }
            take_names(group, &then, &key, &names, now_ms)?;
            put(group, &then, &key, None, &made)?;
            Ok((Ok(()), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await??;
        if new.is_told {
            self.send_invitation(settings, &user, &password)?;
        }
        Ok(user)
    }

    /// The user whom an administrator names.
    pub async fn admin_get_user(&self, pool_id: &UserPoolId, pool: &UserPool, name: &str) -> Result<User, UserFault> {
        Ok(self.named(pool_id, pool, name).await?.1)
    }

    /// Sets a password: for good, or until the user chooses another one at the next sign-in.
    pub async fn admin_set_password(
        &self,
        pool_id: &UserPoolId,
        pool: &UserPool,
        name: &str,
        password: &str,
        is_permanent: bool,
    ) -> Result<(), UserFault> {
        let (key, user) = self.named(pool_id, pool, name).await?;
        let days = u64::from(pool.settings.password.temporary_days);
        let until_ms = (!is_permanent).then(|| self.clock.unix_ms().saturating_add(days * DAY_MS));
        self.set_password(key, pool, password, until_ms, user.sub).await.map(|_| ())
    }

    async fn set_password(
        &self,
        key: PoolUserKey,
        pool: &UserPool,
        password: &str,
        until_ms: Option<u64>,
        sub: String,
    ) -> Result<User, UserFault> {
        let stored = self.new_password(&key, &pool.settings.password, password, until_ms).await?;
        let decide = move |group: &mut Group<'_>, now_ms| {
            let Some(user) = group.user(&key)?.filter(|user| user.sub == sub) else { return Ok((Err(UserFault::NoUser), Vec::new())) };
            let status = if stored.until_ms.is_some() { UserStatus::ForceChangePassword } else { UserStatus::Confirmed };
            let user = User { status, password: Some(stored.clone()), tries: Tries::default(), changed_ms: now_ms, ..user };
            group.put_user(&key, &user)?;
            Ok((Ok(user), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await?
    }

    /// A page of a pool's users, in the order of their names. A filter for another name of users is answered by that name.
    pub async fn list_users(
        &self,
        pool_id: &UserPoolId,
        pool: &UserPool,
        filter: Option<UserFilter>,
        after: Option<String>,
        limit: usize,
    ) -> Result<ListedUsers, UserFault> {
        let limit = limit.clamp(1, MOST_LISTED);
        let (pool_id, settings) = (pool_id.clone(), pool.settings.clone());
        let read = move |store: &Store| {
            if let Some(filter) = filter.as_ref().filter(|filter| filter.name == "sub" && !filter.is_prefix) {
                let value = fold(&settings, &filter.value);
                let key = store.user_of_alias(&pool_id, AliasName { kind: "sub", value: &value })?;
                let user = match key {
                    Some(key) => store.user(&key)?,
                    None => None,
                };
                return Ok(ListedUsers { users: user.into_iter().collect(), next: None });
            }
            let (mut users, mut after, mut looked_at) = (Vec::new(), after, 0);
            loop {
                let page = store.users(&pool_id, after.as_deref(), MOST_LISTED)?;
                let is_last = page.len() < MOST_LISTED;
                looked_at += page.len();
                for (key, user) in page {
                    after = Some(key.name.to_string());
                    if filter.as_ref().is_none_or(|filter| filter.fits(&user)) {
                        users.push(user);
                    }
                    if users.len() == limit {
                        return Ok(ListedUsers { users, next: after });
                    }
                }
                if is_last {
                    return Ok(ListedUsers { users, next: None });
                }
                if looked_at >= MOST_LOOKED_AT {
                    return Ok(ListedUsers { users, next: after });
                }
            }
        };
        Ok(self.reader.read(ReadOwner::Server, read).await?)
    }
}

/// A password that satisfies every policy of its length: one of each class first, then letters and digits.
fn random_password(minimum_length: usize) -> Result<String, UserFault> {
    const CLASSES: [&[u8]; 4] = [b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"abcdefghijkmnopqrstuvwxyz", b"23456789", b"!#%+-=?@"];
    let mut password = String::new();
    for at in 0..minimum_length.max(12) {
        let class = CLASSES[if at < CLASSES.len() { at } else { at % 3 }];
        let chance = getrandom::u64().map_err(|_| UserFault::Internal)? as usize;
        password.push(char::from(class[chance % class.len()]));
    }
    Ok(password)
}
