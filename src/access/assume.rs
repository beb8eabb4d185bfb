//! Taking a role, and sessions of one's own. Source: "AssumeRole", "AssumeRoleWithWebIdentity" and "GetSessionToken" (AWS STS API Reference).

use super::iam::names::role_key;
use super::policy::{PolicyDocument, PolicyError, PolicyKind};
use super::session::{SessionLimits, SessionOwner, SessionRefused, SignedCaller, TemporaryCredentials};
use super::shared::Accounts;
use super::{
    AccessDecision, AccessRequest, Arn, Caller, CallerGrants, Federation, NamedPolicy, RequestContext, ResourcePolicy, RoleSession,
};
use crate::committer::{ReadOwner, Unavailable};
use crate::store::{AccountId, IamRole};

/// Seconds of a session at least.
const LEAST_S: i64 = 900;

/// Seconds of a session that was taken by a session: role chaining.
const CHAINED_S: i64 = 3600;

/// Managed policies that a session may be made with.
const MOST_POLICIES: usize = 10;

/// What a session of a role is asked for with.
#[derive(Clone, Debug, Default)]
pub struct RoleAsk {
    pub role_arn: String,
    pub session_name: String,
    pub duration_s: Option<i64>,
    pub policy: Option<String>,
    pub policy_arns: Vec<String>,
    pub external_id: Option<String>,
}

/// A session of a role that was given.
#[derive(Clone, Debug)]
pub struct AssumedRole {
    pub session: RoleSession,
    pub credentials: TemporaryCredentials,
    /// How much of a token's space the policies take, in percent.
    pub packed_policy_percent: usize,
}

/// Why no session was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssumeRefused {
    /// AWS's message to a caller who may not.
    Denied(String),
    /// A value is out of its bounds.
    Invalid(String),
    Policy(PolicyError),
    PolicyTooLarge,
}

/// The outer error: the store cannot be used now.
pub type AssumeResult<T> = Result<Result<T, AssumeRefused>, Unavailable>;

impl From<PolicyError> for AssumeRefused {
    fn from(error: PolicyError) -> AssumeRefused {
        AssumeRefused::Policy(error)
    }
}

impl Accounts {
    /// Gives a caller a session of a role, if its own policies and the role's trust policy allow it.
    pub async fn assume_role(&self, signed: &SignedCaller, ask: &RoleAsk, context: RequestContext) -> AssumeResult<AssumedRole> {
        if let Caller::Root { .. } = signed.caller {
            return Ok(Err(AssumeRefused::Denied("Roles may not be assumed by root accounts.".to_owned())));
        }
        let is_chained = matches!(signed.caller, Caller::AssumedRole(_));
        let grants = self.grants(signed).await?;
        self.assume(&signed.caller, &grants, "sts:AssumeRole", ask, context, is_chained, None).await
    }

    /// Gives somebody with a provider's token a session of a role, if the role's trust policy allows it. `federation` is what the token said, verified.
    pub async fn assume_with_token(&self, federation: Federation, ask: &RoleAsk, mut context: RequestContext) -> AssumeResult<AssumedRole> {
        let caller = Caller::WebIdentity { provider: federation.principal.clone() };
        for (claim, values) in &federation.claims {
            context.set_all(&format!("{}:{claim}", federation.provider), values.iter().cloned());
        }
        context.set("aws:FederatedProvider", &federation.principal);
        let action = "sts:AssumeRoleWithWebIdentity";
        self.assume(&caller, &CallerGrants::default(), action, ask, context, false, Some(federation)).await
    }

    #[expect(clippy::too_many_arguments, reason = "both ways to a role end here, and differ in these")]
    async fn assume(
        &self,
        caller: &Caller,
        grants: &CallerGrants,
        action: &'static str,
        ask: &RoleAsk,
        mut context: RequestContext,
        is_chained: bool,
        federation: Option<Federation>,
    ) -> AssumeResult<AssumedRole> {
        let limits = match checked(ask) {
            Ok(limits) => limits,
            Err(refused) => return Ok(Err(refused)),
        };
        context.set("sts:RoleSessionName", &ask.session_name);
        if let Some(id) = &ask.external_id {
            context.set("sts:ExternalId", id);
        }
        let parsed = Arn::parse(&ask.role_arn).filter(|arn| arn.service == "iam" && arn.resource.starts_with("role/"));
        let account = parsed.and_then(|arn| AccountId::parse(arn.account));
        let Some(account) = account else { return Ok(Err(AssumeRefused::Invalid(format!("{} is invalid", excerpt(&ask.role_arn))))) };
        let request = AccessRequest { caller, action, resource: ask.role_arn.clone(), owner: Some(account.clone()), context };
        let role = self.role_of_arn(&account, &ask.role_arn).await?;
        // A role that is not there is refused as one that may not be taken: a stranger learns no names.
        let denied = || {
            let on = format!("User: {} is not authorized to perform: {action} on resource: {}", caller.arn(), excerpt(&ask.role_arn));
            match caller {
                Caller::WebIdentity { .. } => AssumeRefused::Denied(format!("Not authorized to perform {action}")),
                _ => AssumeRefused::Denied(on),
            }
        };
        let Some(role) = role else { return Ok(Err(denied())) };
        let Ok(trust) = PolicyDocument::parse_stored(PolicyKind::Trust, &role.trust) else { return Ok(Err(denied())) };
        let trust = ResourcePolicy::Trust(NamedPolicy { name: "trust policy", document: &trust });
        if let AccessDecision::Denied(_) = grants.decide(&request, trust) {
            return Ok(Err(denied()));
        }
        let life_s = match session_s(ask.duration_s, &role, is_chained) {
            Ok(life_s) => life_s,
            Err(refused) => return Ok(Err(refused)),
        };
        let session = ask.session_name.clone();
        let size = limits.policy.as_deref().map_or(0, str::len) + limits.policy_arns.iter().map(String::len).sum::<usize>();
        let owner = SessionOwner::Role { id: role.id.clone(), session: session.clone(), federation: federation.clone() };
        let credentials = self.temporary_credentials(&account, owner, limits, life_s).await?;
        let session = RoleSession { account, role_id: role.id, path: role.path, role: role.name, session, federation };
        Ok(match credentials {
            Ok(credentials) => Ok(AssumedRole { session, credentials, packed_policy_percent: size * 100 / MOST_POLICY_BYTES }),
            Err(SessionRefused::TooLarge) => Err(AssumeRefused::PolicyTooLarge),
        })
    }

