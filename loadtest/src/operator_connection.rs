//! Requests of an operator, and of a user over HTTP, to the server under test.

use std::net::SocketAddr;
use std::time::Duration;

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

const TOO_MANY_REQUESTS: u16 = 429;

/// How long is waited after a refusal over the rate: what the server asks for.
const RATE_PAUSE: Duration = Duration::from_secs(1);

/// How often. What was received is owed for a minute at most.
const MOST_WAITS: usize = 70;

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
        for _ in 0..MOST_WAITS {
            let response = self.http.request(method, path, &headers, body.as_bytes())?;
            // The person's devices have just been over their rate.
            if response.status != TOO_MANY_REQUESTS {
                return check_status(response).map_err(|error| format!("{method} {path}: {error}"));
            }
            std::thread::sleep(RATE_PAUSE);
        }
        Err(format!("{method} {path}: over the person's rate for a minute"))
    }

    /// The identity that a person's login leads to.
    pub fn identity(&mut self, person: &str) -> Result<String, String> {
        let welcome = self.request(person, "device-0", "GET", "/v1/session", "")?;
        let welcome: serde_json::Value = serde_json::from_slice(&welcome).map_err(|error| error.to_string())?;
        welcome["identity"].as_str().map(str::to_owned).ok_or_else(|| "the session names no identity".to_owned())
    }
}
