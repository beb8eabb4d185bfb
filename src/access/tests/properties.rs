//! What holds for any policies: thousands of random ones, the same in every run.

use super::support::*;
use crate::access::policy::{PolicyDocument, PolicyKind};
use crate::access::{AccessDecision, Caller, DenialReason};

const RUNS: usize = 1_500;
const ACTIONS: [&str; 6] = ["s3:GetObject", "s3:PutObject", "s3:Get*", "S3:*OBJECT", "s3:?utObject", "*"];
const OBJECTS: [&str; 4] = ["app/key", "app/k*", "app/*", "app/${aws:username}"];
const CONDITIONS: [&str; 8] = [
    r#"{"StringEquals":{"k":"a"}}"#,
    r#"{"StringNotEquals":{"k":"a"}}"#,
    r#"{"ForAllValues:StringLike":{"k":["a","b*"]}}"#,
    r#"{"ForAnyValue:StringNotEquals":{"k":["a","b"]}}"#,
    r#"{"Null":{"k":"true"}}"#,
    r#"{"StringEqualsIfExists":{"aws:username":"ann"}}"#,
    r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}}"#,
    r#"{"StringNotLike":{"k":"${aws:username}"}}"#,
];
const PRINCIPALS: [&str; 7] = [
    r#""*""#,
    r#"{"AWS":"111111111111"}"#,
    r#"{"AWS":"AIDAANN"}"#,
    r#"{"AWS":"AROAREADER"}"#,
    r#"{"AWS":"AROAREADER:s1"}"#,
    r#"{"AWS":["222222222222","arn:aws:sts::111111111111:federated-user/bob"]}"#,
    r#"{"AWS":["111111111111","AIDAANN"]}"#,
];

/// Policies as lists of statements, so that statements can be added, removed and shuffled.
#[derive(Clone, Debug)]
struct RandomPolicies {
    caller: Caller,
    owner: &'static str,
    action: &'static str,
    values: Vec<&'static str>,
    identity: Vec<String>,
    boundary: Option<Vec<String>>,
    session: Option<Vec<String>>,
    bucket: Option<Vec<String>>,
}

fn pick<T: Clone>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(..from.len())].clone()
}

