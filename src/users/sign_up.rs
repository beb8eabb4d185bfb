//! Users make themselves: SignUp, ConfirmSignUp, ResendConfirmationCode.

use super::attributes::{self, AttributeWriter, Attributes, Moment};
use super::code::{self, CodeTry};
use super::fault::UserFault;
use super::messages::target;
use super::names::CodeDelivery;
use super::names::fold;
use super::unknown_users;
use super::user_pools::{ClientCall, UserPools, alias_kinds, check_username};
use crate::committer::JobOwner;
use crate::store::{
    AliasName, CodeUse, Group, PoolUserKey, StoreError, Tries, User, UserPoolId, UserPoolSettings, UserStatus, UsernameKind,
};
use uuid::Uuid;

/// What a new user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedUp {
    pub sub: String,
    /// Where the code was sent; `None`: an administrator confirms the user.
    pub delivery: Option<CodeDelivery>,
}

/// A user who is about to be made, with the name that the rows are found by.
pub(super) fn new_user(
    pool: &UserPoolId,
    settings: &UserPoolSettings,
    name: &str,
    mut attributes: Attributes,
    now_ms: u64,
) -> Result<(PoolUserKey, User), UserFault> {
    let sub = Uuid::new_v4().to_string();
    let username = match settings.usernames {
        UsernameKind::Chosen => {
            let is_other_name = |alias: &String| match alias.as_str() {
                attributes::EMAIL => attributes::is_email(name),
                attributes::PHONE => attributes::is_phone(name),
                _ => false,
            };
            if settings.aliases.iter().any(is_other_name) {
                let words = "Username cannot be of email format, since user pool is configured for email alias.";
                return Err(UserFault::parameter(words));
            }
            fold(settings, name)
        }
        UsernameKind::Attribute { email, phone } => {
            let (attribute, value) = match (email && attributes::is_email(name), phone && attributes::is_phone(name)) {
                (true, _) => (attributes::EMAIL, fold(settings, name)),
                (_, true) => (attributes::PHONE, name.to_owned()),
                _ => return Err(UserFault::parameter("Username should be an email or a phone number.")),
            };
            attributes::set(&mut attributes, attribute, &value);
            sub.clone()
        }
    };
    let key = PoolUserKey { pool: pool.clone(), name: username.as_str().into() };
    let user = User {
        username,
        sub,
        status: UserStatus::Unconfirmed,
        enabled: true,
        made_ms: now_ms,
        changed_ms: now_ms,
        attributes,
        password: None,
        signed_out_ms: 0,
        tries: Tries::default(),
    };
    Ok((key, user))
}

/// The other names that a user has now.
pub(super) fn aliases(settings: &UserPoolSettings, user: &User) -> Vec<(&'static str, String)> {
    let by_attribute = matches!(settings.usernames, UsernameKind::Attribute { .. });
    let of = |kind: &'static str| {
        let value = if kind == "sub" { Some(user.sub.as_str()) } else { attributes::value(&user.attributes, kind) };
        // An address that is only an alias belongs to everybody who proves it; one that is the username, to everybody who came first.
        let counts = by_attribute || attributes::verified_name(kind).is_none() || attributes::is_verified(&user.attributes, kind);
        value.filter(|_| counts).map(|value| (kind, fold(settings, value)))
    };
    alias_kinds(settings).into_iter().filter_map(of).collect()
}