    async fn role_of_arn(&self, account: &AccountId, arn: &str) -> Result<Option<IamRole>, Unavailable> {
        let Some(key) = role_key(arn) else { return Ok(None) };
        let of = account.clone();
        let role: Option<IamRole> = self.reader.read(ReadOwner::Server, move |store| store.account_record(&of, &[&key])).await?;
        Ok(role.filter(|role| role.arn(account) == arn))
    }

    /// Gives a user or root a session of its own, which may do what it may.
    pub async fn session_token(&self, signed: &SignedCaller, duration_s: Option<i64>) -> AssumeResult<TemporaryCredentials> {
        /// Seconds at most, and without a wish; of root: "restricted to a maximum of 3,600 seconds".
        const SECONDS: (i64, i64, i64) = (129_600, 43_200, 3600);
        let (longest_s, usual_s, root_s) = SECONDS;
        let (account, owner, most_s) = match &signed.caller {
            Caller::Root { account } => (account, SessionOwner::Root, root_s),
            Caller::User(user) => (&user.account, SessionOwner::User { id: user.id.clone() }, longest_s),
            Caller::AssumedRole(_)
            | Caller::FederatedUser { .. }
            | Caller::WebIdentity { .. }
            | Caller::Service { .. }
            | Caller::Anonymous => {
                return Ok(Err(AssumeRefused::Denied("Cannot call GetSessionToken with session credentials".to_owned())));
            }
        };
        let wanted = duration_s.unwrap_or(usual_s);
        if !(LEAST_S..=longest_s).contains(&wanted) {
            return Ok(Err(out_of_bounds("durationSeconds", longest_s)));
        }
        let life_s = u32::try_from(wanted.min(most_s)).unwrap_or_default();
        let made = self.temporary_credentials(account, owner, signed.limits.clone(), life_s).await?;
        Ok(made.map_err(|SessionRefused::TooLarge| AssumeRefused::PolicyTooLarge))
    }
}

/// Bytes of policies that a session token has space for.
const MOST_POLICY_BYTES: usize = 4096;

/// The limits of the session that is asked for, if all of it is within bounds.
fn checked(ask: &RoleAsk) -> Result<SessionLimits, AssumeRefused> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&ask.session_name.len()) || !ask.session_name.chars().all(is_name) {
        let words = "failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*, with a length of 2 to 64";
        return Err(AssumeRefused::Invalid(format!("1 validation error detected: Value at 'roleSessionName' {words}")));
    }
    if ask.external_id.as_ref().is_some_and(|id| !(2..=1224).contains(&id.len())) {
        return Err(AssumeRefused::Invalid("1 validation error detected: Value at 'externalId' has 2 to 1224 characters".to_owned()));
    }
    if let Some(policy) = &ask.policy {
        PolicyDocument::parse(PolicyKind::Session, policy)?;
    }
    if ask.policy_arns.len() > MOST_POLICIES {
        return Err(AssumeRefused::Invalid(format!("A session has at most {MOST_POLICIES} managed policies")));
    }
    let size = ask.policy.as_deref().map_or(0, str::len) + ask.policy_arns.iter().map(String::len).sum::<usize>();
    if size > MOST_POLICY_BYTES {
        return Err(AssumeRefused::PolicyTooLarge);
    }
    let is_limited = ask.policy.is_some() || !ask.policy_arns.is_empty();
    Ok(SessionLimits { is_limited, policy: ask.policy.clone(), policy_arns: ask.policy_arns.clone() })
}

fn session_s(wanted: Option<i64>, role: &IamRole, is_chained: bool) -> Result<u32, AssumeRefused> {
    let most = i64::from(role.max_session_s);
    let life = wanted.unwrap_or(CHAINED_S);
    if is_chained && life > CHAINED_S {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(AssumeRefused::Invalid(text.to_owned()));
    }
    if !(LEAST_S..=43_200).contains(&life) {
        return Err(out_of_bounds("durationSeconds", 43_200));
    }
    if life > most {
        let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(AssumeRefused::Invalid(text.to_owned()));
    }
    u32::try_from(life).map_err(|_| out_of_bounds("durationSeconds", most))
}

fn out_of_bounds(member: &str, most: i64) -> AssumeRefused {
    let words = "failed to satisfy constraint: Member must have value between";
    AssumeRefused::Invalid(format!("1 validation error detected: Value at '{member}' {words} {LEAST_S} and {most}"))
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
