//! Signing in: InitiateAuth, RespondToAuthChallenge and what administrators have in their place.

use uuid::Uuid;

use super::attributes::{self, AttributeWriter, Moment};
use super::challenge::{self, ChallengeKind, PendingSignIn, SignInChallenge};
use super::fault::{LOCKED_OUT, UserFault, WRONG_PASSWORD};
use super::names::fold;
use super::new_password::sealed_for;
use super::proof::{Password, PasswordHash, SrpClaim, SrpClientKey, SrpExchange, SrpRefusal, SrpVerifier};
use super::sign_in_answer::{AuthFlow, ChallengeParameters, SignInAnswer, SignedIn};
use super::sign_up::{aliases, name_taken, put, taken};
use super::tokens::SecretProof;
use super::tries::{after_failure, is_locked};
use super::unknown_users;
use super::user_pools::{ClientCall, UserPools, check_username};
use crate::committer::JobOwner;
use crate::keyring::{OpenError, SecretKind};
use crate::store::{Family, FamilyState, Group, PoolUserKey, StoredPassword, Tries, User, UserStatus};

/// What a password was proved for.
struct Proved {
    id: Uuid,
    made_ms: u64,
    /// The number of the password.
    password: u64,
    is_right: bool,
}

/// What a right password leads to.
enum SignInDecision {
    Wrong,
    Locked,
    Fault(UserFault),
    Live(Box<User>),
    NewPassword(Box<User>),
}

fn parameter<'a>(parameters: &'a ChallengeParameters, name: &'static str) -> Result<&'a str, UserFault> {
    parameters.get(name).map(String::as_str).ok_or_else(|| UserFault::parameter(format!("Missing required parameter {name}")))
}

impl UserPools {
    /// Begins a sign-in.
    pub async fn initiate(&self, call: &ClientCall, flow: AuthFlow, parameters: &ChallengeParameters) -> Result<SignInAnswer, UserFault> {
        let secret_hash = parameters.get("SECRET_HASH").map(String::as_str);
        let allowed: &[&str] = match flow {
            AuthFlow::UserSrp => &["ALLOW_USER_SRP_AUTH"],
            AuthFlow::UserPassword => &["ALLOW_USER_PASSWORD_AUTH", "USER_PASSWORD_AUTH"],
            AuthFlow::AdminUserPassword => &["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ADMIN_NO_SRP_AUTH"],
            AuthFlow::Refresh => &["ALLOW_REFRESH_TOKEN_AUTH"],
        };
        call.check_flow(allowed)?;
        if flow == AuthFlow::Refresh {
            if call.client.rotation_grace_s.is_some() {
                return Err(UserFault::parameter("Refresh token rotation is on for this client: use GetTokensFromRefreshToken"));
            }
            let token = parameter(parameters, "REFRESH_TOKEN")?;
            let tokens = self.refresh(call, token, SecretProof::Hash(secret_hash)).await?;
            return Ok(SignInAnswer::Tokens(SignedIn { tokens }));
        }
        let username = parameter(parameters, "USERNAME")?;
        check_username(username)?;
        call.check_secret_hash(username, secret_hash)?;
        match flow {
            AuthFlow::UserSrp => self.start_srp(call, username, parameter(parameters, "SRP_A")?).await.map(SignInAnswer::Challenge),
            _ => self.check_password(call, username, parameter(parameters, "PASSWORD")?).await,
        }
    }

    /// Answers a challenge.
    pub async fn respond(
        &self,
        call: &ClientCall,
        challenge: &str,
        session: Option<&str>,
        responses: &ChallengeParameters,
    ) -> Result<SignInAnswer, UserFault> {
        let username = parameter(responses, "USERNAME")?;
        check_username(username)?;
        call.check_secret_hash(username, responses.get("SECRET_HASH").map(String::as_str))?;
        match challenge {
            "PASSWORD_VERIFIER" => self.check_srp(call, username, responses).await,
            "NEW_PASSWORD_REQUIRED" => self.answer_new_password(call, username, session, responses).await,
            _ => Err(UserFault::parameter("This server has no such challenge")),
        }
    }

