//! Which policies decide: within an account and across accounts.

use super::support::*;
use crate::access::{AccessDecision, AllowSource, Caller, DenialReason, PolicyType};

const GET: &str = "s3:GetObject";
const ANN: &str = r#"{"AWS":"AIDAANN"}"#;
const READER: &str = r#"{"AWS":"AROAREADER"}"#;
const READER_SESSION: &str = r#"{"AWS":"AROAREADER:s1"}"#;
const OWN_ACCOUNT: &str = r#"{"AWS":"111111111111"}"#;

fn get(caller: Caller) -> AccessCase {
    AccessCase::new(caller, GET, OBJECT)
}

fn assume(caller: Caller) -> AccessCase {
    AccessCase::new(caller, "sts:AssumeRole", "arn:aws:iam::111111111111:role/logs")
}

fn puts_only() -> String {
    statement("Allow", "s3:Put*", "*")
}

#[test]
fn nothing_is_allowed_that_no_policy_allows() {
    assert_eq!(get(user()).missing(), Some(PolicyType::Identity));
    assert_eq!(get(user()).identity(puts_only()).missing(), Some(PolicyType::Identity));
    assert_eq!(get(Caller::Anonymous).missing(), Some(PolicyType::Resource));
    assert!(get(user()).identity(allow_all()).is_allowed());
    // Policies of a caller count for callers with an account only.
    assert!(!get(Caller::Anonymous).identity(allow_all()).is_allowed());
}

#[test]
fn the_decision_names_the_statement() {
    let policy = r#"{"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"*"}"#;
    let AccessDecision::Allowed(AllowSource::Identity(source)) = get(user()).identity(puts_only()).identity(policy).decide() else {
        panic!("not allowed by the user's policy")
    };
    assert_eq!((source.policy.as_str(), source.sid.as_deref(), source.index), ("policy", Some("Read"), 0));
    assert_eq!(get(root()).decide(), AccessDecision::Allowed(AllowSource::Root));
}

