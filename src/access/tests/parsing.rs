//! What a policy may be: its elements, its size and its depth, and AWS's words for what it may not be.

use super::support::*;
use crate::access::policy::{PolicyDocument, PolicyKind, counted_size, resolve_principals};

/// The error of a policy that is refused: its code, and the words before the place.
fn refused(kind: PolicyKind, text: &str) -> (&'static str, String) {
    let error = PolicyDocument::parse(kind, text).expect_err(text);
    let words = error.message.split(" (").next().unwrap_or_default().to_owned();
    (error.code, words)
}

fn malformed(kind: PolicyKind, text: &str) -> String {
    let (code, words) = refused(kind, text);
    assert_eq!(code, if kind == PolicyKind::Bucket { "MalformedPolicy" } else { "MalformedPolicyDocument" });
    words
}

const SYNTAX: &str = "Syntax errors in policy.";

#[test]
fn callers_policies_are_refused_in_the_words_of_iam() {
    for (statement, words) in [
        (r#"{"Effect":"Allow","Resource":"*"}"#, "Policy statement must contain actions."),
        (r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#, "Policy statement must contain actions."),
        (r#"{"Effect":"Allow","Action":"s3:*"}"#, "Policy statement must contain resources."),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":[]}"#, "Policy statement must contain resources."),
        (r#"{"Action":"s3:*","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"allow","Action":"s3:*","Resource":"*"}"#, "Invalid effect: allow"),
        (r#"{"Effect":1,"Action":"s3:*","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#, "Policy document should not specify a principal."),
        (r#"{"Effect":"Deny","NotPrincipal":"*","Action":"s3:*","Resource":"*"}"#, "Policy document should not specify a principal."),
        (r#"{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Effects":"x"}"#, SYNTAX),
        (r#"{"Effect":"Allow","action":"s3:*","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":{"a":"*"}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":["s3:*",null],"Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":[["s3:*"]],"Resource":"*"}"#, SYNTAX),
        (
            r#"{"Effect":"Allow","Action":"PutObject","Resource":"*"}"#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (
            r#"{"Effect":"Allow","Action":":x","Resource":"*"}"#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (r#"{"Effect":"Allow","Action":"s3:a:b","Resource":"*"}"#, "Actions/Condition can contain only one colon."),
        (r#"{"Effect":"Allow","Action":"s 3:a","Resource":"*"}"#, "Vendor s 3 is not valid"),
        (r#"{"Effect":"Allow","Action":"*:*","Resource":"*"}"#, "Vendor * is not valid"),
        (r#"{"Effect":"Allow","Action":"s3:","Resource":"*"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:${aws:username}","Resource":"*"}"#, "Actions/Condition can contain only one colon."),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"app/*"}"#, "Resource app/* must be in ARN format or \"*\"."),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws"}"#, "Resource arn:aws must be in ARN format or \"*\"."),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn::s3:::a"}"#, "Resource arn::s3:::a must be in ARN format or \"*\"."),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username"}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"k":"a"}}}"#, "Invalid Condition type : StringIs."),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NullIfExists":{"k":"true"}}}"#,
            "Invalid Condition type : NullIfExists.",
        ),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"ForSome:Bool":{"k":"true"}}}"#,
            "Invalid Condition type : ForSome:Bool.",
        ),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"k":"a","K":"b"}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"":"a"}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":"k"}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"k":null}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"k":{"a":"b"}}}}"#, SYNTAX),
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":[]}"#, SYNTAX),
        (
            r#"{"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ),
        (r#""x""#, SYNTAX),
        ("[]", SYNTAX),
    ] {
        // The words may have a parenthesis of their own.
        let error = PolicyDocument::parse(PolicyKind::Managed, &document(&[statement])).expect_err(statement);
        assert_eq!(error.code, "MalformedPolicyDocument");
        assert!(error.message.starts_with(&format!("{words} (Statement[0]")), "{statement}: {}", error.message);
    }
}

#[test]
fn a_value_that_its_operator_cannot_read_is_refused() {
    for (operator, value) in [
        ("NumericEquals", r#""ten""#),
        ("NumericEquals", "1e400"),
        ("NumericLessThanIfExists", r#""${aws:username}""#),
        ("NumericEquals", "18446744073709551617"),
        ("DateLessThan", r#""tomorrow""#),
        ("DateLessThan", r#""2026-02-30T00:00:00Z""#),
        ("Bool", r#""yes""#),
        ("Bool", "1"),
        ("Null", r#""${aws:username}""#),
        ("BinaryEquals", r#""*""#),
        ("IpAddress", r#""203.0.113.0/33""#),
        ("IpAddress", r#""203.0.113.*""#),
        ("NotIpAddress", r#""""#),
        ("ArnLike", r#""arn:aws:iam::1""#),
        ("ArnNotLike", r#""boop""#),
        ("StringEquals", r#""${""#),
        ("StringEquals", r#""${a, b}""#),
    ] {
        let statement = format!(
            r#"{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"{operator}":{{"k":["{}",{value}]}}}}}}"#,
            good(operator)
        );
        let error = PolicyDocument::parse(PolicyKind::Managed, &document(&[&statement])).expect_err(&statement);
        assert!(error.message.starts_with(SYNTAX), "{}", error.message);
    }
}

/// A value that an operator takes.
fn good(operator: &str) -> &'static str {
    match operator {
        name if name.starts_with("Numeric") || name.starts_with("Date") => "1",
        "Bool" | "Null" => "true",
        "IpAddress" | "NotIpAddress" => "10.0.0.0/8",
        _ => "*",
    }
}

#[test]
fn documents_are_whole_json_with_known_members() {
    let good = statement("Allow", "*", "*");
    for text in [
        "",
        "null",
        "[]",
        "{",
        "{}",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2012-10-17","Statement":null}"#,
        &format!(r#"{{"Version":"2013-01-01","Statement":{good}}}"#),
        &format!(r#"{{"Version":2012,"Statement":{good}}}"#),
        &format!(r#"{{"Id":1,"Statement":{good}}}"#),
        &format!(r#"{{"version":"2012-10-17","Statement":{good}}}"#),
        &format!(r#"{{"Statement":{good},"Statement":{good}}}"#),
        &format!(r#"{{"Statement":{good}}} x"#),
        &format!(r#"{{"Statement":{good},}}"#),
        &format!("\u{feff}{{\"Statement\":{good}}}"),
        r#"{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Deny","\u0045ffect":"Allow","Action":"*","Resource":"*"}}"#,
        "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\n\"}}",
    ] {
        assert_eq!(malformed(PolicyKind::Managed, text), SYNTAX, "{text}");
    }
    for text in [&format!(r#"{{"Id":"x","Statement":{good}}}"#), &format!(" {{\r\n\"Statement\" : [ {good} ,\n{good} ] }}\n")] {
        PolicyDocument::parse(PolicyKind::Managed, text).expect(text);
    }
    let twice = r#"{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"}"#;
    let error = PolicyDocument::parse(PolicyKind::Managed, &document(&[twice, twice])).expect_err("a Sid twice");
    assert!(error.message.starts_with("Statement IDs (SID) in a single policy must be unique. (Statement[1].Sid"));
    let place = PolicyDocument::parse(PolicyKind::Managed, "{\"Version\":\n x}").expect_err("no JSON").message;
    assert!(place.contains("line 2 column 2"), "{place}");
}

#[test]
fn trust_policies_trust_somebody_with_actions_of_sts() {
    for (statement, words) in [
        (r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#, "Missing required field Principal"),
        (r#"{"Effect":"Allow","Principal":"*"}"#, "Missing required field Action"),
        (r#"{"Principal":"*","Action":"sts:AssumeRole"}"#, "Missing required field Effect"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}"#, "Has prohibited field Resource"),
        (
            r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","NotResource":"*"}"#,
            "AssumeRole policy must not contain resources.",
        ),
        (
            r#"{"Effect":"Deny","NotPrincipal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}"#,
            "AssumeRole policy must not contain NotPrincipal field.",
        ),
        (
            r#"{"Effect":"Allow","NotPrincipal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}"#,
            "Allow with NotPrincipal is not allowed.",
        ),
        (r#"{"Effect":"Allow","Principal":{},"Action":"sts:AssumeRole"}"#, "Missing required field Principal cannot be empty!"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#, "AssumeRole policy may only specify STS AssumeRole actions."),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:Get*"}"#, "AssumeRole policy may only specify STS AssumeRole actions."),
        (r#"{"Effect":"Allow","Principal":"*","NotAction":"s3:*"}"#, "AssumeRole policy may only specify STS AssumeRole actions."),
        (r#"{"Effect":"Allow","Principal":"111111111111","Action":"sts:AssumeRole"}"#, "Invalid principal in policy"),
    ] {
        assert_eq!(malformed(PolicyKind::Trust, &document(&[statement])), words, "{statement}");
    }
    assert_eq!(malformed(PolicyKind::Trust, "{"), "This policy contains invalid Json");
    assert_eq!(malformed(PolicyKind::Trust, r#"{"Statement":[]}"#), "Could not parse the policy: Statement is empty!");
    assert_eq!(malformed(PolicyKind::Trust, r#"{"Version":"2012","Statement":[]}"#), "The policy must contain a valid version string");
    assert_eq!(malformed(PolicyKind::Trust, r#"{"Version":"2012-10-17"}"#), "Missing required field Statement");
    let twice = r#"{"Sid":"a","Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}"#;
    assert_eq!(malformed(PolicyKind::Trust, &document(&[twice, twice])), "The Statement Ids in the policy are not unique");
}

#[test]
fn trust_in_identity_pools_says_which_pool() {
    let trust = |condition: &str| {
        let start = r#""Principal":{"Federated":["accounts.google.com","cognito-identity.amazonaws.com"]},"Action":"sts:AssumeRoleWithWebIdentity""#;
        PolicyDocument::parse(PolicyKind::Trust, &document(&[format!(r#"{{"Effect":"Allow",{start}{condition}}}"#)]))
    };
    for none in [
        "",
        r#","Condition":{}"#,
        r#","Condition":{"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}}"#,
        r#","Condition":{"StringLike":{"cognito-identity.amazonaws.com:aud":"*"}}"#,
        r#","Condition":{"StringLike":{"cognito-identity.amazonaws.com:aud":["local:1","?*"]}}"#,
        r#","Condition":{"StringNotEquals":{"cognito-identity.amazonaws.com:aud":"local:1"}}"#,
        r#","Condition":{"StringEqualsIfExists":{"cognito-identity.amazonaws.com:aud":"local:1"}}"#,
        r#","Condition":{"ForAllValues:StringEquals":{"cognito-identity.amazonaws.com:aud":"local:1"}}"#,
        r#","Condition":{"Null":{"cognito-identity.amazonaws.com:aud":"false"}}"#,
        r#","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"${cognito-identity.amazonaws.com:aud}"}}"#,
    ] {
        let error = trust(none).expect_err(none);
        assert!(error.message.starts_with("A condition block must be present for the Cognito provider ("), "{}", error.message);
    }
    for some in [
        r#","Condition":{"StringEquals":{"Cognito-Identity.amazonaws.com:Aud":["local:1","local:2"]}}"#,
        r#","Condition":{"StringLike":{"cognito-identity.amazonaws.com:aud":"local:1*"}}"#,
    ] {
        trust(some).expect(some);
    }
    let deny = r#"{"Effect":"Deny","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity"}"#;
    parse(PolicyKind::Trust, &document(&[deny]));
}

#[test]
fn bucket_policies_are_refused_in_the_words_of_s3() {
    for (statement, words) in [
        (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::app/*"}"#, "Missing required field Principal"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:*"}"#, "Missing required field Resource"),
        (r#"{"Effect":"Allow","Principal":"*","Resource":"arn:aws:s3:::app/*"}"#, "Missing required field Action"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"iam:*","Resource":"arn:aws:s3:::app/*"}"#, "Policy has invalid action"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#, "Policy has invalid resource"),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:sns:::x"}"#, "Policy has invalid resource"),
        (
            r#"{"Effect":"Allow","NotPrincipal":"*","Action":"s3:*","Resource":"arn:aws:s3:::app/*"}"#,
            "Allow with NotPrincipal is not allowed.",
        ),
        (r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::app/*","X":1}"#, "Unknown field X"),
    ] {
        assert_eq!(malformed(PolicyKind::Bucket, &document(&[statement])), words, "{statement}");
    }
    assert_eq!(malformed(PolicyKind::Bucket, "x"), "Policies must be valid JSON and the first byte must be '{'");
    assert_eq!(malformed(PolicyKind::Bucket, r#"{"Statement":[]}"#), "Could not parse the policy: Statement is empty!");
    let names_only = |resource: &str, bucket| {
        let statement = format!(r#"{{"Sid":"With spaces","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"{resource}"}}"#);
        parse(PolicyKind::Bucket, &document(&[statement])).names_only_bucket(bucket)
    };
    assert!(names_only("arn:aws:s3:::app", "app") && names_only("arn:aws:s3:::app/*", "app"));
    for other in ["arn:aws:s3:::app2/*", "arn:aws:s3:::*", "arn:aws:s3:::app*", "arn:aws:s3:::${aws:username}/*", "arn:aws:s3:::ap"] {
        assert!(!names_only(other, "app"), "{other}");
    }
}

#[test]
fn every_kind_has_its_size() {
    for (kind, size, code) in [
        (PolicyKind::Managed, 6_144, "LimitExceeded"),
        (PolicyKind::UserInline, 2_048, "LimitExceeded"),
        (PolicyKind::GroupInline, 5_120, "LimitExceeded"),
        (PolicyKind::RoleInline, 10_240, "LimitExceeded"),
        (PolicyKind::Session, 2_048, "ValidationError"),
        (PolicyKind::Trust, 2_048, "LimitExceeded"),
        (PolicyKind::Bucket, 20_480, "PolicyTooLarge"),
    ] {
        let start = match kind {
            PolicyKind::Trust => document(&[trust_statement("Allow", r#""*""#, "sts:AssumeRole")]),
            PolicyKind::Bucket => document(&[bucket_statement("Allow", r#""*""#, "s3:Get*")]),
            _ => document(&[allow_all()]),
        };
        let filled = |size: usize| start.replace(r#"{"Version""#, &format!(r#"{{"Id":"{}","Version""#, "x".repeat(size - start.len() - 8)));
        assert_eq!(counted_size(kind, &filled(size)), size);
        PolicyDocument::parse(kind, &filled(size)).expect("at the bound");
        assert_eq!(refused(kind, &filled(size + 1)).0, code, "{kind:?}");
        let spaced = filled(size) + &" \n".repeat(1_000);
        let counts_space = matches!(kind, PolicyKind::Session | PolicyKind::Bucket);
        assert_eq!(PolicyDocument::parse(kind, &spaced).is_err(), counts_space, "{kind:?}");
    }
    assert_eq!(refused(PolicyKind::Managed, &"x".repeat(6_145)).1, "Cannot exceed quota for PolicySize: 6144");
    assert_eq!(refused(PolicyKind::Trust, &"x".repeat(2_049)).1, "Cannot exceed quota for ACLSizePerRole: 2048");
}

#[test]
fn a_message_carries_no_policy_back_and_no_control_characters() {
    let long = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"\u0000\u001b{}"}}"#, "x".repeat(3_000));
    let error = PolicyDocument::parse(PolicyKind::Managed, &document(&[long])).expect_err("no ARN");
    assert!(error.message.chars().count() <= 1_000 && !error.message.contains(char::is_control), "{}", error.message);
    assert!(error.message.starts_with("Resource \u{fffd}\u{fffd}xxx"));
}

#[test]
fn what_is_huge_or_deep_is_refused_before_it_is_read() {
    let statement = allow_all();
    let hundred_kilobytes = document(&vec![statement; 2_000]);
    let spaces = " ".repeat(140_000);
    let deep = r#"{"Statement":"#.to_owned() + &"[".repeat(1_000_000);
    let deep_within_the_size = r#"{"Statement":"#.to_owned() + &"[".repeat(2_000);
    let deep_objects = r#"{"Statement":"#.repeat(500);
    for kind in [PolicyKind::Managed, PolicyKind::Trust, PolicyKind::Bucket, PolicyKind::Session] {
        for text in [&hundred_kilobytes, &spaces, &deep] {
            assert_ne!(refused(kind, text).0, "MalformedPolicyDocument");
            assert!(resolve_principals(kind, text, |_| None).is_err());
        }
    }
    for text in [&deep_within_the_size, &deep_objects] {
        let error = PolicyDocument::parse(PolicyKind::RoleInline, text).expect_err("too deep");
        assert!(error.message.contains("nested too deeply"), "{}", error.message);
    }
}
