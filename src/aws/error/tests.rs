//! Errors as clients read them.

use uuid::Uuid;

use super::*;
use crate::aws::sigv4::SignatureFault;

fn id() -> AwsRequestId {
    AwsRequestId::new(Uuid::nil())
}

fn body(error: &AwsError, service: Option<AwsService>) -> (u16, String, http::HeaderMap) {
    let response = error.response(service, id());
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), parts.headers)
}

#[test]
fn each_wire_has_its_own_form() {
    let error = AwsError::new(AwsWire::Query, "NoSuchEntity", "no <role> & \"nobody\"");
    let (status, text, headers) = body(&error, Some(AwsService::Iam));
    assert_eq!(status, 404);
    assert_eq!(
        text,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
         <Code>NoSuchEntity</Code><Message>no &lt;role&gt; &amp; &quot;nobody&quot;</Message></Error>\
         <RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    );
    assert_eq!(
        (&headers["content-type"], &headers["x-amzn-requestid"]),
        (&"text/xml".parse().unwrap(), &"00000000-0000-0000-0000-000000000000".parse().unwrap())
    );

    let (status, text, headers) = body(&AwsError::new(AwsWire::Json, "NotAuthorizedException", "a \"b\"\u{1}"), None);
    assert_eq!((status, text.as_str()), (400, r#"{"__type":"NotAuthorizedException","message":"a \"b\"\u0001"}"#));
    assert_eq!(
        (&headers["content-type"], &headers["x-amzn-errortype"]),
        (&"application/x-amz-json-1.1".parse().unwrap(), &"NotAuthorizedException".parse().unwrap())
    );

    let (status, text, headers) =
        body(&AwsError::new(AwsWire::RestJson, "ResourceConflictException", "Current SyncCount for: k is: 2 not: 1"), None);
    assert_eq!((status, text.as_str()), (409, r#"{"message":"Current SyncCount for: k is: 2 not: 1"}"#));
    assert_eq!(headers["x-amzn-errortype"], "ResourceConflictException");

    let (status, text, headers) = body(&AwsError::of_signature(AwsWire::S3, &SignatureFault::Version2), Some(AwsService::S3));
    assert_eq!(status, 400);
    assert!(
        text.contains("<Error><Code>InvalidRequest</Code><Message>Signature Version 2 is not supported; sign with AWS4-HMAC-SHA256"),
        "{text}"
    );
    assert!(headers.contains_key("x-amz-request-id"));

    let (status, text, _) = body(&AwsError::internal(AwsWire::Query), None);
    assert_eq!(status, 500);
    assert!(text.contains("AWSFault/2005-15-09") && text.contains("<Type>Receiver</Type>"), "{text}");
}

#[test]
fn statuses_are_those_of_the_models() {
    // From the `httpStatusCode` of the errors in botocore's models.
    let rest: &[(&str, u16)] = &[
        ("NotAuthorizedException", 403),
        ("InvalidParameterException", 400),
        ("ResourceNotFoundException", 404),
        ("InternalErrorException", 500),
        ("TooManyRequestsException", 429),
        ("DuplicateRequestException", 400),
        ("AlreadyStreamedException", 400),
        ("ResourceConflictException", 409),
        ("InvalidConfigurationException", 400),
        ("ConcurrentModificationException", 400),
        ("LimitExceededException", 400),
        ("InvalidLambdaFunctionOutputException", 400),
        ("LambdaThrottledException", 429),
    ];
    let query: &[(&str, u16)] = &[
        ("MalformedPolicyDocument", 400),
        ("PackedPolicyTooLarge", 400),
        ("RegionDisabledException", 403),
        ("ExpiredTokenException", 400),
        ("IDPRejectedClaim", 403),
        ("IDPCommunicationError", 400),
        ("InvalidIdentityToken", 400),
        ("InvalidAuthorizationMessageException", 400),
        ("SessionDurationEscalationException", 403),
        ("OutboundWebIdentityFederationDisabledException", 403),
        ("JWTPayloadSizeExceededException", 400),
        ("NoSuchEntity", 404),
        ("EntityAlreadyExists", 409),
        ("DeleteConflict", 409),
        ("LimitExceeded", 409),
        ("ConcurrentModification", 409),
        ("InvalidInput", 400),
        ("UnmodifiableEntity", 400),
        ("PolicyNotAttachable", 400),
        ("OpenIdIdpCommunicationError", 400),
        ("ServiceFailure", 500),
        ("InvalidParameter", 400),
        ("AuthorizationError", 403),
        ("NotFound", 404),
        ("InternalError", 500),
    ];
    let json: &[(&str, u16)] = &[("NotAuthorizedException", 400), ("ResourceNotFoundException", 400), ("InternalErrorException", 500)];
    for (wire, table) in [(AwsWire::RestJson, rest), (AwsWire::Query, query), (AwsWire::Json, json)] {
        for (code, status) in table {
            assert_eq!(AwsError::new(wire, code, "").status().as_u16(), *status, "{code}");
        }
    }
}

#[test]
fn unknown_operations_have_the_code_of_their_wire() {
    let seen = |wire| {
        let error = AwsError::unknown_operation(wire, "Frob<>", Some("2011-06-15"));
        (error.code(), error.status().as_u16())
    };
    assert_eq!(seen(AwsWire::Query), ("InvalidAction", 400));
    assert_eq!(seen(AwsWire::Json), ("UnknownOperationException", 400));
    assert_eq!(seen(AwsWire::RestJson), ("UnknownOperationException", 404));
    assert_eq!(seen(AwsWire::S3), ("NotImplemented", 501));
    let error = AwsError::unknown_operation(AwsWire::Query, &"x".repeat(1 << 20), None);
    assert!(error.message().len() < 300, "a name is cut: {}", error.message().len());
    assert!(error.message().ends_with("for version NO_VERSION_SPECIFIED"));
}

#[test]
fn credentials_that_are_not_good_have_the_codes_of_their_wire() {
    let seen = |wire, fault| {
        let error = AwsError::of_credential(wire, fault);
        (error.code(), error.status().as_u16())
    };
    assert_eq!(seen(AwsWire::Query, CredentialFault::UnknownAccessKey), ("InvalidClientTokenId", 403));
    assert_eq!(seen(AwsWire::Json, CredentialFault::UnknownAccessKey), ("UnrecognizedClientException", 400));
    assert_eq!(seen(AwsWire::RestJson, CredentialFault::InvalidToken), ("UnrecognizedClientException", 403));
    assert_eq!(seen(AwsWire::S3, CredentialFault::UnknownAccessKey), ("InvalidAccessKeyId", 403));
    assert_eq!(seen(AwsWire::Query, CredentialFault::ExpiredToken), ("ExpiredToken", 403));
    assert_eq!(seen(AwsWire::Json, CredentialFault::ExpiredToken), ("ExpiredTokenException", 400));
    assert_eq!(seen(AwsWire::S3, CredentialFault::ExpiredToken), ("ExpiredToken", 400));
}

#[test]
fn signatures_that_are_not_good_have_the_codes_and_words_of_their_wire() {
    let seen = |wire, fault: &SignatureFault| {
        let error = AwsError::of_signature(wire, fault);
        (error.code(), error.status().as_u16(), error.message().to_owned())
    };
    let past = SignatureFault::Expired { signed_at_s: 1_440_938_160, now_s: 1_440_939_061 };
    let (code, status, text) = seen(AwsWire::Query, &past);
    assert_eq!((code, status), ("SignatureDoesNotMatch", 403));
    assert_eq!(text, "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)");
    assert_eq!(seen(AwsWire::Json, &past).0, "InvalidSignatureException");
    assert_eq!(seen(AwsWire::S3, &past).0, "RequestTimeTooSkewed");
    let future = SignatureFault::NotYetCurrent { signed_at_s: 1_440_939_061, now_s: 1_440_938_160 };
    assert_eq!(
        seen(AwsWire::RestJson, &future).2,
        "Signature not yet current: 20150830T125101Z is still later than 20150830T125100Z (20150830T123600Z + 15 min.)"
    );
    assert_eq!(seen(AwsWire::Query, &SignatureFault::Missing).0, "MissingAuthenticationToken");
    assert_eq!(seen(AwsWire::Json, &SignatureFault::Missing).0, "MissingAuthenticationTokenException");
    assert_eq!(seen(AwsWire::RestJson, &SignatureFault::Missing).1, 403);
    assert_eq!(seen(AwsWire::Query, &SignatureFault::Incomplete("x")).0, "IncompleteSignature");
    assert_eq!(seen(AwsWire::S3, &SignatureFault::Several).0, "InvalidArgument");
    assert_eq!(seen(AwsWire::S3, &SignatureFault::UnsignedHeader("x-amz-copy-source".to_owned())).0, "AccessDenied");
    assert_eq!(
        seen(AwsWire::Query, &SignatureFault::WrongService { expected: Some("sts") }).2,
        "Credential should be scoped to correct service: 'sts'."
    );
}