/// Whether one of these names is another user's.
pub(super) fn taken(
    group: &mut Group<'_>,
    key: &PoolUserKey,
    names: &[(&'static str, String)],
) -> Result<Option<&'static str>, StoreError> {
    for (kind, value) in names {
        if group.user_of_alias(&key.pool, AliasName { kind, value })?.is_some_and(|other| other != *key) {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// Writes a user, whose other names were those of `before`, with the names of now.
pub(super) fn put(
    group: &mut Group<'_>,
    settings: &UserPoolSettings,
    key: &PoolUserKey,
    before: Option<&User>,
    user: &User,
) -> Result<(), StoreError> {
    let now = aliases(settings, user);
    let old = before.map(|before| aliases(settings, before)).unwrap_or_default();
    for (kind, value) in old.iter().filter(|name| !now.contains(name)) {
        group.delete_alias(key, AliasName { kind, value })?;
    }
    for (kind, value) in now.iter().filter(|name| !old.contains(name)) {
        group.put_alias(key, AliasName { kind, value })?;
    }
    group.put_user(key, user)
}

/// The words for a name that is taken.
pub(super) fn name_taken(kind: &str) -> UserFault {
    match kind {
        attributes::EMAIL => UserFault::AliasTaken("An account with the given email already exists."),
        attributes::PHONE => UserFault::AliasTaken("An account with the given phone_number already exists."),
        _ => UserFault::AliasTaken("Already found an entry for username"),
    }
}

const TAKEN: UserFault = UserFault::UsernameTaken("User already exists");

impl UserPools {
    /// Makes a user who still has to be confirmed.
    pub async fn sign_up(
        &self,
        call: &ClientCall,
        username: &str,
        password: &str,
        given: &[(String, String)],
    ) -> Result<SignedUp, UserFault> {
        check_username(username)?;
        let settings = &call.pool.settings;
        if settings.admin_only {
            return Err(UserFault::NotAuthorized("SignUp is not permitted for this user pool"));
        }
        let attributes = attributes::checked(settings, given, AttributeWriter::User(&call.client.write), Moment::Creation)?;
        let now_ms = self.clock.unix_ms();
        let (key, mut user) = new_user(&call.pool_id, settings, username, attributes, now_ms)?;
        if let Some(name) = attributes::missing(settings, &user.attributes) {
            return Err(UserFault::parameter(format!("Attributes did not conform to the schema: {name}: The attribute is required")));
        }
        // Before the password is hashed; the transaction looks again.
        if self.find(&call.pool_id, &call.pool, username).await?.is_some() {
            return Err(TAKEN);
        }
        user.password = Some(self.new_password(&key, &settings.password, password, None).await?);
        let target = target(&user, |name| settings.auto_verified.iter().any(|one| one == name));
        let code = target.map(|(attribute, value)| self.new_code(attribute, value)).transpose()?;
        let row = match &code {
            Some(code) => {
                let hash = self.code_hash(&user.sub, CodeUse::SignUp, &code.value, &code.digits)?;
                code::sent(None, CodeUse::SignUp, (code.attribute, &code.value), hash, now_ms)
            }
            None => None,
        };
        let (settings_then, new) = (settings.clone(), user.clone());
        let decide = move |group: &mut Group<'_>, _| {
            let names = aliases(&settings_then, &new);
            if group.live_user_pool(&key.pool)?.is_none() {
                return Ok((Err(UserFault::no_pool(key.pool.as_str())), Vec::new()));
            }
            // A name may not be the other name of somebody else either.
            let is_alias = taken(group, &key, &names)?.is_some();
            if group.user(&key)?.is_some() || is_alias {
                return Ok((Err(TAKEN), Vec::new()));
            }
            put(group, &settings_then, &key, None, &new)?;
            if let Some(row) = &row {
                group.put_user_code(&key, CodeUse::SignUp, row)?;
            }
            Ok((Ok(()), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await??;
        let delivery = code.map(|code| self.send_code(settings, &user, &code)).transpose()?;
        Ok(SignedUp { sub: user.sub, delivery })
    }

    /// Confirms a user by the code. `takes_alias`: an address that another user has proved goes over to this one.
    pub async fn confirm_sign_up(&self, call: &ClientCall, username: &str, digits: &str, takes_alias: bool) -> Result<(), UserFault> {
        check_username(username)?;
        let now_ms = self.clock.unix_ms();
        let Some((key, user)) = self.find(&call.pool_id, &call.pool, username).await? else {
            return Err(self.unknown_user_tries_code(call, username, CodeUse::SignUp).await?);
        };
        let settings = call.pool.settings.clone();
        let row = self.code_row(&key, CodeUse::SignUp).await?;
        let hash = self.code_hash(&user.sub, CodeUse::SignUp, row.as_ref().map_or("", |row| &row.value), digits)?;
        let (sub, hides) = (user.sub, call.client.hides_users);
        let decide = move |group: &mut Group<'_>, _| {
            let Some(before) = group.user(&key)?.filter(|user| user.sub == sub) else { return Ok((Err(UserFault::NoUser), Vec::new())) };
            if before.status != UserStatus::Unconfirmed {
                let words = "User cannot be confirmed. Current status is CONFIRMED";
                return Ok((Err(if hides { UserFault::CodeExpired } else { UserFault::NotAuthorized(words) }), Vec::new()));
            }
            let Some(row) = group.user_code(&key, CodeUse::SignUp)? else { return Ok((Err(UserFault::CodeExpired), Vec::new())) };
            let (outcome, after) = code::tried(&row, &hash, now_ms);
            if let Some(fault) = refused(outcome) {
                group.put_user_code(&key, CodeUse::SignUp, &after)?;
                return Ok((Err(fault), Vec::new()));
            }
            let mut user = User { status: UserStatus::Confirmed, changed_ms: now_ms, ..before.clone() };
            if let Some(name) = attributes::verified_name(&row.attribute)
                && attributes::value(&user.attributes, &row.attribute) == Some(row.value.as_str())
            {
                attributes::set(&mut user.attributes, name, "true");
            }
            let names = aliases(&settings, &user);
            if let Some(kind) = taken(group, &key, &names)?
                && !takes_alias
            {
                return Ok((Err(name_taken(kind)), Vec::new()));
            }
            take_names(group, &settings, &key, &names, now_ms)?;
            put(group, &settings, &key, Some(&before), &user)?;
            group.put_user_code(&key, CodeUse::SignUp, &after)?;
            Ok((Ok(()), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await?
    }

    /// Sends another code to a user who is not confirmed.
    pub async fn resend_code(&self, call: &ClientCall, username: &str) -> Result<CodeDelivery, UserFault> {
        check_username(username)?;
        let Some((key, user)) = self.find(&call.pool_id, &call.pool, username).await? else {
            return self.unknown_user_asks_for_code(call, username, CodeUse::SignUp).await;
        };
        let settings = &call.pool.settings;
        let target = target(&user, |name| settings.auto_verified.iter().any(|one| one == name));
        if user.status != UserStatus::Unconfirmed {
            return match call.client.hides_users {
                true => self.unknown_user_asks_for_code(call, username, CodeUse::SignUp).await,
                false => Err(UserFault::parameter("User is already confirmed.")),
            };
        }
        let Some((attribute, value)) = target else {
            return Err(UserFault::parameter("Auto verification not turned on."));
        };
        self.send_new_code(settings, &key, &user, CodeUse::SignUp, attribute, value).await
    }

    /// Writes a new code and sends it.
    pub(super) async fn send_new_code(
        &self,
        settings: &UserPoolSettings,
        key: &PoolUserKey,
        user: &User,
        code_use: CodeUse,
        attribute: &'static str,
        value: &str,
    ) -> Result<CodeDelivery, UserFault> {
        let code = self.new_code(attribute, value)?;
        let hash = self.code_hash(&user.sub, code_use, value, &code.digits)?;
        let (key, value, now_ms) = (key.clone(), value.to_owned(), self.clock.unix_ms());
        let decide = move |group: &mut Group<'_>, _| {
            let known = group.user_code(&key, code_use)?;
            let Some(row) = code::sent(known.as_ref(), code_use, (attribute, &value), hash.clone(), now_ms) else {
                return Ok((Err(UserFault::AttemptLimit), Vec::new()));
            };
            group.put_user_code(&key, code_use, &row)?;
            Ok((Ok(()), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await??;
        self.send_code(settings, user, &code)
    }

    pub(super) async fn code_row(&self, key: &PoolUserKey, code: CodeUse) -> Result<Option<crate::store::StoredCode>, UserFault> {
        let key = key.clone();
        Ok(self.reader.read(crate::committer::ReadOwner::Server, move |store| store.user_code(&key, code)).await?)
    }

    /// What somebody is told who tries a code of a user who is not there.
    pub(super) async fn unknown_user_tries_code(&self, call: &ClientCall, name: &str, code: CodeUse) -> Result<UserFault, UserFault> {
        self.write_decoy(&call.pool_id).await?;
        if !call.client.hides_users {
            return Ok(UserFault::NoUser);
        }
        let outcome = self.unknown_users.tried(&call.pool_id, &fold(&call.pool.settings, name), code, self.clock.unix_ms());
        Ok(refused(outcome).unwrap_or(UserFault::CodeWrong))
    }

    /// What somebody is told who asks for a code of a user who is not there.
    pub(super) async fn unknown_user_asks_for_code(&self, call: &ClientCall, name: &str, code: CodeUse) -> Result<CodeDelivery, UserFault> {
        self.write_decoy(&call.pool_id).await?;
        if !call.client.hides_users {
            return Err(UserFault::NoUser);
        }
        let folded = fold(&call.pool.settings, name);
        if !self.unknown_users.sent(&call.pool_id, &folded, code, self.clock.unix_ms()) {
            return Err(UserFault::AttemptLimit);
        }
        Ok(unknown_users::delivery(&self.lasting_key("user pool unknown_users")?, &call.pool_id, &folded)?)
    }

    /// Writes one row of the pool, always the same: what is done for a user who is there waits for the disk, so what is not done has to wait too.
    pub(super) async fn write_decoy(&self, pool: &UserPoolId) -> Result<(), UserFault> {
        let (key, now_ms) = (PoolUserKey { pool: pool.clone(), name: "".into() }, self.clock.unix_ms());
        let row = code::sent(None, CodeUse::Password, ("", ""), vec![0; 32], now_ms);
        let decide = move |group: &mut Group<'_>, _| {
            if let Some(row) = row.as_ref().filter(|_| true)
                && group.live_user_pool(&key.pool)?.is_some()
            {
                group.put_user_code(&key, CodeUse::Password, row)?;
            }
            Ok(((), Vec::new()))
        };
        Ok(self.committer.transact(JobOwner::Store, decide).await?)
    }
}

/// Takes these names from everybody who has them: an address that is an alias goes over to who has proved it last.
pub(super) fn take_names(
    group: &mut Group<'_>,
    settings: &UserPoolSettings,
    key: &PoolUserKey,
    names: &[(&'static str, String)],
    now_ms: u64,
) -> Result<(), StoreError> {
    for (kind, value) in names {
        let Some(other) = group.user_of_alias(&key.pool, AliasName { kind, value })?.filter(|other| other != key) else { continue };
        let Some(before) = group.user(&other)? else { continue };
        let mut user = User { changed_ms: now_ms, ..before.clone() };
        match attributes::verified_name(kind) {
            Some(name) => attributes::set(&mut user.attributes, name, "false"),
            None => attributes::set(&mut user.attributes, kind, ""),
        }
        put(group, settings, &other, Some(&before), &user)?;
    }
    Ok(())
}

/// Why a code is not accepted.
pub(super) fn refused(outcome: CodeTry) -> Option<UserFault> {
    match outcome {
        CodeTry::Right => None,
        CodeTry::Wrong => Some(UserFault::CodeWrong),
        CodeTry::Expired => Some(UserFault::CodeExpired),
        CodeTry::TooMany => Some(UserFault::TooManyTries),
    }
}
