//! What was reported against comparable systems, each tried here.

use super::support::*;
use crate::access::Caller;
use crate::access::policy::PolicyKind;

fn allows(action: &str, resource: &str, asked_action: &str, asked_resource: &str) -> bool {
    AccessCase::new(user(), asked_action, asked_resource).identity(statement("Allow", action, resource)).is_allowed()
}

/// minio 18870: `s3:DeleteObject*` no longer covered `s3:DeleteObject`.
#[test]
fn a_star_covers_nothing_too() {
    assert!(allows("s3:DeleteObject*", "*", "s3:DeleteObject", OBJECT));
    assert!(allows("s3:*", "arn:aws:s3:::app/*", "s3:GetObject", "arn:aws:s3:::app/"));
}

/// minio 1467: `oo*` was read as a regular expression and opened `output.txt`.
#[test]
fn patterns_are_no_regular_expressions() {
    assert!(!allows("s3:*", "arn:aws:s3:::test1/oo*", "s3:GetObject", "arn:aws:s3:::test1/output.txt"));
    assert!(!allows("s3:*", "arn:aws:s3:::a.b/*", "s3:GetObject", "arn:aws:s3:::axb/k"));
    assert!(!allows("s3:*", "arn:aws:s3:::app/(a|b)[0-9]+$", "s3:GetObject", "arn:aws:s3:::app/a1"));
    assert!(allows("s3:*", "arn:aws:s3:::app/[a]", "s3:GetObject", "arn:aws:s3:::app/[a]"));
}

/// minio 20449: rights on `bucket/*` were taken for rights on the bucket.
#[test]
fn objects_of_a_bucket_are_not_the_bucket() {
    assert!(!allows("s3:*", "arn:aws:s3:::mybucket/*", "s3:DeleteBucket", "arn:aws:s3:::mybucket"));
    assert!(!allows("s3:*", "arn:aws:s3:::mybucket", "s3:GetObject", "arn:aws:s3:::mybucket/key"));
}

/// minio 7152: a policy that S3's generator wrote was refused.
#[test]
fn the_policy_of_a_generator_is_accepted() {
    let text = r#"{"Id":"Policy1548416551871","Version":"2012-10-17","Statement":[{"Sid":"Stmt1548416550729","Action":"s3:*","Effect":"Allow",
        "Resource":"arn:aws:s3:::testpolicy/*","Principal":"*"}]}"#;
    assert!(parse(PolicyKind::Bucket, text).names_only_bucket("testpolicy"));
}

/// minio 11544: a `Deny` beside an `Allow` of everything was no longer accepted.
#[test]
fn all_but_two_actions_are_allowed() {
    let asks = |action| {
        let deny = r#"{"Effect":"Deny","Action":["s3:DeleteBucket","s3:ForceDeleteBucket"],"Resource":["arn:aws:s3:::*"]}"#;
        AccessCase::new(user(), action, "arn:aws:s3:::app")
            .identity(statement("Allow", "s3:*", "arn:aws:s3:::*"))
            .identity(deny)
            .is_allowed()
    };
    assert!(asks("s3:ListBucket") && !asks("s3:DeleteBucket") && !asks("S3:deletebucket"));
}

/// minio 6955: `Null` was the wrong way round. cbodley on ceph 58689: `StringNotEquals` also denies where the header is missing.
#[test]
fn an_upload_without_encryption_is_denied() {
    for condition in
        [r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#, r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}"#]
    {
        let deny = format!(r#"{{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{condition}}}"#);
        let put = || AccessCase::new(user(), "s3:PutObject", OBJECT).identity(allow_all()).identity(&deny);
        assert!(!put().is_allowed());
        assert!(put().key("s3:x-amz-server-side-encryption", &["AES256"]).is_allowed());
    }
}

/// ceph 23625: `NotAction`, `NotPrincipal` and `NotResource` were skipped. cloudemu 854: a statement with `NotAction` denied nothing.
#[test]
fn opposites_are_not_skipped() {
    let deny = r#"{"Effect":"Deny","NotAction":["s3:GetObject"],"Resource":"*"}"#;
    assert!(!AccessCase::new(user(), "s3:PutObject", OBJECT).identity(allow_all()).identity(deny).is_allowed());
    assert!(AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow_all()).identity(deny).is_allowed());
    let deny = r#"{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::app/*"}"#;
    assert!(!AccessCase::new(user(), "s3:GetObject", "arn:aws:s3:::x/y").identity(allow_all()).identity(deny).is_allowed());
    assert!(AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow_all()).identity(deny).is_allowed());
    let deny = r#"{"Effect":"Deny","NotPrincipal":{"AWS":"222222222222"},"Action":"*","Resource":"arn:aws:s3:::app/*"}"#;
    assert!(!AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow_all()).bucket(deny).is_allowed());
}

/// ceph 15607: `IfExists` belongs to the operator and not to the key.
#[test]
fn if_exists_belongs_to_the_operator() {
    let allow = r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"kIfExists":"a"}}}"#;
    assert!(!AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow).is_allowed());
    assert!(!AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow).key("k", &["a"]).is_allowed());
}

