//! Every condition operator, with `IfExists`, set qualifiers and variables.

use super::support::*;
use crate::access::policy::{PolicyDocument, PolicyKind};

/// Whether a statement with this condition, of this effect, applies where the key `k` has these values.
fn applies(effect: &str, condition: &str, values: &[&str]) -> bool {
    let conditional = format!(r#"{{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{condition}}}"#);
    let case = AccessCase::new(user(), "s3:GetObject", OBJECT).key("k", values);
    if effect == "Allow" {
        case.identity(conditional).is_allowed()
    } else {
        case.identity(allow_all()).identity(conditional).denied_by().is_some()
    }
}

/// The condition of one operator on `k`; the same for both effects.
fn holds(operator: &str, policy_values: &str, values: &[&str]) -> bool {
    let condition = format!(r#"{{"{operator}":{{"k":{policy_values}}}}}"#);
    let allows = applies("Allow", &condition, values);
    assert_eq!(allows, applies("Deny", &condition, values), "{condition} {values:?}");
    allows
}

#[test]
fn operators_compare_values() {
    for (operator, policy, value, expected) in [
        ("StringEquals", r#""a""#, "a", true),
        ("StringEquals", r#""a""#, "A", false),
        ("StringEquals", r#"["b","a"]"#, "a", true),
        ("StringEquals", r#""a*""#, "ab", false),
        ("StringEquals", r#""a*""#, "a*", true),
        ("StringEquals", r#""""#, "", true),
        ("StringNotEquals", r#"["b","a"]"#, "a", false),
        ("StringNotEquals", r#"["b","a"]"#, "c", true),
        ("StringEqualsIgnoreCase", r#""ÄB""#, "äb", true),
        ("StringNotEqualsIgnoreCase", r#""AB""#, "ab", false),
        ("StringLike", r#""home/?*""#, "home/x/y", true),
        ("StringLike", r#""home/?*""#, "home/", false),
        ("StringLike", r#""HOME/*""#, "home/x", false),
        ("StringNotLike", r#""home/*""#, "home/x", false),
        ("NumericEquals", "10", "10.0", true),
        ("NumericNotEquals", r#""10""#, "11", true),
        ("NumericLessThan", "10", "9.99", true),
        ("NumericLessThan", "10", "10", false),
        ("NumericLessThanEquals", r#"["5","10"]"#, "10", true),
        ("NumericGreaterThan", "-1", "0", true),
        ("NumericGreaterThanEquals", "9007199254740993", "9007199254740992", false),
        ("DateEquals", r#""2026-11-30""#, "2026-11-30T00:00:00Z", true),
        ("DateNotEquals", r#""2026-11-30""#, "2026-11-30T00:00:01Z", true),
        ("DateLessThan", r#""2026-11-30T12:00:00Z""#, "2026-11-30T11:59:59.999Z", true),
        ("DateLessThanEquals", r#""2026-11-30T12:00:00+01:00""#, "2026-11-30T11:00:00Z", true),
        ("DateGreaterThan", "1372550400", "2013-06-30T00:00:01Z", true),
        ("DateGreaterThanEquals", r#""2013-06-30T00:00:00Z""#, "1372550400", true),
        ("Bool", "true", "true", true),
        ("Bool", r#""True""#, "true", true),
        ("Bool", r#""false""#, "true", false),
        ("BinaryEquals", r#""QUJD""#, "QUJD", true),
        ("BinaryEquals", r#""QUJD""#, "QUJE", false),
        ("IpAddress", r#""203.0.113.0/24""#, "203.0.113.9", true),
        ("IpAddress", r#""203.0.113.77/24""#, "203.0.113.9", true),
        ("IpAddress", r#"["10.0.0.0/8","2001:DB8::/32"]"#, "2001:db8:1234::1", true),
        ("IpAddress", r#""203.0.113.9""#, "::ffff:203.0.113.9", true),
        ("IpAddress", r#""0.0.0.0/0""#, "2001:db8::1", false),
        ("NotIpAddress", r#""203.0.113.0/24""#, "203.0.113.9", false),
        ("NotIpAddress", r#""203.0.113.0/24""#, "203.0.114.9", true),
        ("ArnEquals", r#""arn:aws:iam::*:role/a?""#, "arn:aws:iam::111111111111:role/ab", true),
        ("ArnLike", r#""arn:aws:iam::*:role/a""#, "arn:aws:iam::1:2:role/a", false),
        ("ArnLike", r#""arn:aws:s3:::app/*""#, "arn:aws:s3:::app/a:b/c", true),
        ("ArnLike", r#""*""#, "arn:aws:s3:::app", true),
        ("ArnNotLike", r#""arn:aws:iam::*:role/a""#, "arn:aws:iam::111111111111:role/b", true),
        ("ArnNotEquals", r#""arn:aws:iam::*:role/*""#, "arn:aws:iam::111111111111:role/b", false),
        ("Null", "true", "x", false),
        ("Null", "false", "x", true),
    ] {
        assert_eq!(holds(operator, policy, &[value]), expected, "{operator} {policy} {value}");
    }
}

#[test]
fn a_value_of_another_type_matches_nothing() {
    for (operator, policy) in [
        ("NumericEquals", "1"),
        ("NumericLessThan", "1"),
        ("DateGreaterThan", r#""2026-11-30""#),
        ("Bool", "true"),
        ("BinaryEquals", r#""QUJD""#),
        ("IpAddress", r#""0.0.0.0/0""#),
        ("ArnLike", r#""*""#),
    ] {
        for value in ["boop", "", "1e3", "true ", "300.1.1.1", "arn:aws", "::1::", "010.0.0.1"] {
            assert!(!holds(operator, policy, &[value]), "{operator} {value}");
        }
    }
    for (operator, policy) in
        [("NumericNotEquals", "1"), ("DateNotEquals", r#""2026""#), ("NotIpAddress", r#""0.0.0.0/0""#), ("ArnNotLike", r#""*""#)]
    {
        assert!(holds(operator, policy, &["boop"]), "{operator}");
    }
}

#[test]
fn an_absent_key_matches_negated_operators_only() {
    for (name, policy) in [
        ("StringEquals", r#""a""#),
        ("StringLike", r#""*""#),
        ("StringEqualsIgnoreCase", r#""a""#),
        ("NumericLessThan", "1"),
        ("DateGreaterThan", "1"),
        ("Bool", "false"),
        ("BinaryEquals", r#""""#),
        ("IpAddress", r#""0.0.0.0/0""#),
        ("ArnLike", r#""*""#),
    ] {
        assert!(!holds(name, policy, &[]), "{name}");
        assert!(holds(&format!("{name}IfExists"), policy, &[]), "{name}IfExists");
        assert!(holds(&format!("ForAllValues:{name}"), policy, &[]), "ForAllValues:{name}");
        assert!(!holds(&format!("ForAnyValue:{name}"), policy, &[]), "ForAnyValue:{name}");
        assert!(!holds(&format!("ForAnyValue:{name}IfExists"), policy, &[]), "ForAnyValue:{name}IfExists");
    }
    for (name, policy) in [
        ("StringNotEquals", r#""a""#),
        ("StringNotLike", r#""*""#),
        ("StringNotEqualsIgnoreCase", r#""a""#),
        ("NumericNotEquals", "1"),
        ("DateNotEquals", "1"),
        ("NotIpAddress", r#""0.0.0.0/0""#),
        ("ArnNotLike", r#""*""#),
    ] {
        for operator in [name.to_owned(), format!("{name}IfExists"), format!("ForAllValues:{name}")] {
            assert!(holds(&operator, policy, &[]), "{operator}");
        }
        assert!(!holds(&format!("ForAnyValue:{name}"), policy, &[]), "ForAnyValue:{name}");
    }
    assert!(holds("Null", "true", &[]));
    assert!(!holds("Null", r#""false""#, &[]));
    assert!(holds("Null", "true", &[""]));
    assert!(!holds("StringEqualsIfExists", r#""a""#, &["b"]));
}

#[test]
fn set_qualifiers_say_which_values_have_to_match() {
    let two = r#"["a","b"]"#;
    for (operator, values, expected) in [
        ("ForAllValues:StringEquals", &["a"][..], true),
        ("ForAllValues:StringEquals", &["a", "b", "a"], true),
        ("ForAllValues:StringEquals", &["a", "c"], false),
        ("ForAllValues:StringEquals", &["", ""], true),
        ("ForAnyValue:StringEquals", &["c", "a"], true),
        ("ForAnyValue:StringEquals", &["c"], false),
        ("ForAnyValue:StringEquals", &[""], false),
        ("ForAllValues:StringNotEquals", &["c", "d"], true),
        ("ForAllValues:StringNotEquals", &["c", "a"], false),
        ("ForAnyValue:StringNotEquals", &["a", "c"], true),
        ("ForAnyValue:StringNotEquals", &["a", "b"], false),
        ("ForAllValues:StringLike", &["a", "b"], true),
    ] {
        assert_eq!(holds(operator, two, values), expected, "{operator} {values:?}");
    }
}

#[test]
fn without_a_qualifier_several_values_grant_less() {
    let condition = r#"{"StringEquals":{"k":"a"}}"#;
    assert!(!applies("Allow", condition, &["a", "b"]));
    assert!(applies("Deny", condition, &["a", "b"]));
    assert!(applies("Allow", condition, &["a", "a"]));
}

#[test]
fn all_operators_and_all_keys_have_to_hold() {
    let condition = r#"{"StringEquals":{"K":"a","aws:username":"ann"},"Null":{"other":"true"}}"#;
    assert!(applies("Allow", condition, &["a"]));
    assert!(!applies("Allow", condition, &["b"]));
    assert!(!applies("Allow", r#"{"StringEquals":{"k":"a"},"Null":{"other":"false"}}"#, &["a"]));
    assert!(applies("Allow", r#"{"StringEquals":{}}"#, &[]));
    assert!(!applies("Allow", r#"{"StringEquals":{"k":[]}}"#, &["a"]));
}

#[test]
fn variables_stand_for_values_of_the_request() {
    assert!(holds("StringEquals", r#""${aws:username}""#, &["ann"]));
    assert!(holds("StringLike", r#""home/${AWS:UserName}/*""#, &["home/ann/x"]));
    assert!(holds("ArnEquals", r#""${aws:PrincipalArn}""#, &["arn:aws:iam::111111111111:user/staff/ann"]));
    assert!(holds("StringEquals", r#""${aws:missing, 'none'}""#, &["none"]));
    // Nothing is equal to or like a variable without a value.
    for value in [&[][..], &[""], &["${aws:missing}"], &["x"]] {
        assert!(!holds("StringEquals", r#""${aws:missing}""#, value), "{value:?}");
        assert!(!holds("StringLike", r#""*${aws:missing}*""#, value), "{value:?}");
        assert!(holds("StringNotEquals", r#""${aws:missing}""#, value), "{value:?}");
        assert!(holds("StringNotLike", r#""*${aws:missing}*""#, value), "{value:?}");
    }
}

#[test]
fn a_variable_without_a_value_covers_no_resource() {
    let ask = || AccessCase::new(user(), "s3:GetObject", OBJECT);
    let mine = "arn:aws:s3:::app/${aws:PrincipalTag/team}*";
    assert!(!ask().identity(statement("Allow", "*", mine)).is_allowed());
    assert!(ask().identity(allow_all()).identity(statement("Deny", "*", mine)).is_allowed());
    assert!(ask().identity(statement("Allow", "*", mine)).key("aws:PrincipalTag/team", &["k"]).is_allowed());
    let except = |effect: &str| format!(r#"{{"Effect":"{effect}","Action":"*","NotResource":"{mine}"}}"#);
    assert!(!ask().identity(except("Allow")).is_allowed());
    assert!(ask().identity(allow_all()).identity(except("Deny")).denied_by().is_some());
    assert!(ask().identity(except("Allow")).key("aws:PrincipalTag/team", &["other"]).is_allowed());
    // A name with a wildcard in it opens that one folder.
    let folder = || statement("Allow", "*", "arn:aws:s3:::app/${k}/x");
    let opens = |resource: &str| AccessCase::new(user(), "s3:GetObject", resource).key("k", &["*"]).identity(folder()).is_allowed();
    assert!(!opens("arn:aws:s3:::app/ann/x"));
    assert!(opens("arn:aws:s3:::app/*/x"));
}

#[test]
fn in_the_version_of_2008_variables_are_text() {
    let text = r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::app/${aws:username}/*"}}"#;
    for text in [text.to_owned(), text.replace(r#""Version":"2008-10-17","#, "")] {
        let opens = |resource: &str| {
            let mut case = AccessCase::new(user(), "s3:GetObject", resource);
            case.identity = vec![PolicyDocument::parse(PolicyKind::Managed, &text).expect("a policy")];
            case.is_allowed()
        };
        assert!(!opens("arn:aws:s3:::app/ann/x"));
        assert!(opens("arn:aws:s3:::app/${aws:username}/x"));
    }
}