    async fn start_srp(&self, call: &ClientCall, username: &str, client_key: &str) -> Result<SignInChallenge, UserFault> {
        let client_key = SrpClientKey::parse(client_key).map_err(|why| UserFault::parameter(why.to_string()))?;
        let found = self.find(&call.pool_id, &call.pool, username).await?;
        if found.is_none() && !call.client.hides_users {
            return Err(UserFault::NoUser);
        }
        let unknown_user = unknown_users::srp_name(&self.lasting_key("user pool unknown_users")?, &call.pool_id, &call.pool, username)?;
        let name = found.as_ref().map_or(unknown_user, |(key, _)| key.name.to_string());
        let (stored, verifier) = self.verifier(call, &name, found.as_ref().and_then(|(_, user)| user.password.as_ref())).await?;
        let mut chance = [0; 32];
        getrandom::fill(&mut chance).map_err(|_| UserFault::Internal)?;
        let salt = verifier.salt_text();
        let started = self.workers.run(move || SrpExchange::start(&verifier, &client_key, chance)).await?;
        let (exchange, server_key) = started.map_err(|why| match why {
            SrpRefusal::ClientKey => UserFault::parameter(why.to_string()),
            SrpRefusal::Chance => UserFault::Internal,
        })?;
        let pending = PendingSignIn {
            id: Uuid::new_v4(),
            made_ms: self.clock.unix_ms(),
            password: stored,
            user: name.clone(),
            exchange: exchange.to_bytes().to_vec(),
        };
        let sealed = self.seal(&pending, ChallengeKind::PasswordVerifier, call)?;
        let parameters = vec![
            ("SALT", salt),
            ("SECRET_BLOCK", challenge::text(&sealed)),
            ("SRP_B", server_key),
            ("USERNAME", name.clone()),
            ("USER_ID_FOR_SRP", name),
        ];
        Ok(SignInChallenge { name: "PASSWORD_VERIFIER", session: None, parameters })
    }

    /// The verifier of a user, with the password's number; of a unknown user, one that no password fits, with 0.
    async fn verifier(&self, call: &ClientCall, name: &str, stored: Option<&StoredPassword>) -> Result<(u64, SrpVerifier), UserFault> {
        match stored {
            Some(StoredPassword { number, srp, .. }) => {
                let key = PoolUserKey { pool: call.pool_id.clone(), name: name.into() };
                let bytes = self.open_secret(SecretKind::SrpVerifier, &sealed_for(&key), srp).await?;
                Ok((*number, SrpVerifier::from_bytes(&bytes).ok_or(UserFault::Internal)?))
            }
            None => Ok((0, SrpVerifier::of_unknown_user(&self.lasting_key("user pool unknown_users")?, call.pool_id.name(), name)?)),
        }
    }

    fn seal(&self, pending: &PendingSignIn, kind: ChallengeKind, call: &ClientCall) -> Result<Vec<u8>, UserFault> {
        let keyring = self.keyring.current();
        Ok(pending.seal(&keyring, kind, &call.pool_id, &call.client_id, call.client.session_minutes)?)
    }

    async fn open(&self, text: &str, kind: ChallengeKind, call: &ClientCall) -> Result<PendingSignIn, UserFault> {
        let sealed = challenge::bytes(text).ok_or(WRONG_PASSWORD)?;
        let open = || {
            let keyring = self.keyring.current();
            PendingSignIn::open(&keyring, kind, &call.pool_id, &call.client_id, self.clock.unix_ms(), &sealed)
        };
        let opened = match open() {
            Err(OpenError::UnknownGeneration) => {
                self.keyring.refresh().await?;
                open()
            }
            opened => opened,
        };
        opened.map_err(|why| match (why, kind) {
            (OpenError::Expired, _) => UserFault::NotAuthorized("Invalid session for the user, session is expired."),
            (_, ChallengeKind::PasswordVerifier) => WRONG_PASSWORD,
            (_, ChallengeKind::NewPassword) => UserFault::NotAuthorized("Invalid session for the user."),
        })
    }

