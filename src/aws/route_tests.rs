//! Which request goes where.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::AwsRequestHead;
use super::route::{AwsRoute, route};
use super::service::AwsService;
use super::sigv4::SignaturePlace;

type HeaderPairs<'a> = &'a [(&'a str, &'a str)];

const SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
const GET_ID: (&str, &str) = ("x-amz-target", "AWSCognitoIdentityService.GetId");
const SIGN_UP: (&str, &str) = ("x-amz-target", "AWSCognitoIdentityProviderService.SignUp");

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

/// Where a request goes, in a word; for a refusal, its code.
fn goes(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = header_map(headers);
    let place = |signature: Option<SignaturePlace>| match signature {
        None => "",
        Some(SignaturePlace::Header) => " signed",
        Some(SignaturePlace::Query) => " presigned",
    };
    match route(&AwsRequestHead { method, path, query, headers: &headers }, &["demo"]) {
        AwsRoute::ServicePreflight => "service preflight".to_owned(),
        AwsRoute::BucketPreflight => "bucket preflight".to_owned(),
        AwsRoute::Json { service, operation, signature } => format!("{} {operation}{}", service.name(), place(signature)),
        AwsRoute::Rest { signature } => format!("cognito-sync{}", place(signature)),
        AwsRoute::Form { signed_for, signature } => format!("form {}{}", signed_for.map_or("any", AwsService::name), place(signature)),
        AwsRoute::S3 { signature } => format!("s3{}", place(signature)),
        AwsRoute::Own => "own".to_owned(),
        AwsRoute::NotFound => "none".to_owned(),
        AwsRoute::Refused(error) => error.code().to_owned(),
    }
}

fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/local/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
    )
}

fn presigned(service: &str) -> String {
    format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Flocal%2F{service}%2Faws4_request&X-Amz-Signature={SIGNATURE}"
    )
}

#[test]
fn signed_requests_go_to_the_service_of_their_scope() {
    let signed = |method: &str, target: &str, service: &str, more: &[(&str, &str)]| {
        let value = authorization(service);
        goes(method, target, &[&[("authorization", value.as_str())], more].concat())
    };
    assert_eq!(signed("GET", "/identitypools/a%3Ab", "cognito-sync", &[]), "cognito-sync signed");
    assert_eq!(signed("POST", "/", "cognito-identity", &[GET_ID, JSON]), "cognito-identity GetId signed");
    assert_eq!(signed("POST", "/", "cognito-idp", &[SIGN_UP, JSON]), "cognito-idp SignUp signed");
    for service in ["sts", "iam", "sns"] {
        assert_eq!(signed("POST", "/", service, &[FORM]), format!("form {service} signed"));
    }
    // A bucket may have the name of an own path, or of a service's.
    for path in ["/", "/v1/sync", "/identitypools", "/admin/api", "/demo/x", "/us-east-1_AbCdEfGhI/x"] {
        assert_eq!(signed("GET", path, "s3", &[]), "s3 signed", "{path}");
        assert_eq!(goes("PUT", &format!("{path}?{}", presigned("s3")), &[]), "s3 presigned", "{path}");
    }
    assert_eq!(goes("GET", &format!("/?Action=GetCallerIdentity&Version=2011-06-15&{}", presigned("sts")), &[]), "form sts presigned");
}

#[test]
fn a_signature_of_another_service_is_refused() {
    let value = |service: &str| authorization(service);
    let cases: &[(&str, &str, &str, HeaderPairs, &str)] = &[
        ("GET", "/identitypools", "sts", &[], "InvalidSignatureException"),
        ("GET", "/identitypools", "cognito-identity", &[], "InvalidSignatureException"),
        ("GET", "/identitypools", "dynamodb", &[], "InvalidSignatureException"),
        ("POST", "/", "cognito-idp", &[GET_ID], "InvalidSignatureException"),
        ("POST", "/", "sts", &[GET_ID], "InvalidSignatureException"),
        ("POST", "/", "s3", &[GET_ID], "InvalidSignatureException"),
        ("POST", "/", "cognito-sync", &[GET_ID], "InvalidSignatureException"),
        ("POST", "/", "cognito-identity", &[FORM], "SignatureDoesNotMatch"),
        ("POST", "/", "cognito-sync", &[FORM], "SignatureDoesNotMatch"),
        ("POST", "/v1/datasets", "sts", &[], "SignatureDoesNotMatch"),
        ("POST", "/", "EventBridge", &[FORM], "SignatureDoesNotMatch"),
        // The service is right, but it has no such call.
        ("GET", "/v1/datasets", "cognito-sync", &[], "UnknownOperationException"),
        ("POST", "/", "cognito-identity", &[("x-amz-target", "AWSCognitoIdentityService.")], "UnknownOperationException"),
        ("POST", "/v1", "cognito-identity", &[GET_ID], "UnknownOperationException"),
        ("GET", "/", "cognito-identity", &[GET_ID], "UnknownOperationException"),
        ("POST", "/", "cognito-identity", &[JSON], "UnknownOperationException"),
        ("POST", "/", "sts", &[], "MissingAction"),
    ];
    for (method, target, service, more, expected) in cases {
        let value = value(service);
        let headers = [&[("authorization", value.as_str())], *more].concat();
        assert_eq!(goes(method, target, &headers), *expected, "{method} {target} {service} {more:?}");
    }
}