fn random_statement(random: &mut fastrand::Rng, has_principal: bool) -> String {
    let effect = if random.usize(..4) == 0 { "Deny" } else { "Allow" };
    let action = if random.usize(..5) == 0 { "NotAction" } else { "Action" };
    let resource = if random.usize(..6) == 0 { "NotResource" } else { "Resource" };
    let mut text = format!(r#"{{"Effect":"{effect}","{action}":"{}","#, pick(random, &ACTIONS));
    text += &format!(r#""{resource}":"arn:aws:s3:::{}""#, pick(random, &OBJECTS));
    if has_principal {
        let principal = if effect == "Deny" && random.bool() { "NotPrincipal" } else { "Principal" };
        text += &format!(r#","{principal}":{}"#, pick(random, &PRINCIPALS));
    }
    if random.bool() {
        text += &format!(r#","Condition":{}"#, pick(random, &CONDITIONS));
    }
    text + "}"
}

fn statements(random: &mut fastrand::Rng, has_principal: bool) -> Vec<String> {
    (0..random.usize(1..4)).map(|_| random_statement(random, has_principal)).collect()
}

impl RandomPolicies {
    fn new(random: &mut fastrand::Rng) -> RandomPolicies {
        RandomPolicies {
            caller: pick(random, &[user(), role_session(), federated_user(), root(), Caller::Anonymous]),
            owner: pick(random, &[OWN, OWN, OTHER]),
            action: pick(random, &["s3:GetObject", "s3:PutObject"]),
            values: pick(random, &[vec![], vec!["a"], vec!["b"], vec!["a", "b"]]),
            identity: statements(random, false),
            boundary: random.bool().then(|| statements(random, false)),
            session: random.bool().then(|| statements(random, false)),
            bucket: random.bool().then(|| statements(random, true)),
        }
    }

    fn decide(&self) -> AccessDecision {
        let parsed = |kind, statements: &Vec<String>| parse(kind, &document(statements));
        let mut case = AccessCase::new(self.caller.clone(), self.action, OBJECT).owned_by(self.owner).key("k", &self.values);
        case.identity = if self.identity.is_empty() { Vec::new() } else { vec![parsed(PolicyKind::Managed, &self.identity)] };
        case.boundary = self.boundary.as_ref().map(|statements| parsed(PolicyKind::Managed, statements));
        case.session = self.session.as_ref().map(|statements| vec![parsed(PolicyKind::Session, statements)]);
        case.bucket = self.bucket.as_ref().map(|statements| parsed(PolicyKind::Bucket, statements));
        case.decide()
    }

    fn is_allowed(&self) -> bool {
        self.decide().is_allowed()
    }

    /// The policies that are there, and whether their statements name principals.
    fn lists(&mut self) -> Vec<(&mut Vec<String>, bool)> {
        let own = [Some(&mut self.identity), self.boundary.as_mut(), self.session.as_mut()];
        let own = own.into_iter().flatten().map(|list| (list, false));
        own.chain(self.bucket.as_mut().map(|list| (list, true))).collect()
    }
}

fn for_random_policies(check: impl Fn(&mut fastrand::Rng, &RandomPolicies)) {
    let mut random = fastrand::Rng::with_seed(17);
    let mut allowed = 0;
    for _ in 0..RUNS {
        let policies = RandomPolicies::new(&mut random);
        allowed += usize::from(policies.is_allowed());
        check(&mut random, &policies);
    }
    assert!((RUNS / 10..RUNS * 9 / 10).contains(&allowed), "{allowed} of {RUNS} requests are allowed: the policies try little");
}

#[test]
fn an_explicit_deny_wins() {
    for_random_policies(|random, policies| {
        let mut denied = policies.clone();
        let mut lists = denied.lists();
        let at = random.usize(..lists.len());
        let (list, has_principal) = &mut lists[at];
        let deny = if *has_principal { bucket_statement("Deny", r#""*""#, "*") } else { statement("Deny", "*", "*") };
        list.insert(random.usize(..=list.len()), deny);
        assert!(matches!(denied.decide(), AccessDecision::Denied(DenialReason::Explicit(_))), "{denied:?}");
    });
}

#[test]
fn removing_an_allow_adds_no_right() {
    for_random_policies(|random, policies| {
        let mut less = policies.clone();
        let mut lists = less.lists();
        let at = random.usize(..lists.len());
        let (list, has_principal) = &mut lists[at];
        let Some(found) = list.iter().position(|statement| statement.contains(r#""Effect":"Allow""#)) else { return };
        // A document has a statement at least: one that never applies takes the place.
        list[found] = if *has_principal { bucket_statement("Deny", r#""*""#, "s3:Never") } else { statement("Deny", "s3:Never", "*") };
        assert!(policies.is_allowed() || !less.is_allowed(), "{policies:?} {less:?}");
    });
}

#[test]
fn a_boundary_or_session_policy_adds_no_right() {
    for_random_policies(|random, policies| {
        let mut limited = policies.clone();
        let more = statements(random, false);
        if random.bool() {
            limited.boundary.get_or_insert(more);
        } else {
            limited.session.get_or_insert(more);
        }
        assert!(policies.is_allowed() || !limited.is_allowed(), "{policies:?} {limited:?}");
    });
}

#[test]
fn the_order_of_statements_changes_nothing() {
    for_random_policies(|random, policies| {
        let mut shuffled = policies.clone();
        for (list, _) in shuffled.lists() {
            random.shuffle(list);
        }
        let kind = |decision: &AccessDecision| match decision {
            AccessDecision::Allowed(_) => None,
            AccessDecision::Denied(DenialReason::Explicit(source)) => Some((true, source.policy_type)),
            AccessDecision::Denied(DenialReason::NoAllow(policy_type)) => Some((false, *policy_type)),
            AccessDecision::Denied(DenialReason::TooMuchWork) => panic!("too much work: {policies:?}"),
        };
        assert_eq!(kind(&policies.decide()), kind(&shuffled.decide()), "{policies:?}");
    });
}

#[test]
fn across_accounts_neither_side_allows_alone() {
    for_random_policies(|_, policies| {
        if policies.owner == OWN || policies.caller == Caller::Anonymous || !policies.is_allowed() {
            return;
        }
        let mut without_resource = policies.clone();
        without_resource.bucket = None;
        assert!(!without_resource.is_allowed(), "{policies:?}");
        let mut without_own = policies.clone();
        without_own.identity.clear();
        assert!(policies.caller == root() || !without_own.is_allowed(), "{policies:?}");
    });
}

#[test]
fn not_action_is_the_complement_of_action() {
    let mut random = fastrand::Rng::with_seed(18);
    for _ in 0..RUNS {
        let letters = |random: &mut fastrand::Rng| -> String {
            (0..random.usize(1..6)).map(|_| pick(random, &["G", "g", "e", "t", "*", "?"])).collect()
        };
        let pattern = format!("s3:{}", letters(&mut random));
        let action = format!("s3:{}", letters(&mut random).replace(['*', '?'], "x"));
        let allows = |element: &str| {
            let statement = format!(r#"{{"Effect":"Allow","{element}":["iam:x","{pattern}"],"Resource":"*"}}"#);
            AccessCase::new(user(), &action, OBJECT).identity(statement).is_allowed()
        };
        assert_ne!(allows("Action"), allows("NotAction"), "{pattern} {action}");
    }
}

#[test]
fn random_texts_never_panic_the_parser() {
    let mut random = fastrand::Rng::with_seed(19);
    let start = document(&[bucket_statement("Allow", r#"{"AWS":"arn:aws:iam::111111111111:user/a/b"}"#, "s3:Get*"), allow_all()]);
    for _ in 0..RUNS {
        let mut bytes = start.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.usize(..3) {
                0 => bytes[at] = pick(&mut random, b"\"{}[]:,*$\\0AeE -"),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, pick(&mut random, b"\"{}[]:,*$\\0AeE -")),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        for kind in [PolicyKind::Managed, PolicyKind::Trust, PolicyKind::Bucket] {
            if let Err(error) = PolicyDocument::parse(kind, &text) {
                assert!(!error.message.is_empty());
            }
        }
    }
}
