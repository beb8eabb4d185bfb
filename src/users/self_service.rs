//! What users do for themselves with an access token.

use super::attributes::{self, AttributeWriter, Attributes, Moment};
use super::code;
use super::fault::{LOCKED_OUT, UserFault, WRONG_PASSWORD};
use super::messages::is_for;
use super::names::CodeDelivery;
use super::new_password::sealed_for;
use super::proof::{Password, PasswordHash};
use super::sign_in::set_all;
use super::sign_up::{aliases, name_taken, put, taken};
use super::tokens::Bearer;
use super::tries::{after_failure, is_locked};
use super::user_pools::UserPools;
use crate::committer::JobOwner;
use crate::keyring::SecretKind;
use crate::store::{AliasName, CodeUse, Group, PoolUserKey, StoreError, Tries, User, UserPoolId, UserPoolSettings};

/// A user and the attributes that the client may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnUser {
    pub username: String,
    pub sub: String,
    pub attributes: Attributes,
}

/// A user whose sign-ins have ended: the tokens of until then are refused wherever they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSignIns {
    pub pool: UserPoolId,
    pub sub: String,
    pub until_ms: u64,
}

impl UserPools {
    pub async fn get_user(&self, token: &str) -> Result<OwnUser, UserFault> {
        let Bearer { user, read, .. } = self.bearer(token).await?;
        let may_read = |name: &String| read.is_empty() || read.contains(name) || attributes::verified_name(name).is_some();
        let attributes = user.attributes.into_iter().filter(|(name, _)| may_read(name)).collect();
        Ok(OwnUser { username: user.username, sub: user.sub, attributes })
    }

