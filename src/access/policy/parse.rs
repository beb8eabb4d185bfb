//! From JSON to statements: the elements of a document and of a statement, and which of them each kind of policy has. The words are AWS's, as IAM and
//! S3 answer them; behind them stands the place.

use std::collections::HashSet;

use super::effect::Effect;
use super::elements::{conditions, patterns, principals, text, texts};
use super::error::Flaw;
use super::json::PolicyJson;
use super::kind::PolicyKind;
use super::pattern::Pattern;
use super::statement::{PatternList, PolicyStatement, PrincipalElement};

/// What the statements of a document are parsed with.
#[derive(Clone, Copy)]
struct StatementRules {
    kind: PolicyKind,
    /// The version knows variables.
    variables: bool,
}

/// The elements of a statement as they were found.
#[derive(Default)]
struct StatementElements<'a> {
    sid: Option<&'a PolicyJson>,
    effect: Option<&'a PolicyJson>,
    action: Option<&'a PolicyJson>,
    not_action: Option<&'a PolicyJson>,
    resource: Option<&'a PolicyJson>,
    not_resource: Option<&'a PolicyJson>,
    principal: Option<&'a PolicyJson>,
    not_principal: Option<&'a PolicyJson>,
    condition: Option<&'a PolicyJson>,
}

/// The statements of a document, and its resources as they are written.
pub(super) fn parse_document(kind: PolicyKind, json: &PolicyJson) -> Result<(Vec<PolicyStatement>, Vec<String>), Flaw> {
    let PolicyJson::Object(members) = json else { return Err(Flaw::syntax("document", format_args!("{}, not an object", json.kind()))) };
    // "If you do not include a Version element, the value defaults to 2008-10-17", in which variables are text.
    let mut variables = false;
    let mut list = None;
    for (name, value) in members {
        match name.as_str() {
            "Version" => {
                variables = match text(value, name)? {
                    "2012-10-17" => true,
                    "2008-10-17" => false,
                    other => return Err(Flaw::at(version_words(kind), name, format_args!("unknown version {other:?}"))),
                }
            }
            "Id" => _ = text(value, name)?,
            "Statement" => list = Some(value),
            _ => return Err(unknown(kind, name, name)),
        }
    }
    let list = match list {
        Some(PolicyJson::List(items)) => items.as_slice(),
        Some(one @ PolicyJson::Object(_)) => std::slice::from_ref(one),
        Some(other) => return Err(Flaw::syntax("Statement", format_args!("{}, not a list of objects", other.kind()))),
        None => return Err(missing(kind, "Syntax errors in policy.", "Statement", "document")),
    };
    if list.is_empty() {
        let words = if kind.has_principals() { "Could not parse the policy: Statement is empty!" } else { "Syntax errors in policy." };
        return Err(Flaw::at(words, "Statement", "empty"));
    }
    let mut statements = Vec::with_capacity(list.len());
    let mut resources = Vec::new();
    let mut sids = HashSet::new();
    for (index, statement) in list.iter().enumerate() {
        let place = format!("Statement[{index}]");
        let parsed = StatementRules { kind, variables }.statement(statement, &place, &mut resources)?;
        if parsed.sid.as_ref().is_some_and(|sid| !sid.is_empty() && !sids.insert(sid.clone())) {
            let words = match kind.has_principals() {
                true => "The Statement Ids in the policy are not unique",
                false => "Statement IDs (SID) in a single policy must be unique.",
            };
            return Err(Flaw::at(words, &format!("{place}.Sid"), "occurs twice"));
        }
        statements.push(parsed);
    }
    Ok((statements, resources))
}

impl StatementRules {
    fn statement(self, json: &PolicyJson, place: &str, all_resources: &mut Vec<String>) -> Result<PolicyStatement, Flaw> {
        let found = self.elements(json, place)?;
        let effect_place = format!("{place}.Effect");
        let effect = match found.effect.map(|effect| text(effect, &effect_place)).transpose()? {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            Some(other) => return Err(Flaw::at(&format!("Invalid effect: {other}"), &effect_place, "neither Allow nor Deny")),
            None => return Err(missing(self.kind, "Syntax errors in policy.", "Effect", place)),
        };
        let sid = found.sid.map(|sid| self.sid(sid, place)).transpose()?;
        let principals = self.principals(&found, effect, place)?;
        let actions = self.actions(&found, place)?;
        let resources = self.resources(&found, place, all_resources)?;
        let conditions = found.condition.map(|json| conditions(json, &format!("{place}.Condition"), self.variables)).transpose()?;
        let statement = PolicyStatement { sid, effect, actions, resources, principals, conditions: conditions.unwrap_or_default() };
        if self.kind == PolicyKind::Trust && effect == Effect::Allow && statement.trusts_any_identity_pool() {
            let what = "a statement that trusts cognito-identity.amazonaws.com has to say which identity pool, by its aud";
            return Err(Flaw::at("A condition block must be present for the Cognito provider", place, what));
        }
        Ok(statement)
    }

