//! The policies that bear on a caller's request, read from the store, and the question put to them.
//!
//! Policies of users and roles are kept parsed for as long as the account's revision is the same, so that a change counts from the next request on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::iam::policy_key;
use super::policy::{PolicyDocument, PolicyKind};
use super::session::{SessionLimits, SignedCaller};
use super::{
    AccessDecision, AccessOperation, AccessRequest, Accounts, ArnScope, Caller, Grants, NamedPolicy, OperationPolicy, RequestContext,
    ResourcePolicy, evaluate,
};
use crate::committer::{ReadOwner, Unavailable};
use crate::store::{
    AccountId, IamGroup, IamRole, IamUser, InlinePolicy, ManagedPolicy, PolicyVersion, PrincipalId, PrincipalKind, Store, StoreError,
};

/// Users and roles whose policies are kept parsed. With more than that, they are read again.
const MOST_KEPT: usize = 4096;

/// Inline policies of one principal: their texts together are bounded to 10,240 characters.
const MOST_INLINE: usize = 256;

/// AWS's message to a caller who may not do what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenied {
    pub message: String,
}

/// A policy under the name by which a decision tells of it.
#[derive(Clone, Debug)]
struct KeptPolicy {
    name: String,
    document: Arc<PolicyDocument>,
}

/// The policies of a user or role.
#[derive(Clone, Debug, Default)]
struct KeptGrants {
    identity: Vec<KeptPolicy>,
    boundary: Option<KeptPolicy>,
}

/// Everything that bears on a caller, whatever it asks.
#[derive(Clone, Debug, Default)]
pub struct CallerGrants {
    kept: Arc<KeptGrants>,
    session: Option<Vec<KeptPolicy>>,
}

/// The policies that were read, by the principal's id, each with the account's revision.
#[derive(Clone, Default)]
pub(super) struct GrantsCache(Arc<Mutex<GrantsById>>);

type GrantsById = HashMap<String, (u64, Arc<KeptGrants>)>;

impl CallerGrants {
    /// The decision on a request of this caller.
    pub fn decide(&self, request: &AccessRequest<'_>, resource: ResourcePolicy<'_>) -> AccessDecision {
        let grants = Grants {
            identity: self.kept.identity.iter().map(KeptPolicy::named).collect(),
            boundary: self.kept.boundary.as_ref().map(KeptPolicy::named),
            session: self.session.as_ref().map(|policies| policies.iter().map(KeptPolicy::named).collect()),
            resource,
        };
        evaluate(request, &grants)
    }
}

impl KeptPolicy {
    fn named(&self) -> NamedPolicy<'_> {
        NamedPolicy { name: &self.name, document: &self.document }
    }
}

impl Accounts {
    /// Whether a caller may do an operation with this input. `context` has the keys that every operation has; `resource` is the resource's own policy.
    pub async fn check<I: AccessOperation>(
        &self,
        signed: &SignedCaller,
        input: &I,
        scope: &ArnScope,
        context: RequestContext,
        resource: ResourcePolicy<'_>,
    ) -> Result<Result<(), AccessDenied>, Unavailable> {
        match I::POLICY {
            OperationPolicy::NotAsked(_) => Ok(Ok(())),
            OperationPolicy::Asked(ask) => self.check_request(signed, &ask.request(&signed.caller, input, scope, context), resource).await,
        }
    }

    /// Whether a request is allowed.
    pub async fn check_request(
        &self,
        signed: &SignedCaller,
        request: &AccessRequest<'_>,
        resource: ResourcePolicy<'_>,
    ) -> Result<Result<(), AccessDenied>, Unavailable> {
        let grants = self.grants(signed).await?;
        Ok(match grants.decide(request, resource) {
            AccessDecision::Allowed(_) => Ok(()),
            AccessDecision::Denied(why) => Err(AccessDenied { message: why.message(request) }),
        })
    }

    /// The policies of a caller, as they are now.
    pub async fn grants(&self, signed: &SignedCaller) -> Result<CallerGrants, Unavailable> {
        let (account, id) = match &signed.caller {
            Caller::User(user) | Caller::FederatedUser { user: Some(user), .. } => (user.account.clone(), user.id.clone()),
            Caller::AssumedRole(session) => (session.account.clone(), session.role_id.clone()),
            Caller::Root { account } | Caller::FederatedUser { account, user: None, .. } => {
                let session = self.session_policies(account, &signed.limits).await?;
                return Ok(CallerGrants { kept: Arc::default(), session });
            }
            Caller::WebIdentity { .. } | Caller::Service { .. } | Caller::Anonymous => return Ok(CallerGrants::default()),
        };
        let (cache, of) = (self.grants_cache.clone(), account.clone());
        let kept = self.reader.read(ReadOwner::Server, move |store| cache.get(store, &of, &id)).await?;
        let session = self.session_policies(&account, &signed.limits).await?;
        Ok(CallerGrants { kept, session })
    }