#[test]
fn more_than_one_signature_or_an_old_one_is_refused() {
    let (sts, s3) = (authorization("sts"), authorization("s3"));
    assert_eq!(goes("POST", "/", &[("authorization", &sts), ("authorization", &sts), FORM]), "IncompleteSignature");
    assert_eq!(goes("POST", "/", &[("authorization", &sts), ("authorization", "Bearer a"), FORM]), "IncompleteSignature");
    assert_eq!(goes("GET", &format!("/bucket/key?{}", presigned("s3")), &[("authorization", &s3)]), "InvalidArgument");
    // The name of a parameter may be encoded.
    assert_eq!(goes("GET", "/bucket/key?X%2DAmz%2dSignature=0", &[("authorization", &s3)]), "InvalidArgument");
    assert_eq!(goes("GET", "/bucket/key", &[("authorization", "AWS AKIDEXAMPLE:abc=")]), "InvalidRequest");
    assert_eq!(goes("GET", "/bucket/key?AWSAccessKeyId=A&Expires=1&Signature=b", &[]), "InvalidRequest");
    assert_eq!(goes("GET", "/?Action=GetUser&AWSAccessKeyId=A&Signature=b&SignatureVersion=2", &[]), "IncompleteSignature");
    assert_eq!(goes("POST", "/", &[("authorization", "AWS4-ECDSA-P256-SHA256 Credential=a"), GET_ID]), "IncompleteSignatureException");
    assert_eq!(goes("GET", "/bucket/key?X-Amz-Signature=0", &[]), "AuthorizationHeaderMalformed");
    assert_eq!(goes("POST", "/", &[GET_ID, GET_ID]), "SerializationException");
}

#[test]
fn unsigned_requests_go_by_target_form_and_path() {
    assert_eq!(goes("POST", "/", &[GET_ID, JSON]), "cognito-identity GetId");
    assert_eq!(goes("POST", "/", &[SIGN_UP, ("authorization", "Bearer eyJ")]), "cognito-idp SignUp");
    assert_eq!(goes("POST", "/", &[("x-amz-target", "DynamoDB_20120810.ListTables")]), "UnknownOperationException");
    assert_eq!(goes("POST", "/v1/datasets", &[GET_ID]), "UnknownOperationException");
    assert_eq!(goes("POST", "/", &[JSON]), "UnknownOperationException");
    assert_eq!(goes("POST", "/", &[FORM]), "form any");
    assert_eq!(goes("GET", "/?Action=AssumeRoleWithWebIdentity", &[]), "form any");
    assert_eq!(goes("GET", "/identitypools", &[]), "cognito-sync");
    for own in ["/", "/v1", "/v1/sync?token=%zz", "/admin/api/pools", "/health/live", "/metrics", "/oauth2/token", "/login", "/logout"] {
        assert_eq!(goes("GET", own, &[]), "own", "{own}");
    }
    for own in ["/saml2/idpresponse", "/.well-known/x", "/us-east-1_AbCdEfGhI/.well-known/jwks.json", "/demo/index.html"] {
        assert_eq!(goes("GET", own, &[("authorization", "Bearer eyJ")]), "own", "{own}");
    }
    for s3 in ["/bucket", "/my.bucket-1/key", "/v11/key", "/identitypools2", "/favicon.ico"] {
        assert_eq!(goes("GET", s3, &[]), "s3", "{s3}");
    }
    for none in ["/ab", "/UPPER", "/a b", "/-abc", "//v1", "/%761/sync", "*", "/_", "/a_", "/_a", &format!("/{}", "a".repeat(64))] {
        assert_eq!(goes("GET", none, &[]), "none", "{none}");
    }
}

#[test]
fn a_body_in_another_charset_is_refused() {
    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-16");
    assert_eq!(goes("POST", "/", &[form]), "MalformedQueryString");
    assert_eq!(goes("POST", "/", &[FORM, JSON]), "MalformedQueryString");
    assert_eq!(goes("POST", "/", &[GET_ID, ("content-type", "application/json; charset=iso-8859-1")]), "SerializationException");
    assert_eq!(goes("POST", "/identitypools/p/events", &[("content-type", "text/plain; charset=utf-16")]), "SerializationException");
    // Objects may be in any charset.
    assert_eq!(goes("PUT", "/bucket/key", &[("content-type", "text/plain; charset=iso-8859-1")]), "s3");
}

#[test]
fn preflights_are_told_apart() {
    let page = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    let asking = |names: &'static str| [&page[..], &[("access-control-request-headers", names)]].concat();
    assert_eq!(goes("OPTIONS", "/", &page), "service preflight");
    assert_eq!(goes("OPTIONS", "/identitypools/p/identities/i/datasets", &page), "service preflight");
    assert_eq!(goes("OPTIONS", "/v1/datasets", &asking("authorization,content-type")), "own");
    assert_eq!(goes("OPTIONS", "/bucket/key", &page), "bucket preflight");
    assert_eq!(goes("OPTIONS", "/health/key", &asking("authorization, X-Amz-Date,x-amz-content-sha256")), "bucket preflight");
    assert_eq!(goes("OPTIONS", &format!("/metrics/key?{}", presigned("s3")), &page), "bucket preflight");
    assert_eq!(goes("OPTIONS", &format!("/identitypools/key?{}", presigned("s3")), &page), "bucket preflight");
    assert_eq!(goes("OPTIONS", "/UPPER", &page), "none");
    // Without an origin it is no preflight.
    assert_eq!(goes("OPTIONS", "/v1/datasets", &[]), "own");
}
