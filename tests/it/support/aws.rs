//! A client of AWS's wire: requests that the signer of AWS's own SDK signs, over real sockets.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

use super::{DeviceHttpResponse, OperatorClient, raw_request};

/// An access key, and the server that it is for.
#[derive(Clone, Debug)]
pub struct AwsClient {
    pub address: SocketAddr,
    pub key: String,
    pub secret: String,
    pub service: &'static str,
    /// How far the client's clock is ahead, in seconds.
    pub ahead_s: i64,
    /// The session token of temporary credentials.
    pub token: Option<String>,
}

impl AwsClient {
    /// A client of sts with a new account's root key.
    pub async fn of_new_account(address: SocketAddr, operator: &OperatorClient, id: &str) -> AwsClient {
        let made = operator.post("/access/accounts", &format!(r#"{{"name":"test","id":"{id}"}}"#)).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let made = made.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        AwsClient { address, key: text("access_key_id"), secret: text("secret_access_key"), service: "sts", ahead_s: 0, token: None }
    }

    /// A client with other credentials: a key, its secret, and a session token or nothing.
    pub fn with(&self, key: &str, secret: &str, token: Option<&str>) -> AwsClient {
        AwsClient { key: key.to_owned(), secret: secret.to_owned(), token: token.map(str::to_owned), ..self.clone() }
    }

    /// The same client for another service.
    pub fn of(&self, service: &'static str) -> AwsClient {
        AwsClient { service, ..self.clone() }
    }

    /// A form, signed as a client signs it.
    pub fn signed(&self, form: &str) -> String {
        self.signed_request("POST", "/", &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")], form)
    }

    /// A request of a method, a path and further headers, signed as a client signs it.
    pub fn signed_request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let time = SystemTime::now() + Duration::from_secs(1_000_000) - Duration::from_secs((1_000_000 - self.ahead_s).unsigned_abs());
        let identity = Credentials::new(&self.key, &self.secret, self.token.clone(), None, "test").into();
        let params = v4::SigningParams::builder().identity(&identity).region("local").name(self.service).time(time);
        let params = params.settings(SigningSettings::default()).build().unwrap().into();
        let all = [&[("host", "localhost")], headers].concat();
        let signable =
            SignableRequest::new(method, format!("http://localhost{path}"), all.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let (more, _) = instructions.into_parts();
        let own = headers.iter().copied().chain(more.iter().map(|header| (header.name(), header.value())));
        let lines: String = own.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n{body}", body.len())
    }

    pub async fn send(&self, form: &str) -> DeviceHttpResponse {
        raw_request(self.address, self.signed(form).as_bytes()).await
    }

    /// An operation of sts or iam, with its fields; the fields' values are encoded here.
    pub async fn form(&self, action: &str, fields: &[(&str, &str)]) -> DeviceHttpResponse {
        let version = if self.service == "iam" { "2010-05-08" } else { "2011-06-15" };
        let fields: String = fields.iter().map(|(name, value)| format!("&{name}={}", form_encoded(value))).collect();
        self.send(&format!("Action={action}&Version={version}{fields}")).await
    }

    /// An operation in JSON, by its target.
    pub async fn json(&self, target: &str, body: &serde_json::Value) -> DeviceHttpResponse {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        raw_request(self.address, self.signed_request("POST", "/", &headers, &body.to_string()).as_bytes()).await
    }

    /// A call of a service with paths and JSON.
    pub async fn rest(&self, method: &str, path: &str, body: &str) -> DeviceHttpResponse {
        let headers = [("content-type", "application/x-amz-json-1.1")];
        raw_request(self.address, self.signed_request(method, path, &headers, body).as_bytes()).await
    }

    /// The same without a signature, as the public operations are called.
    pub async fn unsigned_json(&self, target: &str, body: &serde_json::Value) -> DeviceHttpResponse {
        let body = body.to_string();
        let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: {target}\r\n");
        let head = format!("{head}content-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        raw_request(self.address, head.as_bytes()).await
    }
}

/// A text as a value of a form.
pub fn form_encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The text of an element of an answer in XML.
pub fn element<'a>(answer: &'a DeviceHttpResponse, name: &str) -> &'a str {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let text = answer.body.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    text.map_or_else(|| panic!("no {name}: {}", answer.body), |(text, _)| text)
}

/// An answer of a service that speaks JSON.
pub async fn json_call(
    client: Option<&AwsClient>,
    address: SocketAddr,
    target: &str,
    body: &serde_json::Value,
) -> (u16, serde_json::Value) {
    let body = body.to_string();
    let content_type = "application/x-amz-json-1.1";
    let mut head =
        format!("POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {content_type}\r\nx-amz-target: {target}\r\n");
    if let Some(client) = client {
        let identity = Credentials::new(&client.key, &client.secret, None, None, "test").into();
        let params = v4::SigningParams::builder().identity(&identity).region("local").name(client.service).time(SystemTime::now());
        let params = params.settings(SigningSettings::default()).build().unwrap().into();
        let headers = [("host", "localhost"), ("content-type", content_type), ("x-amz-target", target)];
        let signable =
            SignableRequest::new("POST", "http://localhost/", headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
        let (more, _) = sign(signable, &params).unwrap().into_parts().0.into_parts();
        more.iter().for_each(|header| head.push_str(&format!("{}: {}\r\n", header.name(), header.value())));
    }
    let answer = raw_request(address, format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body)))
}
