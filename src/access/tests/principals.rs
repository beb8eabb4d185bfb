//! Principals of resources' policies: who is named, and what names mean after somebody was deleted.

use super::support::*;
use crate::access::Caller;
use crate::access::policy::{PolicyDocument, PolicyKind, PrincipalName, resolve_principals, show_principals};

const GET: &str = "s3:GetObject";

fn get(caller: Caller) -> AccessCase {
    AccessCase::new(caller, GET, OBJECT)
}

/// The users and roles that are there: ann, and the role reader.
fn id_of(name: PrincipalName<'_>) -> Option<String> {
    match name {
        PrincipalName::User { account: OWN, path: "/staff/", name: "ann" } => Some("AIDAANN".to_owned()),
        PrincipalName::Role { account: OWN, path: Some("/apps/") | None, name: "reader" } => Some("AROAREADER".to_owned()),
        PrincipalName::Id(id @ ("AIDAANN" | "AROAREADER")) => Some(id.to_owned()),
        PrincipalName::User { .. } | PrincipalName::Role { .. } | PrincipalName::Id(_) => None,
    }
}

fn arn_of(id: &str) -> Option<String> {
    match id {
        "AIDAANN" => Some("arn:aws:iam::111111111111:user/staff/ann".to_owned()),
        "AROAREADER" => Some("arn:aws:iam::111111111111:role/apps/reader".to_owned()),
        _ => None,
    }
}