    async fn check_srp(&self, call: &ClientCall, username: &str, responses: &ChallengeParameters) -> Result<SignInAnswer, UserFault> {
        let block = parameter(responses, "PASSWORD_CLAIM_SECRET_BLOCK")?;
        let signature = parameter(responses, "PASSWORD_CLAIM_SIGNATURE")?.to_owned();
        let timestamp = parameter(responses, "TIMESTAMP")?.to_owned();
        let pending = self.open(block, ChallengeKind::PasswordVerifier, call).await?;
        let key = PoolUserKey { pool: call.pool_id.clone(), name: pending.user.as_str().into() };
        // Clients answer with USER_ID_FOR_SRP, or with the name that the user wrote.
        if fold(&call.pool.settings, username) != pending.user {
            let named = self.find(&call.pool_id, &call.pool, username).await?.map(|(key, _)| key.name.to_string());
            let unknown_user = || {
                unknown_users::srp_name(&self.lasting_key("user pool unknown_users")?, &call.pool_id, &call.pool, username)
                    .map_err(UserFault::from)
            };
            if named.map_or_else(unknown_user, Ok)? != pending.user {
                return Err(WRONG_PASSWORD);
            }
        }
        let user = self.user_of_key(&key).await?;
        let stored = user.as_ref().and_then(|user| user.password.as_ref()).filter(|stored| stored.number == pending.password);
        self.check_lock(call, &pending.user, user.as_ref())?;
        let (number, verifier) = self.verifier(call, &pending.user, stored).await?;
        let exchange = SrpExchange::from_bytes(&pending.exchange).ok_or(WRONG_PASSWORD)?;
        let (secret_block, pool_name, name) =
            (challenge::bytes(block).unwrap_or_default(), call.pool_id.name().to_owned(), pending.user.clone());
        let check = move || {
            let claim = SrpClaim {
                pool_name: &pool_name,
                user_id: &name,
                secret_block: &secret_block,
                timestamp: &timestamp,
                signature: &signature,
            };
            exchange.accepts(&verifier, &claim)
        };
        let is_right = self.workers.run(check).await?? && number != 0;
        let proved = Proved { id: pending.id, made_ms: pending.made_ms, password: number, is_right };
        self.conclude(call, key, user.is_some(), proved).await
    }

    async fn check_password(&self, call: &ClientCall, username: &str, password: &str) -> Result<SignInAnswer, UserFault> {
        Password::parse(password)?;
        let found = self.find(&call.pool_id, &call.pool, username).await?;
        if found.is_none() && !call.client.hides_users {
            return Err(UserFault::NoUser);
        }
        let folded = fold(&call.pool.settings, username);
        let name = found.as_ref().map_or(folded.as_str(), |(key, _)| &key.name).to_owned();
        let key = PoolUserKey { pool: call.pool_id.clone(), name: name.as_str().into() };
        let user = found.map(|(_, user)| user);
        self.check_lock(call, &name, user.as_ref())?;
        let stored = user.as_ref().and_then(|user| user.password.as_ref());
        let (number, sealed) = match stored {
            Some(stored) => (stored.number, Some(self.open_secret(SecretKind::PasswordHash, &sealed_for(&key), &stored.hash).await?)),
            None => (0, None),
        };
        let (secret, pool_name) = (self.lasting_key("user pool unknown_users")?, call.pool_id.name().to_owned());
        let (text, is_there) = (zeroize::Zeroizing::new(password.to_owned()), user.is_some());
        let check = move || -> Result<bool, UserFault> {
            let hash = match sealed {
                Some(bytes) => PasswordHash::from_bytes(&bytes).ok_or(UserFault::Internal)?,
                None => PasswordHash::of_unknown_user(&secret, &pool_name, &name)?,
            };
            Ok(hash.accepts(Password::parse(&text)?)?)
        };
        let is_right = self.workers.run(check).await?? && number != 0;
        let proved = Proved { id: Uuid::new_v4(), made_ms: self.clock.unix_ms(), password: number, is_right };
        self.conclude(call, key, is_there, proved).await
    }

    /// Before anything is computed: nothing is, while the name is locked out.
    fn check_lock(&self, call: &ClientCall, name: &str, user: Option<&User>) -> Result<(), UserFault> {
        let now_ms = self.clock.unix_ms();
        let is_locked = match user {
            Some(user) => is_locked(user.tries, now_ms),
            None => self.unknown_users.is_locked(&call.pool_id, name, now_ms),
        };
        if is_locked { Err(LOCKED_OUT) } else { Ok(()) }
    }

