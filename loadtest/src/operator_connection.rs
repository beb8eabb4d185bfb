//! Requests of an operator, and of a user over HTTP, to the server under test.

use std::net::SocketAddr;

use crate::http::{HttpConnection, check_status};
use crate::server::{OPERATOR_KEY, ServerUnderTest, TokenSigner};

pub struct OperatorConnection {
    http: HttpConnection,
    authorization: String,
}

impl OperatorConnection {
    /// A client with the operator key of a server that this process started.
    pub fn connect(to: SocketAddr) -> Result<OperatorConnection, String> {
        Ok(OperatorConnection { http: HttpConnection::connect(to)?, authorization: format!("Bearer {OPERATOR_KEY}") })
    }

    /// The body of the response; an error unless it is a success.
    pub fn request(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        let response = self.http.request(method, &format!("/admin/api{path}"), &headers, body.as_bytes())?;
        check_status(response).map_err(|error| format!("{method} {path}: {error}"))
    }
}

/// A user's requests.
pub struct UserConnection {
    http: HttpConnection,
    signer: TokenSigner,
}

impl UserConnection {
    pub fn connect(server: &ServerUnderTest) -> Result<UserConnection, String> {
        Ok(UserConnection { http: HttpConnection::connect(server.address)?, signer: server.signer.clone() })
    }

    /// A request of a person's device. The body of the response; an error unless it is a success.
    pub fn request(&mut self, person: &str, device: &str, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let token = format!("Bearer {}", self.signer.sign(person));
        let headers = [("Authorization", token.as_str()), ("Driftless-Device", device), ("Content-Type", "application/json")];
        check_status(self.http.request(method, path, &headers, body.as_bytes())?).map_err(|error| format!("{method} {path}: {error}"))
    }

    /// The identity that a person's login leads to.
    pub fn identity(&mut self, person: &str) -> Result<String, String> {
        let welcome = self.request(person, "device-0", "GET", "/v1/session", "")?;
        let welcome: serde_json::Value = serde_json::from_slice(&welcome).map_err(|error| error.to_string())?;
        welcome["identity"].as_str().map(str::to_owned).ok_or_else(|| "the session names no identity".to_owned())
    }
}
