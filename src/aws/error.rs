//! What went wrong, in the codes, words and status codes of AWS. The only file of this part with status codes.
//!
//! Sources: the page "Common Errors" of each service's API reference; the errors of botocore's models; IAM User Guide, "Troubleshoot Signature
//! Version 4 signing for AWS API requests"; Amazon S3 API Reference, "Error responses".

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::answer::{self, AwsRequestId};
use super::query::xml::{self, XmlElement};
use super::service::{AwsService, AwsWire};

mod signature;
mod status;

pub use signature::CredentialFault;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The namespace of errors of requests for no known service.
const FAULT_NAMESPACE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

/// An error as its wire says it: a code that programs read, a status, and a text that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    wire: AwsWire,
    code: &'static str,
    status: StatusCode,
    message: String,
}

#[derive(Serialize)]
struct JsonErrorBody<'a> {
    #[serde(rename = "__type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    message: &'a str,
}

impl AwsError {
    /// An error of an operation, by its code as the service's model names it. The status is that of the model; 400 if it names none.
    pub fn new(wire: AwsWire, code: &'static str, message: impl Into<String>) -> AwsError {
        AwsError { wire, code, status: status::of(wire, code), message: message.into() }
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// No policy allows it; the message says who may not do what.
    pub fn access_denied(wire: AwsWire, message: impl Into<String>) -> AwsError {
        let code = match wire {
            AwsWire::Query | AwsWire::S3 => "AccessDenied",
            AwsWire::Json | AwsWire::RestJson => "AccessDeniedException",
        };
        AwsError::new(wire, code, message)
    }

    /// The service has no operation of this name, or none that this server knows.
    ///
    /// `version` is the one of a form; the other wires have none.
    pub fn unknown_operation(wire: AwsWire, operation: &str, version: Option<&str>) -> AwsError {
        let operation = excerpt(operation);
        match wire {
            AwsWire::Query => {
                let version = version.map_or("NO_VERSION_SPECIFIED".into(), excerpt);
                AwsError::new(wire, "InvalidAction", format!("Could not find operation {operation} for version {version}"))
            }
            AwsWire::Json | AwsWire::RestJson => {
                AwsError::new(wire, "UnknownOperationException", format!("The operation {operation} is not known here"))
            }
            AwsWire::S3 => {
                AwsError::new(wire, "NotImplemented", "A header or query you provided implies functionality that is not implemented.")
            }
        }
    }

    /// The request cannot be read; `what` says why, and quotes no value of it.
    pub fn malformed(wire: AwsWire, what: impl Into<String>) -> AwsError {
        let code = match wire {
            AwsWire::Query => "MalformedQueryString",
            AwsWire::Json | AwsWire::RestJson => "SerializationException",
            AwsWire::S3 => "InvalidRequest",
        };
        AwsError::new(wire, code, what)
    }

    /// The request is larger than a call of this service may be.
    pub fn too_large(wire: AwsWire, most_bytes: usize) -> AwsError {
        let code = match wire {
            AwsWire::Query | AwsWire::Json | AwsWire::RestJson => "RequestEntityTooLargeException",
            AwsWire::S3 => "MaxMessageLengthExceeded",
        };
        AwsError::new(wire, code, format!("The request is larger than {most_bytes} bytes"))
    }

    /// The store cannot be used now, or too much is asked of it.
    pub fn unavailable(wire: AwsWire) -> AwsError {
        let code = match wire {
            AwsWire::Query | AwsWire::S3 => "ServiceUnavailable",
            AwsWire::Json | AwsWire::RestJson => "ServiceUnavailableException",
        };
        AwsError::new(wire, code, "The server cannot do this now; try again")
    }

    /// The server failed. It does not say how: that stands in its log, under the request's id.
    pub fn internal(wire: AwsWire) -> AwsError {
        let code = match wire {
            AwsWire::Query => "InternalFailure",
            AwsWire::Json | AwsWire::RestJson => "InternalErrorException",
            AwsWire::S3 => "InternalError",
        };
        AwsError::new(wire, code, "The server failed to process the request")
    }

    /// The answer to the sender. `service` gives the XML namespace, if the service is known.
    pub fn response(&self, service: Option<AwsService>, id: AwsRequestId) -> Response<Bytes> {
        let (body, kind) = match self.wire {
            AwsWire::Json => (self.json(Some(self.code)), answer::JSON_TYPE),
            AwsWire::RestJson => (self.json(None), answer::JSON_TYPE),
            AwsWire::Query => (self.query_xml(service, id), answer::XML_TYPE),
            AwsWire::S3 => (self.s3_xml(id), HeaderValue::from_static("application/xml")),
        };
        let mut response = answer::with_body(body, kind, self.wire, id);
        *response.status_mut() = self.status;
        match self.wire {
            // The SDKs read it before the body, in both forms of JSON.
            AwsWire::Json | AwsWire::RestJson => drop(response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(self.code))),
            AwsWire::Query | AwsWire::S3 => {}
        }
        response
    }

    fn json(&self, kind: Option<&'static str>) -> Vec<u8> {
        // Two texts always have a JSON.
        serde_json::to_vec(&JsonErrorBody { kind, message: &self.message }).unwrap_or_default()
    }

    fn query_xml(&self, service: Option<AwsService>, id: AwsRequestId) -> Vec<u8> {
        let namespace = service.and_then(AwsService::namespace).unwrap_or(FAULT_NAMESPACE);
        let side = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let error =
            vec![XmlElement::text("Type", side), XmlElement::text("Code", self.code), XmlElement::text("Message", self.message.as_str())];
        let children = vec![XmlElement::parent("Error", error), XmlElement::text("RequestId", id.to_string())];
        xml::document(&XmlElement::parent("ErrorResponse", children), Some(namespace))
    }

    fn s3_xml(&self, id: AwsRequestId) -> Vec<u8> {
        let children = vec![
            XmlElement::text("Code", self.code),
            XmlElement::text("Message", self.message.as_str()),
            XmlElement::text("RequestId", id.to_string()),
        ];
        xml::document(&XmlElement::parent("Error", children), None)
    }
}

/// What a sender named, cut so that no answer grows with it, and without what is not printed.
fn excerpt(name: &str) -> String {
    const MAX_CHARS: usize = 128;
    name.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests;