    /// Writes what came of a password: one transaction, in which the user is looked at again.
    async fn conclude(&self, call: &ClientCall, key: PoolUserKey, is_there: bool, proved: Proved) -> Result<SignInAnswer, UserFault> {
        if !is_there {
            self.unknown_users.failed(&call.pool_id, &key.name, self.clock.unix_ms());
            self.write_decoy(&call.pool_id).await?;
            return Err(WRONG_PASSWORD);
        }
        let Proved { id, made_ms, password, is_right } = proved;
        let family = self.new_family(call, made_ms);
        let of = key.clone();
        let decide = move |group: &mut Group<'_>, now_ms| {
            let decided = conclude(group, &of, &id.to_string(), &family, (password, is_right), now_ms)?;
            Ok((decided, Vec::new()))
        };
        match self.committer.transact(JobOwner::Store, decide).await? {
            SignInDecision::Wrong => Err(WRONG_PASSWORD),
            SignInDecision::Locked => Err(LOCKED_OUT),
            SignInDecision::Fault(fault) => Err(fault),
            SignInDecision::Live(user) => self.signed_in(call, *user, (id, made_ms)).await,
            SignInDecision::NewPassword(user) => {
                let pending =
                    PendingSignIn { id, made_ms: self.clock.unix_ms(), password, user: key.name.to_string(), exchange: Vec::new() };
                let sealed = self.seal(&pending, ChallengeKind::NewPassword, call)?;
                Ok(SignInAnswer::Challenge(new_password_challenge(call, &user, challenge::text(&sealed))))
            }
        }
    }

    fn new_family(&self, call: &ClientCall, made_ms: u64) -> Family {
        let expires_ms = self.clock.unix_ms().saturating_add(u64::from(call.client.refresh_s) * 1000);
        Family { client: call.client_id.clone(), state: FamilyState::Live, made_ms, expires_ms, exchanges: 0, exchanged_ms: 0 }
    }

    async fn signed_in(&self, call: &ClientCall, user: User, family: (Uuid, u64)) -> Result<SignInAnswer, UserFault> {
        let tokens = self.issue(call, user, family, Some(0)).await?;
        Ok(SignInAnswer::Tokens(SignedIn { tokens }))
    }

    async fn answer_new_password(
        &self,
        call: &ClientCall,
        username: &str,
        session: Option<&str>,
        responses: &ChallengeParameters,
    ) -> Result<SignInAnswer, UserFault> {
        let session = session.ok_or_else(|| UserFault::parameter("Missing required parameter Session"))?;
        let pending = self.open(session, ChallengeKind::NewPassword, call).await?;
        let key = PoolUserKey { pool: call.pool_id.clone(), name: pending.user.as_str().into() };
        if fold(&call.pool.settings, username) != pending.user {
            let named = self.find(&call.pool_id, &call.pool, username).await?;
            if named.is_none_or(|(named, _)| named != key) {
                return Err(UserFault::NotAuthorized("Invalid session for the user."));
            }
        }
        let settings = call.pool.settings.clone();
        let given: Vec<(String, String)> =
            responses.iter().filter_map(|(name, value)| Some((name.strip_prefix("userAttributes.")?.to_owned(), value.clone()))).collect();
        let given = attributes::checked(&settings, &given, AttributeWriter::User(&call.client.write), Moment::Creation)?;
        let stored = self.new_password(&key, &settings.password, parameter(responses, "NEW_PASSWORD")?, None).await?;
        let (id, made_ms, of, call_settings) = (pending.id, pending.made_ms, key.clone(), settings.clone());
        let family = self.new_family(call, made_ms);
        let decide = move |group: &mut Group<'_>, now_ms| {
            const USED: UserFault = UserFault::NotAuthorized("Invalid session for the user.");
            let Some(before) = group.user(&of)? else { return Ok((Err(USED), Vec::new())) };
            let is_pending = group.family(&of, &id.to_string())?.is_some_and(|family| family.state == FamilyState::Pending);
            let is_same = before.password.as_ref().is_some_and(|stored| stored.number == pending.password);
            if !is_pending || !is_same || before.status != UserStatus::ForceChangePassword || before.signed_out_ms >= made_ms {
                return Ok((Err(USED), Vec::new()));
            }
            if !before.enabled {
                return Ok((Err(UserFault::NotAuthorized("User is disabled.")), Vec::new()));
            }
            let mut user = User { status: UserStatus::Confirmed, password: Some(stored.clone()), changed_ms: now_ms, ..before.clone() };
            set_all(&mut user, &given);
            if let Some(name) = attributes::missing(&call_settings, &user.attributes) {
                let words = format!("Invalid attributes given, {name} is missing");
                return Ok((Err(UserFault::Parameter(words)), Vec::new()));
            }
            if let Some(kind) = taken(group, &of, &aliases(&call_settings, &user))? {
                return Ok((Err(name_taken(kind)), Vec::new()));
            }
            put(group, &call_settings, &of, Some(&before), &user)?;
            group.put_family(&of, &id.to_string(), &family)?;
            Ok((Ok(user), Vec::new()))
        };
        let user = self.committer.transact(JobOwner::Store, decide).await??;
        self.signed_in(call, user, (id, made_ms)).await
    }
}

