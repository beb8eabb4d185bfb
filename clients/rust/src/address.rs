//! The address of a server.

use std::fmt;

/// The path of the socket, below the path that the address has.
const SYNC_PATH: &str = "/v1/sync";

/// The URL of a server's socket, parsed from an address as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: String,
}

/// Why a text is not a server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Its scheme is none of http, https, ws and wss.
    Scheme,
    /// It names no host.
    Host,
    /// It has a user, a query or a fragment. A token is sent only in `hello`, never in the address.
    Extra,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::Scheme => "an address begins with http://, https://, ws:// or wss://",
            AddressError::Host => "an address names a host, as in http://127.0.0.1:7400",
            AddressError::Extra => "an address has no user, query or fragment: the token is sent in the first message",
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Parses a scheme (`http`, `https`, `ws` or `wss`), a host, and optionally a port and the path that the server is mounted under.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(AddressError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return Err(AddressError::Scheme),
        };
        if rest.contains(['@', '?', '#']) {
            return Err(AddressError::Extra);
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || host.starts_with(':') || host.contains(char::is_whitespace) {
            return Err(AddressError::Host);
        }
        let path = path.trim_end_matches('/');
        Ok(Address { url: format!("{scheme}://{host}{}{SYNC_PATH}", path.strip_suffix(SYNC_PATH).unwrap_or(path)) })
    }

    /// The URL of the socket, `ws://` or `wss://`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the connection uses TLS.
    pub fn is_encrypted(&self) -> bool {
        self.url.starts_with("wss:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_as_people_write_them() {
        for (text, url) in [
            ("http://127.0.0.1:7400", "ws://127.0.0.1:7400/v1/sync"),
            ("https://sync.example.com/", "wss://sync.example.com/v1/sync"),
            ("WSS://sync.example.com/v1/sync", "wss://sync.example.com/v1/sync"),
            ("ws://[::1]:7400/sub/", "ws://[::1]:7400/sub/v1/sync"),
            ("https://www.example.com/sync", "wss://www.example.com/sync/v1/sync"),
            ("https://www.example.com/a/b//", "wss://www.example.com/a/b/v1/sync"),
            ("https://www.example.com/sync/v1/sync", "wss://www.example.com/sync/v1/sync"),
        ] {
            assert_eq!(Address::parse(text).expect(text).url(), url);
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        assert_eq!(Address::parse("127.0.0.1:7400"), Err(AddressError::Scheme));
        assert_eq!(Address::parse("ftp://host"), Err(AddressError::Scheme));
        assert_eq!(Address::parse("http://:7400"), Err(AddressError::Host));
        assert_eq!(Address::parse("http://host?token=x"), Err(AddressError::Extra));
        assert_eq!(Address::parse("http://me@host"), Err(AddressError::Extra));
    }
}
