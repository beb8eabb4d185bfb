//! What `driftless dev` prepares for AWS's clients beside the account: a bucket, and on the pool of the demo a role for guests and one for those who
//! have signed in.

use serde_json::json;
use tracing::warn;

use super::development_key::DevelopmentKey;
use crate::access::{AccountId, Accounts, DEVELOPMENT_ACCOUNT, NewRole};
use crate::committer::Unavailable;
use crate::dev;
use crate::identity::IdentityPools;
use crate::objects::Objects;
use crate::store::{MadeBucket, PoolRoles, PrincipalKind};

/// The name of the policy of each role.
const POLICY: &str = "demo";

/// Makes the bucket and the two roles, and gives these to the pool unless it has roles. What is there already is not changed.
pub(super) async fn prepare(accounts: &Accounts, pools: &IdentityPools, objects: &Objects, key: DevelopmentKey) -> Result<(), Unavailable> {
    let (DevelopmentKey::Present { .. }, Some(account)) = (key, AccountId::parse(DEVELOPMENT_ACCOUNT)) else { return Ok(()) };
    if let MadeBucket::Taken | MadeBucket::TooMany = objects.make_bucket(dev::BUCKET, &account).await? {
        warn!(bucket = dev::BUCKET, "the demo has no bucket");
    }
    let Some(pool) = pools.pools().get(dev::POOL) else { return Ok(()) };
    let id = pool.id();
    let roles = pools.find(&id).await?.map(|pool| pool.roles).unwrap_or_default();
    if roles != PoolRoles::default() {
        return Ok(());
    }
    let guest = make(accounts, &account, &id, "demo-guest", "unauthenticated").await?;
    let member = make(accounts, &account, &id, "demo-member", "authenticated").await?;
    let roles = PoolRoles { authenticated: member, unauthenticated: guest, ..PoolRoles::default() };
    if let Err(why) = pools.set_roles(&id, roles).await? {
        warn!(?why, "the demo's pool has no roles");
    }
    Ok(())
}

/// Makes a role that the pool's identities of one kind may take; returns its ARN.
async fn make(accounts: &Accounts, account: &AccountId, pool: &str, name: &str, amr: &str) -> Result<Option<String>, Unavailable> {
    let arn = format!("arn:aws:iam::{account}:role/{name}");
    let new = NewRole {
        name: name.to_owned(),
        path: None,
        trust: trust(pool, amr),
        description: Some("made by driftless dev".to_owned()),
        max_session_s: None,
        boundary: None,
        tags: Vec::new(),
    };
    if let Err(why) = accounts.create_role(account, new).await? {
        // It was made by an earlier start.
        return Ok((why.code == "EntityAlreadyExists").then_some(arn));
    }
    if let Err(why) = accounts.put_inline_policy(account, PrincipalKind::Role, name, POLICY, &policy()).await? {
        warn!(role = name, code = why.code, "the role has no policy");
    }
    Ok(Some(arn))
}

/// The standard trust policy of an identity pool's role.
fn trust(pool: &str, amr: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Federated": "cognito-identity.amazonaws.com" },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": { "cognito-identity.amazonaws.com:aud": pool },
            "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": amr },
        },
    }] })
    .to_string()
}

/// An identity's own datasets, and its own folder of the bucket.
fn policy() -> String {
    let bucket = format!("arn:aws:s3:::{}", dev::BUCKET);
    let own = "${cognito-identity.amazonaws.com:sub}";
    let datasets = format!("arn:aws:cognito-sync:*:*:identitypool/${{cognito-identity.amazonaws.com:aud}}/identity/{own}");
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "cognito-sync:*", "Resource": [datasets.clone(), format!("{datasets}/*")] },
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "Resource": format!("{bucket}/users/{own}/*") },
        {
            "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket,
            "Condition": { "StringLike": { "s3:prefix": format!("users/{own}/*") } },
        },
    ] })
    .to_string()
}
