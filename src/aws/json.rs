//! AWS JSON 1.1 (the Smithy specification, "AWS JSON 1.1 protocol"): one path, the operation in `X-Amz-Target`, a JSON object as the body.

use bytes::Bytes;
use http::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{self, AwsRequestId};
use super::error::AwsError;
use super::service::{AwsService, AwsWire};

/// The longest name of an operation of the models has 45 characters.
const MAX_OPERATION_BYTES: usize = 128;

/// Reads `AWSCognitoIdentityService.GetId`; `None` if it is no target of a service of this server.
pub fn parse_target(target: &str) -> Option<(AwsService, &str)> {
    let (prefix, operation) = target.rsplit_once('.')?;
    let service = AwsService::of_target_prefix(prefix)?;
    is_operation_name(operation).then_some((service, operation))
}

/// Whether a text can be an operation's name: 1 to 128 letters and digits.
pub fn is_operation_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_OPERATION_BYTES && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Reads the body of a call, in either form of JSON. No body is an empty object; members that the shape does not have are skipped; one of a
/// structure that is there twice, and nesting over 128 levels, are refused. Of a key of a map that is there twice, the last counts.
///
/// The error says at which member it failed, and never quotes a value: a body has passwords and tokens in it.
pub fn read_body<T: DeserializeOwned>(service: AwsService, body: &[u8]) -> Result<T, AwsError> {
    let wire = service.wire();
    if let Some(most_bytes) = service.max_body_bytes().filter(|most_bytes| body.len() > *most_bytes) {
        return Err(AwsError::too_large(wire, most_bytes));
    }
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    // A body that begins with another character is no object; serde would read an array as a list of members.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(AwsError::malformed(wire, "The body must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| unread(wire, &error))?;
    deserializer.end().map_err(|_| AwsError::malformed(wire, "The body has something after its JSON object"))?;
    Ok(value)
}

/// A successful answer with a JSON body, in either form of JSON. Fails only if a value has no JSON, which is a mistake of the server.
pub fn answer<T: Serialize>(wire: AwsWire, value: &T, id: AwsRequestId) -> Result<Response<Bytes>, AwsError> {
    let body = serde_json::to_vec(value).map_err(|_| AwsError::internal(wire))?;
    Ok(answer::with_body(body, answer::JSON_TYPE, wire, id))
}

/// A successful answer of an operation whose output has no members and no body.
pub fn empty_answer(wire: AwsWire, id: AwsRequestId) -> Response<Bytes> {
    answer::with_body(Vec::new(), answer::JSON_TYPE, wire, id)
}

fn unread(wire: AwsWire, error: &serde_path_to_error::Error<serde_json::Error>) -> AwsError {
    let (path, inner) = (error.path().to_string(), error.inner());
    let path: String = path.chars().filter(|c| !c.is_control()).take(MAX_OPERATION_BYTES).collect();
    let place = format!("line {} column {}", inner.line(), inner.column());
    match inner.classify() {
        serde_json::error::Category::Data => {
            AwsError::malformed(wire, format!("The member {path} is missing or has another type ({place})"))
        }
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            AwsError::malformed(wire, format!("The body is not valid JSON ({place})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "PascalCase")]
    struct ReadInput {
        identity_pool_id: Option<String>,
        #[serde(default)]
        logins: BTreeMap<String, String>,
    }

    fn read(body: &str) -> Result<ReadInput, AwsError> {
        read_body(AwsService::CognitoIdentity, body.as_bytes())
    }

    #[test]
    fn targets_name_a_service_and_an_operation() {
        assert_eq!(parse_target("AWSCognitoIdentityService.GetId"), Some((AwsService::CognitoIdentity, "GetId")));
        assert_eq!(parse_target("AWSCognitoIdentityProviderService.SignUp"), Some((AwsService::CognitoIdp, "SignUp")));
        for other in [
            "",
            ".",
            "GetId",
            "AWSCognitoIdentityService.",
            ".GetId",
            "AWSCognitoIdentityService.Get Id",
            "awscognitoidentityservice.GetId",
            "AWSCognitoIdentityService.a.GetId",
            "com.amazonaws.cognito.sync.model.AWSCognitoSyncService.ListRecords",
            &format!("AWSCognitoIdentityService.{}", "a".repeat(129)),
        ] {
            assert_eq!(parse_target(other), None, "{other}");
        }
    }

    #[test]
    fn bodies_are_objects() {
        assert_eq!(read("").unwrap(), ReadInput { identity_pool_id: None, logins: BTreeMap::new() });
        assert_eq!(read(" {\"IdentityPoolId\":\"a\",\"Unknown\":[{}]} ").unwrap().identity_pool_id.as_deref(), Some("a"));
        let deep = format!("{{\"Unknown\":{}{}}}", "[".repeat(1_000_000 / 2), "]".repeat(100));
        for wrong in [
            "[]",
            "[\"a\",{}]",
            "null",
            "1",
            "{",
            "{}{}",
            "{} x",
            "{\"IdentityPoolId\":1}",
            "{\"IdentityPoolId\":\"a\",\"IdentityPoolId\":\"b\"}",
            "{\"Logins\":{\"a\":1}}",
            "\u{feff}{}",
            &deep,
        ] {
            let error = read(wrong).unwrap_err();
            assert_eq!((error.code(), error.status().as_u16()), ("SerializationException", 400), "{:.40}", wrong);
        }
        assert_eq!(
            read_body::<ReadInput>(AwsService::CognitoIdentity, b"{\"IdentityPoolId\":\"\xff\"}").unwrap_err().code(),
            "SerializationException"
        );
    }

    #[test]
    fn an_error_names_the_member_and_never_quotes_a_value() {
        let error = read("{\"Logins\":{\"accounts.google.com\":[\"hunter2\"]}}").unwrap_err();
        assert!(error.message().contains("Logins.accounts.google.com"), "{}", error.message());
        let error = read("{\"Logins\":\"hunter2\"}").unwrap_err();
        assert!(!error.message().contains("hunter2"), "{}", error.message());
    }

    #[test]
    fn answers_are_json_with_a_request_id() {
        let id = AwsRequestId::new(uuid::Uuid::nil());
        let response = answer(AwsWire::RestJson, &BTreeMap::from([("Count", 1)]), id).unwrap();
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"{\"Count\":1}"[..]));
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(response.headers()["x-amzn-requestid"], "00000000-0000-0000-0000-000000000000");
        assert!(empty_answer(AwsWire::RestJson, id).body().is_empty());
    }

    #[test]
    fn a_body_over_the_bound_is_not_read() {
        let large = format!("{{\"IdentityPoolId\":\"{}\"}}", "a".repeat(1 << 20));
        let error = read(&large).unwrap_err();
        assert_eq!((error.code(), error.status().as_u16()), ("RequestEntityTooLargeException", 413));
    }
}
