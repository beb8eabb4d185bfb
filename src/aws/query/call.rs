//! A call in the query protocol, and its answer.

use bytes::Bytes;
use http::Response;

use super::form::{FormFault, FormMembers, QueryForm};
use super::xml::{self, XmlElement};
use crate::aws::answer::{self, AwsRequestId};
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::service::{AwsService, AwsWire};

/// A call: the operation, and the fields of its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryCall {
    pub service: AwsService,
    /// The field `Action`: letters and digits, at most 128.
    pub action: String,
    form: QueryForm,
}

impl QueryCall {
    /// Reads the query string and the body as one form. `Action` names the operation, `Version` the service.
    ///
    /// `signed_for` is the service of the signature's scope; a `Version` of another service is an unknown operation of it, as at AWS.
    pub fn read(signed_for: Option<AwsService>, query: &str, body: &[u8]) -> Result<QueryCall, AwsError> {
        let wire = AwsWire::Query;
        let most_bytes = AwsService::Sts.max_body_bytes().unwrap_or_default();
        if query.len() + body.len() > most_bytes {
            return Err(AwsError::too_large(wire, most_bytes));
        }
        let mut form = QueryForm::default();
        for text in [query.as_bytes(), body] {
            form.add(text).map_err(|fault| AwsError::malformed(wire, fault.text()))?;
        }
        let members = form.members();
        if members.text("SignatureVersion").is_some() || (members.text("AWSAccessKeyId").is_some() && members.text("Signature").is_some()) {
            return Err(AwsError::of_signature(wire, &crate::aws::sigv4::SignatureFault::Version2));
        }
        let missing = || AwsError::new(wire, "MissingAction", "The request must contain the parameter Action.");
        let action = members.text("Action").filter(|action| !action.is_empty()).ok_or_else(missing)?.to_owned();
        let version = members.text("Version");
        let service = version.and_then(AwsService::of_form_version);
        let agreed = service.filter(|service| signed_for.is_none_or(|signed| signed == *service) && json::is_operation_name(&action));
        let service = agreed.ok_or_else(|| AwsError::unknown_operation(wire, &action, version))?;
        Ok(QueryCall { service, action, form })
    }

    pub fn members(&self) -> FormMembers<'_> {
        self.form.members()
    }
}

impl From<FormFault> for AwsError {
    fn from(fault: FormFault) -> AwsError {
        let text = fault.text();
        match fault {
            FormFault::Missing(_) => AwsError::new(AwsWire::Query, "MissingParameter", text),
            FormFault::Numbering(_) | FormFault::Repeated(_) | FormFault::Type { .. } => {
                AwsError::new(AwsWire::Query, "ValidationError", text)
            }
            FormFault::Name | FormFault::Unreadable(_) => AwsError::malformed(AwsWire::Query, text),
        }
    }
}

/// A successful answer: `<GetUserResponse><GetUserResult>...`. `result` is `None` for an operation whose output has no members; its answer
/// is then only the request id.
///
/// `response` and `wrapper` are the names of the two elements, as the model gives them.
pub fn answer(
    service: AwsService,
    response: &'static str,
    result: Option<(&'static str, Vec<XmlElement>)>,
    id: AwsRequestId,
) -> Response<Bytes> {
    let result = result.map(|(wrapper, children)| XmlElement::parent(wrapper, children));
    let metadata = XmlElement::parent("ResponseMetadata", vec![XmlElement::text("RequestId", id.to_string())]);
    let root = XmlElement::parent(response, result.into_iter().chain([metadata]).collect());
    let body = xml::document(&root, service.namespace());
    answer::with_body(body, answer::XML_TYPE, AwsWire::Query, id)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn refused(signed_for: Option<AwsService>, query: &str, body: &str) -> (&'static str, String) {
        let error = QueryCall::read(signed_for, query, body.as_bytes()).unwrap_err();
        (error.code(), error.message().to_owned())
    }

    #[test]
    fn action_and_version_name_the_operation() {
        let call = QueryCall::read(None, "", b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a%3Ab").unwrap();
        assert_eq!((call.service, call.action.as_str()), (AwsService::Sts, "AssumeRoleWithWebIdentity"));
        assert_eq!(call.members().text("RoleArn"), Some("a:b"));
        let call = QueryCall::read(Some(AwsService::Iam), "Action=GetUser&Version=2010-05-08&X-Amz-Signature=0", b"").unwrap();
        assert_eq!((call.service, call.action.as_str()), (AwsService::Iam, "GetUser"));
    }

    #[test]
    fn what_names_no_operation_is_refused() {
        let text = "Could not find operation GetUser for version 2010-05-08";
        assert_eq!(refused(Some(AwsService::Sts), "", "Action=GetUser&Version=2010-05-08"), ("InvalidAction", text.to_owned()));
        assert_eq!(refused(None, "", "Action=GetUser").1, "Could not find operation GetUser for version NO_VERSION_SPECIFIED");
        assert_eq!(refused(None, "", "Action=GetUser&Version=1").0, "InvalidAction");
        assert_eq!(refused(None, "", "Action=Get%00User&Version=2010-05-08").0, "InvalidAction");
        assert_eq!(refused(None, "", "Version=2010-05-08").0, "MissingAction");
        assert_eq!(refused(None, "", "").0, "MissingAction");
        // Two actions, one of them where a signature's reader may not look.
        assert_eq!(refused(None, "Action=GetUser", "Action=DeleteUser&Version=2010-05-08").0, "MalformedQueryString");
        assert_eq!(refused(None, "", &"a=b&".repeat(10_000)).0, "MalformedQueryString");
        assert_eq!(refused(None, "", &"a".repeat((1 << 20) + 1)).0, "RequestEntityTooLargeException");
        let (code, text) = refused(None, "", "Action=GetUser&Version=2010-05-08&AWSAccessKeyId=a&Signature=b&SignatureVersion=2");
        assert_eq!(code, "IncompleteSignature");
        assert!(text.contains("Signature Version 2 is not supported"), "{text}");
    }

    #[test]
    fn an_answer_has_its_result_and_the_request_id() {
        let id = AwsRequestId::new(Uuid::nil());
        let result = vec![XmlElement::text("Account", "123456789012")];
        let with = answer(AwsService::Sts, "GetCallerIdentityResponse", Some(("GetCallerIdentityResult", result)), id);
        let text = String::from_utf8(with.body().to_vec()).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>\
             <ResponseMetadata><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        );
        let without = answer(AwsService::Iam, "DeleteUserResponse", None, id);
        assert!(!String::from_utf8(without.body().to_vec()).unwrap().contains("Result>"));
        assert_eq!((without.status().as_u16(), &without.headers()["content-type"]), (200, &"text/xml".parse().unwrap()));
    }
}