/// Arsenal 2638: a resource with a colon in its key matched no statement, so a `Deny` on it failed open.
#[test]
fn keys_with_colons_are_matched() {
    let object = "arn:aws:s3:::bucket/data:2024/report.csv";
    assert!(allows("s3:*", object, "s3:GetObject", object));
    assert!(allows("s3:*", "arn:aws:s3:::bucket/data:*", "s3:GetObject", object));
    let deny = statement("Deny", "*", "arn:aws:s3:::bucket/data:2024/*");
    assert!(!AccessCase::new(user(), "s3:GetObject", object).identity(allow_all()).identity(deny).is_allowed());
    let like = r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::bucket/data:*"}}}"#;
    assert!(AccessCase::new(user(), "s3:GetObject", object).identity(like).key("aws:SourceArn", &[object]).is_allowed());
}

/// iam-simulate 50: a `Deny` with `ArnNotLike` let callers through whose ARN is none.
#[test]
fn a_deny_of_all_but_one_role_denies_who_has_no_arn() {
    let deny = r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/role-name"]}}}"#;
    for (arn, expected) in [("arn:aws:::", false), ("boop", false), ("arn:aws:iam::111111111111:role/role-name", true)] {
        let case = AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow_all()).identity(deny).key("aws:PrincipalArn", &[arn]);
        assert_eq!(case.is_allowed(), expected, "{arn}");
    }
    let without = AccessCase::new(user(), "s3:GetObject", OBJECT).identity(allow_all()).identity(deny).key("aws:PrincipalArn", &[]);
    assert!(!without.is_allowed());
}

/// boto3 4099: `arn:aws::s3:*` has an empty service and covers nothing of S3.
#[test]
fn an_arn_with_a_part_too_many_covers_nothing() {
    assert!(!allows("*", "arn:aws::s3:*", "s3:GetObject", OBJECT));
    assert!(allows("*", "arn:aws:s3:*", "s3:GetObject", OBJECT));
}

/// object-browser 1597: `${aws:username}*` and `${aws:username},*` stand for buckets of a user's own.
#[test]
fn a_variable_beside_other_text_is_a_variable() {
    assert!(allows("s3:*", "arn:aws:s3:::${aws:username}*", "s3:ListBucket", "arn:aws:s3:::ann-photos"));
    assert!(allows("s3:*", "arn:aws:s3:::${aws:username},*", "s3:ListBucket", "arn:aws:s3:::ann,x"));
    assert!(!allows("s3:*", "arn:aws:s3:::${aws:username}*", "s3:ListBucket", "arn:aws:s3:::bob-photos"));
}

/// fakecloud 913: credentials were given whatever the external id. yulin 1309: `ForAllValues` on an absent key holds, and `Null` guards it.
#[test]
fn a_guard_beside_for_all_values_holds_back_absent_keys() {
    let guarded = r#"{"Effect":"Allow","Action":"*","Resource":"*",
        "Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]},"Null":{"aws:TagKeys":"false"}}}"#;
    let asks = |values: &[&str]| AccessCase::new(user(), "s3:GetObject", OBJECT).identity(guarded).key("aws:TagKeys", values).is_allowed();
    assert!(asks(&["a"]) && !asks(&[]) && !asks(&[""]) && !asks(&["a", "b"]));
}

/// iam-policy-validator 66 and others: `{"AWS":"*"}` in a trust policy trusts every account; each caller still needs a right of its own account.
#[test]
fn everyone_of_other_accounts_needs_a_right_there() {
    let theirs = || {
        AccessCase::new(user(), "sts:AssumeRole", "arn:aws:iam::222222222222:role/open").owned_by(OTHER).trust(trust_statement(
            "Allow",
            r#"{"AWS":"*"}"#,
            "sts:AssumeRole",
        ))
    };
    assert!(!theirs().is_allowed());
    assert!(theirs().identity(statement("Allow", "sts:AssumeRole", "*")).is_allowed());
}

/// The prototype's own finding: a key with `..` in it is a key and no path.
#[test]
fn a_key_with_dots_is_asked_about_as_it_is() {
    let mine = "arn:aws:s3:::app/users/u1/*";
    assert!(allows("s3:*", mine, "s3:PutObject", "arn:aws:s3:::app/users/u1/../u2/a"));
    assert!(!allows("s3:*", mine, "s3:PutObject", "arn:aws:s3:::app/users/u2/a"));
    assert!(!allows("s3:*", mine, "s3:PutObject", "arn:aws:s3:::app/users/u1%2Fa"));
}

/// Names that only look like `aws:username` of somebody: a session's name and a federated user's are chosen by who makes them.
#[test]
fn the_name_of_a_session_is_no_user_name() {
    let mine = statement("Allow", "*", "arn:aws:s3:::app/${aws:username}");
    for (caller, expected) in [(user(), true), (role_session(), false), (federated_user(), false), (Caller::Anonymous, false)] {
        for object in ["arn:aws:s3:::app/ann", "arn:aws:s3:::app/s1", "arn:aws:s3:::app/bob", "arn:aws:s3:::app/"] {
            let is_allowed = AccessCase::new(caller.clone(), "s3:GetObject", object).identity(&mine).is_allowed();
            assert_eq!(is_allowed, expected && object.ends_with("ann"), "{object}");
        }
    }
}