/// Sets attributes of a user; an address or number that changes is not verified any more.
pub(super) fn set_all(user: &mut User, given: &[(String, String)]) {
    for (name, value) in given {
        if attributes::value(&user.attributes, name).unwrap_or_default() == value {
            continue;
        }
        if let Some(verified) = attributes::verified_name(name) {
            attributes::set(&mut user.attributes, verified, "false");
        }
        attributes::set(&mut user.attributes, name, value);
    }
}

/// What a proved password leads to, on the rows of this moment. A challenge whose family is there was answered before.
fn conclude(
    group: &mut Group<'_>,
    key: &PoolUserKey,
    id: &str,
    family: &Family,
    (number, is_right): (u64, bool),
    now_ms: u64,
) -> Result<SignInDecision, crate::store::StoreError> {
    let Some(user) = group.user(key)? else { return Ok(SignInDecision::Wrong) };
    // Tries that were under way at once count one by one: the sixth is not looked at, right or wrong.
    if is_locked(user.tries, now_ms) {
        return Ok(SignInDecision::Locked);
    }
    let is_current = user.password.as_ref().is_some_and(|stored| stored.number == number);
    let is_used = group.family(key, id)?.is_some() || user.signed_out_ms >= family.made_ms;
    if !is_right || !is_current || is_used {
        group.put_user(key, &User { tries: after_failure(user.tries, now_ms), ..user })?;
        return Ok(SignInDecision::Wrong);
    }
    if !user.enabled {
        return Ok(SignInDecision::Fault(UserFault::NotAuthorized("User is disabled.")));
    }
    let is_too_old = user.password.as_ref().and_then(|stored| stored.until_ms).is_some_and(|until_ms| until_ms <= now_ms);
    let fault = match user.status {
        UserStatus::Unconfirmed => Some(UserFault::NotConfirmed),
        UserStatus::ResetRequired => Some(UserFault::ResetRequired),
        UserStatus::ForceChangePassword if is_too_old => {
            Some(UserFault::NotAuthorized("Temporary password has expired and must be reset by an administrator."))
        }
        UserStatus::Confirmed | UserStatus::ForceChangePassword => None,
    };
    let user = match user.tries.failed {
        0 => user,
        _ => User { tries: Tries::default(), ..user },
    };
    group.put_user(key, &user)?;
    if let Some(fault) = fault {
        return Ok(SignInDecision::Fault(fault));
    }
    let is_new = user.status == UserStatus::ForceChangePassword;
    let state = if is_new { FamilyState::Pending } else { FamilyState::Live };
    group.add_family(key, id, &Family { state, ..family.clone() }, now_ms)?;
    Ok(if is_new { SignInDecision::NewPassword(Box::new(user)) } else { SignInDecision::Live(Box::new(user)) })
}

fn new_password_challenge(call: &ClientCall, user: &User, session: String) -> SignInChallenge {
    let known: serde_json::Map<String, serde_json::Value> =
        user.attributes.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let required: Vec<String> = call
        .pool
        .settings
        .required
        .iter()
        .filter(|name| *name != "sub" && attributes::value(&user.attributes, name).is_none())
        .map(|name| format!("userAttributes.{name}"))
        .collect();
    let parameters = vec![
        ("USER_ID_FOR_SRP", user.username.clone()),
        ("requiredAttributes", serde_json::Value::from(required).to_string()),
        ("userAttributes", serde_json::Value::Object(known).to_string()),
    ];
    SignInChallenge { name: "NEW_PASSWORD_REQUIRED", session: Some(session), parameters }
}