    fn elements<'a>(self, json: &'a PolicyJson, place: &str) -> Result<StatementElements<'a>, Flaw> {
        let PolicyJson::Object(members) = json else { return Err(Flaw::syntax(place, format_args!("{}, not an object", json.kind()))) };
        let mut found = StatementElements::default();
        for (name, value) in members {
            let element = match name.as_str() {
                "Sid" => &mut found.sid,
                "Effect" => &mut found.effect,
                "Action" => &mut found.action,
                "NotAction" => &mut found.not_action,
                "Resource" => &mut found.resource,
                "NotResource" => &mut found.not_resource,
                "Principal" => &mut found.principal,
                "NotPrincipal" => &mut found.not_principal,
                "Condition" => &mut found.condition,
                _ => return Err(unknown(self.kind, name, &format!("{place}.{name}"))),
            };
            *element = Some(value);
        }
        Ok(found)
    }

    fn sid(self, json: &PolicyJson, place: &str) -> Result<String, Flaw> {
        let place = format!("{place}.Sid");
        let sid = text(json, &place)?;
        // S3 takes any text.
        if self.kind != PolicyKind::Bucket && !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let words = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*";
            return Err(Flaw::at(words, &place, format_args!("{sid:?}")));
        }
        Ok(sid.to_owned())
    }

    fn principals(self, found: &StatementElements<'_>, effect: Effect, place: &str) -> Result<Option<PrincipalElement>, Flaw> {
        let element = only_one(found.principal, found.not_principal, place, ["Principal", "NotPrincipal"])?;
        if !self.kind.has_principals() {
            return match element {
                Some(_) => Err(Flaw::at("Policy document should not specify a principal.", place, "the policy belongs to a caller")),
                None => Ok(None),
            };
        }
        match element {
            Some((json, false)) => Ok(Some(PrincipalElement::Principal(principals(json, &format!("{place}.Principal"))?))),
            // "NotPrincipal must be used with "Effect":"Deny". Using it with "Effect":"Allow" is not supported."
            Some((_, true)) if effect == Effect::Allow => {
                Err(Flaw::at("Allow with NotPrincipal is not allowed.", place, "it would allow everyone else"))
            }
            Some((_, true)) if self.kind == PolicyKind::Trust => {
                Err(Flaw::at("AssumeRole policy must not contain NotPrincipal field.", place, "a trust policy names whom it is about"))
            }
            Some((json, true)) => Ok(Some(PrincipalElement::NotPrincipal(principals(json, &format!("{place}.NotPrincipal"))?))),
            None => Err(Flaw::at("Missing required field Principal", place, "no principal")),
        }
    }

    fn actions(self, found: &StatementElements<'_>, place: &str) -> Result<PatternList, Flaw> {
        let element = only_one(found.action, found.not_action, place, ["Action", "NotAction"])?;
        let Some((json, is_not)) = element else {
            return Err(missing(self.kind, "Policy statement must contain actions.", "Action", place));
        };
        let place = format!("{place}.{}", if is_not { "NotAction" } else { "Action" });
        let actions = texts(json, &place)?;
        if actions.is_empty() {
            return Err(Flaw::at("Policy statement must contain actions.", &place, "empty"));
        }
        for action in &actions {
            self.check_action(action, &place)?;
        }
        // Actions have wildcards and no variables.
        patterns(&actions, false, &place).map(|actions| list(actions, is_not))
    }

    fn check_action(self, action: &str, place: &str) -> Result<(), Flaw> {
        let flaw = |words: &str| {
            let words = if self.kind == PolicyKind::Bucket { "Policy has invalid action" } else { words };
            Err(Flaw::at(words, place, format_args!("{action:?}")))
        };
        let service = match action.split_once(':') {
            None if action == "*" => "*",
            None => return flaw("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
            Some((_, name)) if name.contains(':') => return flaw("Actions/Condition can contain only one colon."),
            Some(("", _)) => return flaw("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
            Some((service, _)) if !service.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) => {
                return flaw(&format!("Vendor {service} is not valid"));
            }
            Some((_, name)) if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*?".contains(&byte)) => {
                return flaw("Syntax errors in policy.");
            }
            Some((service, _)) => service,
        };
        match self.kind {
            // A trust policy with more would say something of actions that never ask it.
            PolicyKind::Trust if !service.eq_ignore_ascii_case("sts") => flaw("AssumeRole policy may only specify STS AssumeRole actions."),
            PolicyKind::Bucket if service != "*" && !service.eq_ignore_ascii_case("s3") => flaw(""),
            _ => Ok(()),
        }
    }

    fn resources(self, found: &StatementElements<'_>, place: &str, all: &mut Vec<String>) -> Result<Option<PatternList>, Flaw> {
        let element = only_one(found.resource, found.not_resource, place, ["Resource", "NotResource"])?;
        let name = if found.not_resource.is_some() { "NotResource" } else { "Resource" };
        let place = format!("{place}.{name}");
        if self.kind == PolicyKind::Trust {
            return match element {
                Some((_, false)) => Err(Flaw::at("Has prohibited field Resource", &place, "the resource is the role")),
                Some((_, true)) => Err(Flaw::at("AssumeRole policy must not contain resources.", &place, "the resource is the role")),
                None => Ok(None),
            };
        }
        let Some((json, is_not)) = element else {
            return Err(missing(self.kind, "Policy statement must contain resources.", "Resource", &place));
        };
        let resources = texts(json, &place)?;
        if resources.is_empty() {
            return Err(Flaw::at("Policy statement must contain resources.", &place, "empty"));
        }
        for resource in &resources {
            self.check_resource(resource, &place)?;
            all.push((*resource).to_owned());
        }
        patterns(&resources, self.variables, &place).map(|resources| Some(list(resources, is_not)))
    }

    fn check_resource(self, resource: &str, place: &str) -> Result<(), Flaw> {
        if self.kind == PolicyKind::Bucket {
            let is_bucket = resource.starts_with("arn:aws:s3:::");
            return if is_bucket { Ok(()) } else { Err(Flaw::at("Policy has invalid resource", place, format_args!("{resource:?}"))) };
        }
        // Partition and service have to be there; `arn:aws:s3:*` stands for all that begins so.
        let mut parts = resource.split(':');
        let is_arn = parts.next() == Some("arn") && parts.next().is_some_and(|partition| !partition.is_empty()) && parts.count() >= 2;
        if resource == "*" || is_arn {
            return Ok(());
        }
        Err(Flaw::at(&format!("Resource {resource} must be in ARN format or \"*\"."), place, "neither an ARN nor \"*\""))
    }
}

