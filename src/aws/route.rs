//! For which service a request is, from its head alone: pure, so that the server may ask before its own routes.
//!
//! In this order: a preflight of a page; a signature, whose scope names the service; `X-Amz-Target`; a form at the root; the server's own paths; and
//! what is left is S3's, or nobody's. A signed request must agree with itself: the service of its scope, its target, its path and its form are one,
//! so that no signature made for one service is taken by another. S3 is asked first among the signed, because a bucket may be called `admin`.

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};

use super::error::AwsError;
use super::head::AwsRequestHead;
use super::json;
use super::media::{BodyKind, BodyType};
use super::service::{AwsService, AwsWire};
use super::sigv4::{self, LocatedSignature, SignatureFault, SignaturePlace};

/// The paths that the server itself serves, by their first segment; [`route`] is told of others, as the demo page's. The endpoints of user pools
/// begin with the pool's id, see [`is_user_pool_id`].
const OWN_PATHS: [&str; 9] = ["v1", "admin", "health", "metrics", "oauth2", "login", "logout", "saml2", ".well-known"];

/// The first segment of all paths of cognito-sync.
const SYNC_PATH: &str = "identitypools";

const TARGET: &str = "x-amz-target";

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsRoute<'a> {
    /// A preflight for any service but S3: [`super::cors::preflight_answer`].
    ServicePreflight,
    /// A preflight for a bucket, whose rules say what it is answered.
    BucketPreflight,
    /// cognito-identity or cognito-idp.
    Json { service: AwsService, operation: &'a str, signature: Option<SignaturePlace> },
    /// cognito-sync: [`super::rest::SyncCall::read`].
    Rest { signature: Option<SignaturePlace> },
    /// sts, iam or sns: [`super::query::QueryCall::read`]. Without a signature the form's `Version` says which.
    Form { signed_for: Option<AwsService>, signature: Option<SignaturePlace> },
    /// S3, signed or anonymous.
    S3 { signature: Option<SignaturePlace> },
    /// The server's own routes.
    Own,
    /// No service and no route.
    NotFound,
    /// The request contradicts itself, or cannot be read.
    Refused(AwsError),
}

/// Routes a request. `pages` are first segments that belong to the server beside those that it always has.
///
/// The work is bounded by the length of the head.
pub fn route<'a>(head: &AwsRequestHead<'a>, pages: &[&str]) -> AwsRoute<'a> {
    if is_preflight(head) {
        return preflight(head, pages);
    }
    let wire = claimed_wire(head);
    let refuse = |fault: &SignatureFault| AwsRoute::Refused(AwsError::of_signature(wire, fault));
    let target = match head.single(TARGET) {
        Ok(target) => target,
        Err(_) => return AwsRoute::Refused(AwsError::malformed(wire, "The header X-Amz-Target is there twice")),
    };
    let routed = match sigv4::locate(head) {
        Err(fault) => return refuse(&fault),
        Ok(Some(LocatedSignature { place, service })) => match AwsService::of_name(&service) {
            Some(service) => signed(head, service, place, target),
            None => refuse(&SignatureFault::WrongService { expected: claimed_service(head).map(AwsService::name) }),
        },
        Ok(None) => unsigned(head, target, pages),
    };
    match (&routed, BodyType::of(head.headers).fault) {
        (AwsRoute::Json { .. } | AwsRoute::Rest { .. } | AwsRoute::Form { .. }, Some(fault)) => {
            AwsRoute::Refused(AwsError::malformed(wire, fault.text()))
        }
        _ => routed,
    }
}

fn signed<'a>(head: &AwsRequestHead<'a>, service: AwsService, place: SignaturePlace, target: Option<&'a [u8]>) -> AwsRoute<'a> {
    let wire = service.wire();
    let wrong = |expected: Option<AwsService>| {
        let fault = SignatureFault::WrongService { expected: expected.map(AwsService::name) };
        AwsRoute::Refused(AwsError::of_signature(claimed_wire(head), &fault))
    };
    let unknown = |operation: &str| AwsRoute::Refused(AwsError::unknown_operation(wire, operation, None));
    let signature = Some(place);
    match (wire, target) {
        (AwsWire::S3, None) => AwsRoute::S3 { signature },
        (AwsWire::RestJson, None) if head.first_segment() == SYNC_PATH => AwsRoute::Rest { signature },
        (AwsWire::RestJson, None) if head.is_root() && is_form(head) => wrong(None),
        (AwsWire::RestJson, None) => unknown(head.path),
        (AwsWire::Json, Some(target)) if head.is_root() => match parse_target(target) {
            Some((named, operation)) if named == service && head.method == "POST" => AwsRoute::Json { service, operation, signature },
            Some((named, _)) if named != service => wrong(Some(named)),
            _ => unknown(&String::from_utf8_lossy(target)),
        },
        (AwsWire::Json, Some(_)) => unknown(head.path),
        (AwsWire::Json, None) if head.is_root() && !is_form(head) => unknown(""),
        (AwsWire::Query, None) if head.is_root() && is_form(head) => AwsRoute::Form { signed_for: Some(service), signature },
        (AwsWire::Query, None) if head.is_root() => AwsRoute::Refused(AwsError::new(wire, "MissingAction", "The request has no form")),
        // The target, the path or the form is that of another service.
        _ => wrong(claimed_service(head)),
    }
}