    /// The policies that a session was made with; `None`: it was made without.
    async fn session_policies(&self, account: &AccountId, limits: &SessionLimits) -> Result<Option<Vec<KeptPolicy>>, Unavailable> {
        if !limits.is_limited {
            return Ok(None);
        }
        let (account, arns, text) = (account.clone(), limits.policy_arns.clone(), limits.policy.clone());
        let read = move |store: &Store| {
            let mut policies = Vec::new();
            if let Some(text) = text {
                policies.push(parsed(PolicyKind::Session, "session policy", &text)?);
            }
            for arn in &arns {
                policies.extend(managed(store, &account, arn)?);
            }
            Ok(policies)
        };
        self.reader.read(ReadOwner::Server, read).await.map(Some)
    }
}

impl GrantsCache {
    /// The policies of the user or role with an id. One that is not there any more has none.
    fn get(&self, store: &Store, account: &AccountId, id: &str) -> Result<Arc<KeptGrants>, StoreError> {
        // Read before the policies: what is kept under a revision is at least as new.
        let Some(revision) = store.account(account)?.map(|account| account.state.revision) else { return Ok(Arc::default()) };
        if let Some((kept_at, kept)) = self.kept().get(id)
            && *kept_at == revision
        {
            return Ok(Arc::clone(kept));
        }
        let read = Arc::new(read_grants(store, account, id)?);
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT && !kept.contains_key(id) {
            kept.clear();
        }
        kept.insert(id.to_owned(), (revision, Arc::clone(&read)));
        Ok(read)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, GrantsById> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_grants(store: &Store, account: &AccountId, id: &str) -> Result<KeptGrants, StoreError> {
    let mut grants = KeptGrants::default();
    let Some(PrincipalId { kind, name }) = store.account_record(account, &[id])? else { return Ok(grants) };
    let (attached, boundary, groups) = match kind {
        PrincipalKind::User => match store.account_record::<IamUser>(account, &[&name])? {
            Some(user) => (user.attached, user.boundary, user.groups),
            None => return Ok(grants),
        },
        PrincipalKind::Role => match store.account_record::<IamRole>(account, &[&name])? {
            Some(role) => (role.attached, role.boundary, Vec::new()),
            None => return Ok(grants),
        },
        PrincipalKind::Group => return Ok(grants),
    };
    add(&mut grants.identity, store, account, kind, &name, &attached)?;
    for group in groups {
        if let Some(found) = store.account_record::<IamGroup>(account, &[&group])? {
            add(&mut grants.identity, store, account, PrincipalKind::Group, &group, &found.attached)?;
        }
    }
    if let Some(arn) = boundary {
        // A boundary whose policy is gone allows nothing.
        let boundary = managed(store, account, &arn)?;
        grants.boundary = Some(boundary.map_or_else(|| nothing(&arn), Ok)?);
    }
    Ok(grants)
}

/// Adds the inline and the attached policies of a principal.
fn add(
    policies: &mut Vec<KeptPolicy>,
    store: &Store,
    account: &AccountId,
    kind: PrincipalKind,
    name: &str,
    attached: &[String],
) -> Result<(), StoreError> {
    let inline_kind = match kind {
        PrincipalKind::User => PolicyKind::UserInline,
        PrincipalKind::Group => PolicyKind::GroupInline,
        PrincipalKind::Role => PolicyKind::RoleInline,
    };
    for (_, InlinePolicy { name, document }) in store.account_records(account, &[kind.as_str(), name], None, MOST_INLINE)? {
        policies.push(parsed(inline_kind, &name, &document)?);
    }
    for arn in attached {
        policies.extend(managed(store, account, arn)?);
    }
    Ok(())
}

/// The default version of a managed policy; `None`: it is not there any more.
fn managed(store: &Store, account: &AccountId, arn: &str) -> Result<Option<KeptPolicy>, StoreError> {
    let Ok(key) = policy_key(arn) else { return Ok(None) };
    let policy: Option<ManagedPolicy> = store.account_record(account, &[&key])?;
    let Some(policy) = policy.filter(|policy| policy.arn(account) == arn) else { return Ok(None) };
    let version: Option<PolicyVersion> = store.account_record(account, &[&key, &policy.default_version])?;
    version.map(|version| parsed(PolicyKind::Managed, arn, &version.document)).transpose()
}

/// A policy that allows nothing.
fn nothing(name: &str) -> Result<KeptPolicy, StoreError> {
    parsed(PolicyKind::Managed, name, r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#)
}

/// A stored policy. What was accepted once is always parsed; what is not is never taken for a policy that says nothing, because it may deny something.
fn parsed(kind: PolicyKind, name: &str, text: &str) -> Result<KeptPolicy, StoreError> {
    let document =
        PolicyDocument::parse_stored(kind, text).map_err(|error| StoreError::Damaged(format!("policy {name}: {}", error.code)))?;
    Ok(KeptPolicy { name: name.to_owned(), document: Arc::new(document) })
}