    /// Sets attributes; an address or number that changes gets a code, if the pool verifies it.
    pub async fn update_attributes(&self, token: &str, given: &[(String, String)]) -> Result<Vec<CodeDelivery>, UserFault> {
        let Bearer { key, pool, user, write, .. } = self.bearer(token).await?;
        let settings = pool.settings;
        let given = attributes::checked(&settings, given, AttributeWriter::User(&write), Moment::Update)?;
        let mut codes = Vec::new();
        for (name, value) in &given {
            let (attribute, code_use) = match name.as_str() {
                attributes::EMAIL => (attributes::EMAIL, CodeUse::Email),
                attributes::PHONE => (attributes::PHONE, CodeUse::Phone),
                _ => continue,
            };
            let changes = attributes::value(&user.attributes, name).unwrap_or_default() != value;
            if changes && !value.is_empty() && settings.auto_verified.contains(name) {
                let code = self.new_code(attribute, value)?;
                let hash = self.code_hash(&user.sub, code_use, value, &code.digits)?;
                codes.push((code_use, hash, code));
            }
        }
        let rows: Vec<_> =
            codes.iter().map(|(code_use, hash, code)| (*code_use, hash.clone(), code.attribute, code.value.clone())).collect();
        let (of, now_settings, sub) = (key.clone(), settings.clone(), user.sub.clone());
        let decide = move |group: &mut Group<'_>, now_ms| {
            let Some(before) = group.user(&of)?.filter(|user| user.sub == sub) else { return Ok((Err(UserFault::NoUser), Vec::new())) };
            let mut user = User { changed_ms: now_ms, ..before.clone() };
            set_all(&mut user, &given);
            if let Some(name) = attributes::missing(&now_settings, &user.attributes) {
                return Ok((Err(UserFault::Parameter(format!("Attribute value for {name} must not be empty"))), Vec::new()));
            }
            if let Some(kind) = taken(group, &of, &aliases(&now_settings, &user))? {
                return Ok((Err(name_taken(kind)), Vec::new()));
            }
            let mut sent = Vec::new();
            for (code_use, hash, attribute, value) in &rows {
                let known = group.user_code(&of, *code_use)?;
                match code::sent(known.as_ref(), *code_use, (attribute, value), hash.clone(), now_ms) {
                    Some(row) if is_for(&row, attribute, value) => sent.push((*code_use, row)),
                    _ => return Ok((Err(UserFault::AttemptLimit), Vec::new())),
                }
            }
            put(group, &now_settings, &of, Some(&before), &user)?;
            sent.iter().try_for_each(|(code_use, row)| group.put_user_code(&of, *code_use, row))?;
            Ok((Ok(user), Vec::new()))
        };
        let user = self.committer.transact(JobOwner::Store, decide).await??;
        codes.iter().map(|(_, _, code)| self.send_code(&settings, &user, code)).collect()
    }

    /// Exchanges the password. Wrong ones count as those of sign-ins do.
    pub async fn change_password(&self, token: &str, previous: &str, proposed: &str) -> Result<(), UserFault> {
        let Bearer { key, pool, user, .. } = self.bearer(token).await?;
        Password::parse(previous)?;
        if is_locked(user.tries, self.clock.unix_ms()) {
            return Err(LOCKED_OUT);
        }
        let stored = self.new_password(&key, &pool.settings.password, proposed, None).await?;
        let known = user.password.ok_or(WRONG_PASSWORD)?;
        let hash = self.open_secret(SecretKind::PasswordHash, &sealed_for(&key), &known.hash).await?;
        let previous = zeroize::Zeroizing::new(previous.to_owned());
        let check = move || -> Result<bool, UserFault> {
            let hash = PasswordHash::from_bytes(&hash).ok_or(UserFault::Internal)?;
            Ok(hash.accepts(Password::parse(&previous)?)?)
        };
        let is_right = self.workers.run(check).await??;
        let decide = move |group: &mut Group<'_>, now_ms| {
            let Some(user) = group.user(&key)? else { return Ok((Err(UserFault::NoUser), Vec::new())) };
            if is_locked(user.tries, now_ms) {
                return Ok((Err(LOCKED_OUT), Vec::new()));
            }
            let is_current = user.password.as_ref().is_some_and(|stored| stored.number == known.number);
            if !is_right || !is_current {
                group.put_user(&key, &User { tries: after_failure(user.tries, now_ms), ..user })?;
                return Ok((Err(WRONG_PASSWORD), Vec::new()));
            }
            let (password, tries) = (Some(stored.clone()), Tries::default());
            group.put_user(&key, &User { password, tries, changed_ms: now_ms, ..user })?;
            Ok((Ok(()), Vec::new()))
        };
        self.committer.transact(JobOwner::Store, decide).await?
    }

    /// Ends all sign-ins of a user.
    pub async fn global_sign_out(&self, token: &str) -> Result<EndedSignIns, UserFault> {
        let Bearer { key, user, .. } = self.bearer(token).await?;
        let (pool, sub) = (key.pool.clone(), user.sub);
        let decide = move |group: &mut Group<'_>, now_ms| {
            let Some(user) = group.user(&key)? else { return Ok((Err(UserFault::NoUser), Vec::new())) };
            group.put_user(&key, &User { signed_out_ms: now_ms, ..user })?;
            group.delete_families(&key)?;
            Ok((Ok(now_ms), Vec::new()))
        };
        let until_ms = self.committer.transact(JobOwner::Store, decide).await??;
        Ok(EndedSignIns { pool, sub, until_ms })
    }

    /// Deletes the user who shows the token.
    pub async fn delete_user(&self, token: &str) -> Result<EndedSignIns, UserFault> {
        let Bearer { key, pool, user, .. } = self.bearer(token).await?;
        let (settings, sub, id) = (pool.settings, user.sub.clone(), key.pool.clone());
        let decide = move |group: &mut Group<'_>, now_ms| {
            let is_gone = delete(group, &settings, &key, &user.sub)?;
            Ok((if is_gone { Ok(now_ms) } else { Err(UserFault::NoUser) }, Vec::new()))
        };
        let until_ms = self.committer.transact(JobOwner::Store, decide).await??;
        Ok(EndedSignIns { pool: id, sub, until_ms })
    }
}

/// Deletes a user with all rows and names; whether the user with this `sub` was there.
pub(super) fn delete(group: &mut Group<'_>, settings: &UserPoolSettings, key: &PoolUserKey, sub: &str) -> Result<bool, StoreError> {
    let Some(user) = group.user(key)?.filter(|user| user.sub == sub) else { return Ok(false) };
    let names = aliases(settings, &user);
    let names: Vec<AliasName<'_>> = names.iter().map(|(kind, value)| AliasName { kind, value }).collect();
    group.delete_user(key, &names)
}