fn unsigned<'a>(head: &AwsRequestHead<'a>, target: Option<&'a [u8]>, pages: &[&str]) -> AwsRoute<'a> {
    if let Some(target) = target {
        return match parse_target(target) {
            Some((service, operation)) if head.is_root() && head.method == "POST" => AwsRoute::Json { service, operation, signature: None },
            _ => AwsRoute::Refused(AwsError::unknown_operation(AwsWire::Json, &String::from_utf8_lossy(target), None)),
        };
    }
    if head.is_root() {
        return match (is_form(head), head.method, BodyType::of(head.headers).kind) {
            (true, _, _) => AwsRoute::Form { signed_for: None, signature: None },
            (false, "POST", BodyKind::Json) => AwsRoute::Refused(AwsError::unknown_operation(AwsWire::Json, "", None)),
            (false, _, _) => AwsRoute::Own,
        };
    }
    let first = head.first_segment();
    if first == SYNC_PATH {
        AwsRoute::Rest { signature: None }
    } else if is_own(first, pages) {
        AwsRoute::Own
    } else if is_bucket_name(first) {
        AwsRoute::S3 { signature: None }
    } else {
        AwsRoute::NotFound
    }
}

fn is_preflight(head: &AwsRequestHead) -> bool {
    head.method == "OPTIONS" && head.headers.contains_key(ORIGIN) && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// A preflight has no signature of its own. That of a presigned URL stands in its query, and headers that only a signed request has are asked
/// for: so a bucket that is called `admin` is told from the server's own path.
fn preflight<'a>(head: &AwsRequestHead<'a>, pages: &[&str]) -> AwsRoute<'a> {
    let presigned = matches!(sigv4::locate(head), Ok(Some(LocatedSignature { service, .. })) if service == AwsService::S3.name());
    let asked = head.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let names = asked.flat_map(|value| value.split(','));
    let asks_signed =
        names.map(str::trim).any(|name| ["x-amz-date", "x-amz-content-sha256"].iter().any(|one| name.eq_ignore_ascii_case(one)));
    let first = head.first_segment();
    if head.is_root() || (first == SYNC_PATH && !presigned) {
        AwsRoute::ServicePreflight
    } else if is_own(first, pages) && !presigned && !asks_signed {
        AwsRoute::Own
    } else if is_bucket_name(first) {
        AwsRoute::BucketPreflight
    } else {
        AwsRoute::NotFound
    }
}

/// The wire that the sender seems to speak: the form of a refusal that comes before the service is known.
fn claimed_wire(head: &AwsRequestHead) -> AwsWire {
    if head.headers.contains_key(TARGET) || (head.is_root() && BodyType::of(head.headers).kind == BodyKind::Json) {
        AwsWire::Json
    } else if head.first_segment() == SYNC_PATH {
        AwsWire::RestJson
    } else if head.is_root() && is_form(head) {
        AwsWire::Query
    } else {
        AwsWire::S3
    }
}

/// The service that the target or the path names; a form names it only in its body.
fn claimed_service(head: &AwsRequestHead) -> Option<AwsService> {
    match head.single(TARGET) {
        Ok(Some(target)) => parse_target(target).map(|(service, _)| service),
        Ok(None) if head.first_segment() == SYNC_PATH => Some(AwsService::CognitoSync),
        Ok(None) | Err(_) => None,
    }
}

fn parse_target(target: &[u8]) -> Option<(AwsService, &str)> {
    std::str::from_utf8(target).ok().and_then(json::parse_target)
}

/// A form in the body, or in the query, as a presigned call has it.
fn is_form(head: &AwsRequestHead) -> bool {
    let in_query = || head.query.split('&').any(|pair| pair.starts_with("Action="));
    match head.method {
        "POST" => BodyType::of(head.headers).kind == BodyKind::Form || in_query(),
        "GET" => in_query(),
        _ => false,
    }
}

fn is_own(first: &str, pages: &[&str]) -> bool {
    OWN_PATHS.contains(&first) || pages.contains(&first) || is_user_pool_id(first)
}

/// `us-east-1_AbCdEfGhI`. No bucket has an underscore in its name.
fn is_user_pool_id(segment: &str) -> bool {
    let name = |text: &str, extra: u8| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == extra);
    segment.split_once('_').is_some_and(|(region, id)| segment.len() <= 55 && name(region, b'-') && name(id, b'0'))
}

/// The general rules for names (Amazon S3 User Guide, "Bucket naming rules"), as far as they say which bytes may stand in one.
fn is_bucket_name(segment: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (3..=63).contains(&segment.len()) && segment.bytes().all(is_inner) && !segment.starts_with(['-', '.']) && !segment.ends_with(['-', '.'])
}