fn list(patterns: Vec<Pattern>, is_not: bool) -> PatternList {
    if is_not { PatternList::NoneOf(patterns) } else { PatternList::Any(patterns) }
}

/// An element or its opposite, and whether it is the opposite; not both.
fn only_one<'a>(
    element: Option<&'a PolicyJson>,
    opposite: Option<&'a PolicyJson>,
    place: &str,
    [name, opposite_name]: [&str; 2],
) -> Result<Option<(&'a PolicyJson, bool)>, Flaw> {
    match (element, opposite) {
        (Some(_), Some(_)) => Err(Flaw::syntax(place, format_args!("{name} and {opposite_name} together"))),
        (Some(json), None) => Ok(Some((json, false))),
        (None, Some(json)) => Ok(Some((json, true))),
        (None, None) => Ok(None),
    }
}

fn unknown(kind: PolicyKind, name: &str, place: &str) -> Flaw {
    match kind {
        PolicyKind::Bucket => Flaw::at(&format!("Unknown field {name}"), place, "unknown element"),
        _ => Flaw::syntax(place, "unknown element"),
    }
}

fn version_words(kind: PolicyKind) -> &'static str {
    if kind.has_principals() { "The policy must contain a valid version string" } else { "Syntax errors in policy." }
}

/// IAM has words of its own for the policies of callers; trust policies and bucket policies name the field.
fn missing(kind: PolicyKind, words: &str, name: &str, place: &str) -> Flaw {
    let words = if kind.has_principals() { format!("Missing required field {name}") } else { words.to_owned() };
    Flaw::at(&words, place, format_args!("no {name}"))
}