#[test]
fn root_may_everything_in_its_account_that_no_policy_denies() {
    assert!(get(root()).is_allowed());
    assert_eq!(get(root()).bucket(bucket_statement("Deny", r#""*""#, "s3:*")).denied_by(), Some(PolicyType::Resource));
    assert_eq!(get(root()).owned_by(OTHER).missing(), Some(PolicyType::Resource));
    assert!(get(root()).owned_by(OTHER).bucket(bucket_statement("Allow", OWN_ACCOUNT, "s3:*")).is_allowed());
    assert_eq!(assume(root()).trust(trust_statement("Allow", READER, "sts:AssumeRole")).missing(), Some(PolicyType::Trust));
}

#[test]
fn boundaries_and_session_policies_limit() {
    let all = || get(role_session()).identity(allow_all());
    assert_eq!(all().boundary(puts_only()).missing(), Some(PolicyType::Boundary));
    assert_eq!(all().session(&[puts_only()]).missing(), Some(PolicyType::Session));
    assert_eq!(all().session(&[]).missing(), Some(PolicyType::Session));
    assert!(all().boundary(allow_all()).session(&[puts_only(), allow_all()]).is_allowed());
    assert!(!get(role_session()).boundary(allow_all()).session(&[allow_all()]).is_allowed());
    let deny = statement("Deny", GET, "*");
    assert_eq!(all().boundary(&deny).denied_by(), Some(PolicyType::Boundary));
    assert_eq!(all().session(std::slice::from_ref(&deny)).denied_by(), Some(PolicyType::Session));
    assert_eq!(all().identity(&deny).denied_by(), Some(PolicyType::Identity));
}

#[test]
fn a_federated_user_has_what_its_user_and_its_session_policies_allow() {
    assert!(!get(federated_user()).identity(allow_all()).session(&[]).is_allowed());
    assert!(!get(federated_user()).session(&[allow_all()]).is_allowed());
    assert!(get(federated_user()).identity(allow_all()).session(&[allow_all()]).is_allowed());
    let of_root = || get(Caller::FederatedUser { account: account(OWN), name: "bob".to_owned(), user: None });
    assert!(of_root().session(&[allow_all()]).is_allowed());
    assert!(!of_root().session(&[]).is_allowed());
    let own = r#"{"AWS":"arn:aws:sts::111111111111:federated-user/bob"}"#;
    assert!(get(federated_user()).session(&[]).bucket(bucket_statement("Allow", own, GET)).is_allowed());
    assert!(!get(federated_user()).session(&[]).bucket(bucket_statement("Allow", ANN, GET)).is_allowed());
    assert!(get(federated_user()).session(&[allow_all()]).bucket(bucket_statement("Allow", ANN, GET)).is_allowed());
    assert!(
        get(federated_user())
            .identity(allow_all())
            .session(&[allow_all()])
            .bucket(bucket_statement("Deny", ANN, GET))
            .denied_by()
            .is_some()
    );
}

#[test]
fn in_one_account_the_resources_policy_can_allow_alone() {
    assert!(get(user()).bucket(bucket_statement("Allow", ANN, GET)).is_allowed());
    assert!(get(user()).bucket(bucket_statement("Allow", r#""*""#, GET)).is_allowed());
    assert!(get(Caller::Anonymous).bucket(bucket_statement("Allow", r#"{"AWS":"*"}"#, GET)).is_allowed());
    // Naming the account leaves the decision to the account.
    assert_eq!(get(user()).bucket(bucket_statement("Allow", OWN_ACCOUNT, GET)).missing(), Some(PolicyType::Identity));
    assert!(get(user()).identity(allow_all()).bucket(bucket_statement("Allow", OWN_ACCOUNT, GET)).is_allowed());
    assert!(!get(Caller::Anonymous).bucket(bucket_statement("Allow", OWN_ACCOUNT, GET)).is_allowed());
}

#[test]
fn a_boundary_limits_what_a_resource_grants_to_a_role_but_not_what_it_grants_to_a_session_or_user() {
    let limited = |principal| get(role_session()).boundary(puts_only()).bucket(bucket_statement("Allow", principal, GET));
    assert_eq!(limited(READER).missing(), Some(PolicyType::Boundary));
    assert!(limited(READER_SESSION).is_allowed());
    assert!(limited(r#""*""#).is_allowed());
    assert!(limited(r#"{"AWS":["AROAREADER","AROAREADER:s1"]}"#).is_allowed());
    let in_session = |principal| get(role_session()).session(&[puts_only()]).bucket(bucket_statement("Allow", principal, GET));
    assert_eq!(in_session(READER).missing(), Some(PolicyType::Session));
    assert!(in_session(READER_SESSION).is_allowed());
    assert!(get(user()).boundary(puts_only()).bucket(bucket_statement("Allow", ANN, GET)).is_allowed());
    let denied = statement("Deny", GET, "*");
    assert!(!get(user()).boundary(denied).bucket(bucket_statement("Allow", ANN, GET)).is_allowed());
}

#[test]
fn a_trust_policy_has_to_allow() {
    assert_eq!(
        assume(user()).identity(allow_all()).trust(trust_statement("Allow", READER, "sts:AssumeRole")).missing(),
        Some(PolicyType::Trust)
    );
    assert!(assume(user()).trust(trust_statement("Allow", ANN, "sts:AssumeRole")).is_allowed());
    let trusts_account = || assume(user()).trust(trust_statement("Allow", OWN_ACCOUNT, "sts:AssumeRole"));
    assert_eq!(trusts_account().missing(), Some(PolicyType::Identity));
    assert!(trusts_account().identity(statement("Allow", "sts:AssumeRole", "*")).is_allowed());
    let denied = assume(user()).identity(allow_all()).trust(trust_statement("Deny", r#""*""#, "sts:*"));
    assert_eq!(denied.denied_by(), Some(PolicyType::Trust));
}

#[test]
fn across_accounts_both_sides_have_to_allow() {
    let theirs = |caller| AccessCase::new(caller, GET, OBJECT).owned_by(OTHER);
    assert_eq!(theirs(user()).identity(allow_all()).missing(), Some(PolicyType::Resource));
    for principal in [ANN, OWN_ACCOUNT, r#""*""#] {
        let granted = || theirs(user()).bucket(bucket_statement("Allow", principal, GET));
        assert_eq!(granted().missing(), Some(PolicyType::Identity), "{principal}");
        assert!(granted().identity(allow_all()).is_allowed(), "{principal}");
        assert_eq!(granted().identity(allow_all()).boundary(puts_only()).missing(), Some(PolicyType::Boundary), "{principal}");
    }
    assert_eq!(theirs(role_session()).bucket(bucket_statement("Allow", READER_SESSION, GET)).missing(), Some(PolicyType::Identity));
    // Without a right of its own the caller does not learn what the other account's policy says.
    assert_eq!(theirs(user()).bucket(bucket_statement("Allow", READER, GET)).missing(), Some(PolicyType::Identity));
}

#[test]
fn a_role_of_another_account_is_assumed_only_with_the_external_id() {
    let trust = r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"sts:AssumeRole",
        "Condition":{"StringEquals":{"sts:ExternalId":"secret-7"}}}"#;
    let theirs = || assume(user()).owned_by(OTHER).identity(statement("Allow", "sts:AssumeRole", "arn:aws:iam::111111111111:role/logs"));
    assert!(theirs().trust(trust).key("sts:ExternalId", &["secret-7"]).is_allowed());
    for wrong in [&[][..], &["secret-8"], &["SECRET-7"], &["secret-7", "secret-8"]] {
        assert_eq!(theirs().trust(trust).key("sts:ExternalId", wrong).missing(), Some(PolicyType::Trust), "{wrong:?}");
    }
}

#[test]
fn a_guest_of_an_identity_pool_gets_its_role_and_its_own_folder() {
    let trust = r#"{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity",
        "Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"local:pool"},
        "ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"unauthenticated"}}}"#;
    let asks = |provider: &str, amr: &[&str]| {
        let case = AccessCase::new(web_identity(provider), "sts:AssumeRoleWithWebIdentity", "arn:aws:iam::111111111111:role/guest");
        case.trust(trust).key("cognito-identity.amazonaws.com:aud", &["local:pool"]).key("cognito-identity.amazonaws.com:amr", amr)
    };
    let ours = "cognito-identity.amazonaws.com";
    assert!(asks(ours, &["unauthenticated"]).is_allowed());
    assert!(!asks(ours, &["authenticated", "graph.facebook.com"]).is_allowed());
    assert!(!asks(ours, &[]).is_allowed());
    assert!(!asks("accounts.google.com", &["unauthenticated"]).is_allowed());
    assert!(!asks(ours, &["unauthenticated"]).key("cognito-identity.amazonaws.com:aud", &["local:other"]).is_allowed());
    assert!(!AccessCase::new(Caller::Anonymous, "sts:AssumeRoleWithWebIdentity", "*").trust(trust).is_allowed());

    let folder = "arn:aws:s3:::app/users/${cognito-identity.amazonaws.com:sub}/*";
    let opens = |key: &str| {
        let case = AccessCase::new(role_session(), "s3:PutObject", &format!("arn:aws:s3:::app/users/{key}"));
        case.identity(statement("Allow", "s3:*", folder)).key("cognito-identity.amazonaws.com:sub", &["local:1"]).is_allowed()
    };
    assert!(opens("local:1/photo"));
    assert!(!opens("local:2/photo"));
    assert!(!opens("local:1"));
    assert!(!opens("local:11/photo"));
}

#[test]
fn policies_that_are_written_to_be_slow_deny_instead() {
    // Each pattern looks for a long text at every position of a key of the largest size.
    let pattern = format!("*{}b*", "a".repeat(500));
    let slow = statement("Deny", "*", &format!("arn:aws:s3:::{pattern}"));
    let mut case = AccessCase::new(user(), GET, &format!("arn:aws:s3:::{}", "a".repeat(1_024))).identity(allow_all());
    assert!(case.is_allowed());
    for _ in 0..40 {
        case = case.identity(&slow);
    }
    assert_eq!(case.decide(), AccessDecision::Denied(DenialReason::TooMuchWork));
    assert!(case.message().ends_with("because its policies take too much work to evaluate"));
}

#[test]
fn the_largest_ordinary_policies_are_evaluated_whole() {
    // Ten managed policies of the largest size, and an object whose key has the largest size.
    let folders: Vec<String> = (0..110).map(|n| format!(r#""arn:aws:s3:::app/departments/{n:04}/*/reports/*.csv""#)).collect();
    let policy = format!(r#"{{"Effect":"Allow","Action":"s3:*","Resource":[{}]}}"#, folders.join(","));
    let key = format!("arn:aws:s3:::app/departments/0109/{}/reports/x.csv", "y/".repeat(490));
    let mut case = AccessCase::new(user(), GET, &key);
    for _ in 0..10 {
        case = case.identity(policy.replace("01", "99"));
    }
    assert_eq!(case.missing(), Some(PolicyType::Identity));
    assert!(case.identity(policy).is_allowed());
}

#[test]
fn the_words_are_those_of_aws() {
    let reader = "arn:aws:sts::111111111111:assumed-role/reader/s1";
    assert_eq!(
        get(role_session()).message(),
        format!(
            "User: {reader} is not authorized to perform: s3:GetObject on resource: {OBJECT} because no identity-based policy allows the s3:GetObject action"
        )
    );
    assert_eq!(
        get(user()).identity(allow_all()).bucket(bucket_statement("Deny", r#""*""#, "s3:*")).message(),
        format!(
            "User: arn:aws:iam::111111111111:user/staff/ann is not authorized to perform: s3:GetObject on resource: {OBJECT} \
             with an explicit deny in a resource-based policy"
        )
    );
    assert_eq!(
        AccessCase::new(root(), "s3:ListAllMyBuckets", "*").owned_by(OTHER).message(),
        "User: arn:aws:iam::111111111111:root is not authorized to perform: s3:ListAllMyBuckets because no resource-based policy allows \
         the s3:ListAllMyBuckets action"
    );
    let trust = trust_statement("Allow", READER, "sts:AssumeRole");
    assert!(assume(user()).trust(&trust).message().ends_with("because no role trust policy allows the sts:AssumeRole action"));
    let web = AccessCase::new(web_identity("accounts.google.com"), "sts:AssumeRoleWithWebIdentity", "*").trust(&trust);
    assert_eq!(web.message(), "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    for (words, case) in [
        ("with an explicit deny in an identity-based policy", get(user()).identity(statement("Deny", "*", "*"))),
        ("with an explicit deny in a permissions boundary", get(user()).boundary(statement("Deny", "*", "*"))),
        ("with an explicit deny in a session policy", get(user()).session(&[statement("Deny", "*", "*")])),
        ("because no permissions boundary allows the s3:GetObject action", get(user()).identity(allow_all()).boundary(puts_only())),
        ("because no session policy allows the s3:GetObject action", get(user()).identity(allow_all()).session(&[])),
    ] {
        assert!(case.message().ends_with(words), "{}", case.message());
    }
}