fn trust(principals: &str) -> String {
    document(&[trust_statement("Allow", &format!(r#"{{"AWS":{principals}}}"#), "sts:AssumeRole")])
}

#[test]
fn names_are_stored_as_ids_and_shown_as_names() {
    for (written, stored, shown) in [
        (r#""arn:aws:iam::111111111111:user/staff/ann""#, r#""AIDAANN""#, None),
        (r#""arn:aws:iam::111111111111:role/apps/reader""#, r#""AROAREADER""#, None),
        (r#""arn:aws:sts::111111111111:assumed-role/reader/s1""#, r#""AROAREADER:s1""#, None),
        (r#""AIDAANN""#, r#""AIDAANN""#, Some(r#""arn:aws:iam::111111111111:user/staff/ann""#)),
        (r#""222222222222""#, r#""arn:aws:iam::222222222222:root""#, Some(r#""arn:aws:iam::222222222222:root""#)),
        (r#"["*","arn:aws:sts::111111111111:federated-user/bob"]"#, r#"["*","arn:aws:sts::111111111111:federated-user/bob"]"#, None),
    ] {
        let text = trust(written);
        let found = resolve_principals(PolicyKind::Trust, &text, id_of).expect(written);
        assert_eq!(found, trust(stored));
        assert_eq!(show_principals(PolicyKind::Trust, &found, arn_of).expect(written), trust(shown.unwrap_or(written)));
        PolicyDocument::parse_stored(PolicyKind::Trust, &found).expect("what is stored parses");
    }
    // Of one that was deleted the id is shown.
    assert_eq!(show_principals(PolicyKind::Trust, &trust(r#""AROAGONE""#), arn_of), Ok(trust(r#""AROAGONE""#)));
}

#[test]
fn a_principal_that_is_not_there_is_refused() {
    for wrong in [
        "arn:aws:iam::111111111111:user/ann",
        "arn:aws:iam::222222222222:user/staff/ann",
        "arn:aws:iam::111111111111:role/writer",
        "arn:aws:sts::111111111111:assumed-role/writer/s1",
        "AROAGONE",
    ] {
        let error = resolve_principals(PolicyKind::Trust, &trust(&format!("\"{wrong}\"")), id_of).expect_err(wrong);
        assert_eq!((error.code, error.message), ("MalformedPolicyDocument", format!("Invalid principal in policy: \"AWS\":\"{wrong}\"")));
    }
    for wrong in [
        "",
        "ann",
        "11111111111",
        "arn:aws:iam::111111111111:user/*",
        "arn:aws:iam::*:root",
        "arn:aws:iam::111111111111:*",
        "arn:aws:iam::111111111111:group/all",
        "arn:aws:iam::111111111111:user/",
        "arn:aws:iam::111111111111:user//ann",
        "arn:aws:sts::111111111111:assumed-role/reader",
        "arn:aws:sts::111111111111:assumed-role/a/b/c",
        "arn:aws:sts::111111111111:federated-user/a/b",
        "arn:aws:s3:::app",
        "arn:aws:iam:local:111111111111:root",
        "arn:other:iam::111111111111:root",
        "AROA*",
        "AROAREADER:*",
        "AROAREADER:",
        "${aws:userid}",
    ] {
        let error = PolicyDocument::parse(PolicyKind::Trust, &trust(&format!("\"{wrong}\""))).expect_err(wrong);
        assert!(error.message.starts_with(&format!("Invalid principal in policy: \"AWS\":\"{wrong}\"")), "{error:?}");
    }
}

#[test]
fn a_role_that_was_made_anew_is_not_trusted() {
    let stored = resolve_principals(PolicyKind::Trust, &trust(r#""arn:aws:iam::111111111111:role/apps/reader""#), id_of).expect("is there");
    let Caller::AssumedRole(old) = role_session() else { panic!("a session") };
    let mut anew = old.clone();
    anew.role_id = "AROAANEW".to_owned();
    for (caller, expected) in [(old, true), (anew, false)] {
        let mut case = AccessCase::new(Caller::AssumedRole(caller), "sts:AssumeRole", "arn:aws:iam::111111111111:role/x");
        case.trust = Some(PolicyDocument::parse_stored(PolicyKind::Trust, &stored).expect("a policy"));
        assert_eq!(case.is_allowed(), expected);
    }
}

#[test]
fn names_that_are_not_resolved_allow_nobody_and_deny_who_has_them() {
    for (caller, arn) in [
        (user(), "arn:aws:iam::111111111111:user/staff/ann"),
        (role_session(), "arn:aws:iam::111111111111:role/apps/reader"),
        (role_session(), "arn:aws:sts::111111111111:assumed-role/reader/s1"),
        (federated_user(), "arn:aws:iam::111111111111:user/staff/ann"),
    ] {
        let principal = format!(r#"{{"AWS":"{arn}"}}"#);
        assert!(!get(caller.clone()).bucket(bucket_statement("Allow", &principal, GET)).is_allowed(), "{arn}");
        assert!(get(caller.clone()).identity(allow_all()).bucket(bucket_statement("Deny", &principal, GET)).denied_by().is_some(), "{arn}");
    }
}

#[test]
fn services_and_providers_are_named_as_a_whole() {
    let service = |name: &str| Caller::Service { name: name.to_owned() };
    let statement = bucket_statement("Allow", r#"{"Service":["cognito-sync.amazonaws.com"],"Federated":"accounts.google.com"}"#, GET);
    assert!(get(service("cognito-sync.amazonaws.com")).bucket(&statement).is_allowed());
    assert!(get(web_identity("accounts.google.com")).bucket(&statement).is_allowed());
    assert!(!get(service("accounts.google.com")).bucket(&statement).is_allowed());
    assert!(!get(web_identity("accounts.google.com.evil.example")).bucket(&statement).is_allowed());
    assert!(!get(user()).bucket(&statement).is_allowed());
    for wrong in [r#"{"Service":"*"}"#, r#"{"Federated":"*"}"#, r#"{"Federated":""}"#, r#"{"CanonicalUser":"x"}"#, "[]"] {
        let error = PolicyDocument::parse(PolicyKind::Bucket, &document(&[bucket_statement("Allow", wrong, GET)])).expect_err(wrong);
        assert!(error.code == "MalformedPolicy" && error.message.starts_with("Invalid principal in policy"), "{error:?}");
    }
}

#[test]
fn not_principal_denies_who_is_not_listed_whole() {
    let denies = |caller: Caller, listed: &str| {
        let statement = format!(r#"{{"Effect":"Deny","NotPrincipal":{listed},"Action":"*","Resource":"arn:aws:s3:::app/*"}}"#);
        get(caller).identity(allow_all()).bucket(statement).denied_by().is_some()
    };
    assert!(denies(user(), r#"{"AWS":"AIDAANN"}"#));
    assert!(denies(user(), r#"{"AWS":"111111111111"}"#));
    assert!(!denies(user(), r#"{"AWS":["AIDAANN","111111111111"]}"#));
    assert!(denies(user(), r#"{"AWS":["AIDABOB","111111111111"]}"#));
    assert!(denies(role_session(), r#"{"AWS":["AROAREADER","111111111111"]}"#));
    assert!(!denies(role_session(), r#"{"AWS":["AROAREADER","AROAREADER:s1","111111111111"]}"#));
    assert!(!denies(root(), r#"{"AWS":"111111111111"}"#));
    assert!(denies(Caller::Anonymous, r#"{"AWS":"111111111111"}"#));
    assert!(!denies(Caller::Anonymous, r#""*""#));
    // Who has a boundary is denied whatever is listed.
    let listed = r#"{"Effect":"Deny","NotPrincipal":{"AWS":["AIDAANN","111111111111"]},"Action":"*","Resource":"arn:aws:s3:::app/*"}"#;
    assert!(get(user()).identity(allow_all()).boundary(allow_all()).bucket(listed).denied_by().is_some());
}
