//! The values of a statement's elements: texts, lists of texts, patterns, principals and conditions.

use std::collections::HashSet;

use super::condition::Condition;
use super::error::Flaw;
use super::json::PolicyJson;
use super::operand::Operand;
use super::operator::ConditionOperator;
use super::pattern::{Pattern, PatternSyntax};
use super::principal::{PolicyPrincipal, PrincipalList};

/// A string.
pub(super) fn text<'a>(json: &'a PolicyJson, place: &str) -> Result<&'a str, Flaw> {
    match json {
        PolicyJson::Text(text) => Ok(text),
        other => Err(Flaw::syntax(place, format_args!("{}, not a string", other.kind()))),
    }
}

/// A string or a list of strings.
pub(super) fn texts<'a>(json: &'a PolicyJson, place: &str) -> Result<Vec<&'a str>, Flaw> {
    items(json).iter().map(|item| text(item, place)).collect()
}

/// A list, or one value as a list of one.
fn items(json: &PolicyJson) -> &[PolicyJson] {
    match json {
        PolicyJson::List(items) => items,
        one => std::slice::from_ref(one),
    }
}

/// Patterns with wildcards.
pub(super) fn patterns(texts: &[&str], variables: bool, place: &str) -> Result<Vec<Pattern>, Flaw> {
    let syntax = PatternSyntax { wildcards: true, variables };
    let parse = |text: &&str| Pattern::parse(text, syntax).map_err(|what| Flaw::syntax(place, format_args!("{what} {text:?}")));
    texts.iter().map(parse).collect()
}

/// `"*"`, or an object of lists by the kind of principal.
pub(super) fn principals(json: &PolicyJson, place: &str) -> Result<PrincipalList, Flaw> {
    let members = match json {
        PolicyJson::Text(text) if text == "*" => return Ok(PrincipalList(vec![PolicyPrincipal::Everyone])),
        PolicyJson::Object(members) => members,
        other => return Err(Flaw::at("Invalid principal in policy", place, format_args!("{}, not \"*\" or an object", other.kind()))),
    };
    let mut found = Vec::new();
    for (kind, values) in members {
        for value in texts(values, &format!("{place}.{kind}"))? {
            let principal = principal(kind, value);
            let words = || format!("Invalid principal in policy: \"{kind}\":\"{value}\"");
            found.push(principal.ok_or_else(|| Flaw::at(&words(), place, "no principal that is known"))?);
        }
    }
    if found.is_empty() {
        Err(Flaw::at("Missing required field Principal cannot be empty!", place, "empty"))
    } else {
        Ok(PrincipalList(found))
    }
}

fn principal(kind: &str, value: &str) -> Option<PolicyPrincipal> {
    // A wildcard is refused: it would trust every provider or service there is.
    let is_named = !value.is_empty() && !value.contains(['*', '?']) && !value.contains("${");
    match kind {
        "AWS" => PolicyPrincipal::parse_aws(value),
        "Federated" => is_named.then(|| PolicyPrincipal::Provider(value.to_owned())),
        "Service" => is_named.then(|| PolicyPrincipal::Service(value.to_owned())),
        _ => None,
    }
}

/// An object of operators, each with an object of keys, each with a value or a list of values.
pub(super) fn conditions(json: &PolicyJson, place: &str, variables: bool) -> Result<Vec<Condition>, Flaw> {
    let mut found = Vec::new();
    for (name, keys) in members(json, place)? {
        let place = format!("{place}.{name}");
        let operator = ConditionOperator::parse(name);
        let operator = operator.ok_or_else(|| Flaw::at(&format!("Invalid Condition type : {name}."), &place, "unknown operator"))?;
        let mut seen = HashSet::new();
        for (key, values) in members(keys, &place)? {
            let place = format!("{place}.{key}");
            let lower_case = key.to_ascii_lowercase();
            if key.is_empty() || !seen.insert(lower_case.clone()) {
                return Err(Flaw::syntax(&place, "an empty key, or one that occurs twice in different letters"));
            }
            let operand = |json: &PolicyJson| {
                let text = scalar(json).ok_or_else(|| Flaw::syntax(&place, format_args!("{}, not a string", json.kind())))?;
                Operand::parse(operator.test, &text, variables).map_err(|what| Flaw::syntax(&place, what))
            };
            let operands = items(values).iter().map(operand).collect::<Result<_, _>>()?;
            found.push(Condition { operator, key: lower_case, operands });
        }
    }
    Ok(found)
}

fn members<'a>(json: &'a PolicyJson, place: &str) -> Result<&'a [(String, PolicyJson)], Flaw> {
    match json {
        PolicyJson::Object(members) => Ok(members),
        other => Err(Flaw::syntax(place, format_args!("{}, not an object", other.kind()))),
    }
}

/// A value of a condition: numbers and booleans may stand without quotes.
fn scalar(json: &PolicyJson) -> Option<String> {
    match json {
        PolicyJson::Bool(value) => Some(value.to_string()),
        PolicyJson::Number(text) | PolicyJson::Text(text) => Some(text.clone()),
        PolicyJson::Null | PolicyJson::List(_) | PolicyJson::Object(_) => None,
    }
}
