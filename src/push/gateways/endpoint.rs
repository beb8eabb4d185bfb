//! A Web Push subscription, parsed: the push service's address, and the keys that encrypt for the receiver.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::WebPushSubscription;
use http::Uri;
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use super::address::is_public;

/// Which addresses the server may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressPolicy {
    PublicOnly,
    Any,
}

impl AddressPolicy {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            AddressPolicy::PublicOnly => is_public(address),
            AddressPolicy::Any => true,
        }
    }
}

/// A valid subscription.
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    /// `https://host` or `https://host:port` (RFC 6454 section 6.2).
    pub(super) origin: String,
    key: PublicKey,
    auth: Auth,
}

/// What is invalid in a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointError {
    /// The endpoint is not an https URL with a host, or contains user information.
    Url,
    /// The endpoint's host is an IP address that the policy does not allow.
    PrivateAddress,
    /// `p256dh` is not a point of the curve P-256.
    Key,
    /// `auth` does not have 16 bytes.
    Secret,
}

impl EndpointError {
    /// The reason of the verdict.
    pub(super) fn reason(self) -> &'static str {
        match self {
            EndpointError::Url => "endpoint_unusable",
            EndpointError::PrivateAddress => "address_refused",
            EndpointError::Key => "p256dh_unusable",
            EndpointError::Secret => "auth_unusable",
        }
    }

    /// A text for the app's developer.
    pub(super) fn message(self) -> &'static str {
        match self {
            EndpointError::Url => "the endpoint is not an https address",
            EndpointError::PrivateAddress => "the endpoint's address is not on the public internet",
            EndpointError::Key => "p256dh is not a point of the curve P-256",
            EndpointError::Secret => "auth is not 16 bytes in base64url",
        }
    }
}

impl Endpoint {
    /// Parses a subscription. A host that is an IP address is checked here, because it does not pass through the resolver.
    pub(super) fn new(subscription: &WebPushSubscription, policy: AddressPolicy) -> Result<Endpoint, EndpointError> {
        let uri: Uri = subscription.endpoint.parse().map_err(|_| EndpointError::Url)?;
        let authority = uri.authority().ok_or(EndpointError::Url)?;
        let host = authority.host().to_ascii_lowercase();
        if uri.scheme_str() != Some("https") || host.is_empty() || authority.as_str().contains('@') {
            return Err(EndpointError::Url);
        }
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) if !policy.allows(address) => return Err(EndpointError::PrivateAddress),
            Err(_) if ends_in_number(&host) => return Err(EndpointError::Url),
            _ => {}
        }
        let origin = match authority.port_u16() {
            None | Some(443) => format!("https://{host}"),
            Some(port) => format!("https://{host}:{port}"),
        };
        let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
        let key = PublicKey::from_sec1_bytes(&bytes(&subscription.p256dh)).map_err(|_| EndpointError::Key)?;
        let auth = Auth::from_exact_iter(bytes(&subscription.auth)).ok_or(EndpointError::Secret)?;
        Ok(Endpoint { uri, origin, key, auth })
    }

    /// Encrypts for the receiver (RFC 8291) as one record of `aes128gcm` (RFC 8188); `None` if the text is too long for one record.
    pub(super) fn encrypt(&self, text: String) -> Option<Vec<u8>> {
        encrypt(text.into_bytes(), &self.key, &self.auth).ok()
    }
}

/// Whether a host is an IPv4 address in a legacy form, for example 0x7f.1 or 2130706433. No domain name "ends in a number" (WHATWG URL).
fn ends_in_number(host: &str) -> bool {
    let label = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::webpush_receiver::WebpushReceiver;
    use super::*;

    fn error_of(subscription: WebPushSubscription) -> Option<EndpointError> {
        Endpoint::new(&subscription, AddressPolicy::PublicOnly).err()
    }

    #[test]
    fn an_endpoint_is_an_https_address_on_the_public_internet() {
        let receiver = WebpushReceiver::of_rfc_8291();
        let at = |endpoint: &str| error_of(receiver.subscription(endpoint));
        for good in ["https://push.example/1", "https://push.example:8443/a?b", "https://1.1.1.1/", "https://[2606:4700:4700::1111]:8443/1"]
        {
            assert_eq!(at(good), None, "{good}");
        }
        for bad in [
            "",
            "http://push.example/1",
            "push.example",
            "/1",
            "https://user@push.example/",
            "https://u:p@push.example/",
            "ftp://a/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://127.0.0.1./",
            "https://127.1/",
        ] {
            assert_eq!(at(bad), Some(EndpointError::Url), "{bad}");
        }
        for address in ["https://127.0.0.1/", "https://10.0.0.1:8443/", "https://[::1]/", "https://[::ffff:169.254.169.254]/"] {
            assert_eq!(at(address), Some(EndpointError::PrivateAddress), "{address}");
            assert!(Endpoint::new(&receiver.subscription(address), AddressPolicy::Any).is_ok(), "{address}");
        }
    }

    #[test]
    fn an_origin_has_no_default_port_and_no_capitals() {
        let receiver = WebpushReceiver::of_rfc_8291();
        let origin = |endpoint: &str| Endpoint::new(&receiver.subscription(endpoint), AddressPolicy::PublicOnly).map(|one| one.origin).ok();
        assert_eq!(origin("https://Push.Example:443/A/b").as_deref(), Some("https://push.example"));
        assert_eq!(origin("https://push.example:8443/A").as_deref(), Some("https://push.example:8443"));
        assert_eq!(origin("https://[2606:4700::1]/").as_deref(), Some("https://[2606:4700::1]"));
    }

    #[test]
    fn a_key_that_is_not_on_the_curve_is_refused() {
        let good = WebpushReceiver::of_rfc_8291().subscription("https://push.example/1");
        let off = format!("BA{}", "A".repeat(85));
        for p256dh in ["", "AA", off.as_str()] {
            assert_eq!(error_of(WebPushSubscription { p256dh: p256dh.to_owned(), ..good.clone() }), Some(EndpointError::Key));
        }
        for auth in ["", "AAAA", &"A".repeat(43)] {
            assert_eq!(error_of(WebPushSubscription { auth: auth.to_owned(), ..good.clone() }), Some(EndpointError::Secret));
        }
    }

    #[test]
    fn only_the_receiver_can_read_what_is_sent() {
        let receiver = WebpushReceiver::of_rfc_8291();
        let endpoint = Endpoint::new(&receiver.subscription("https://push.example/1"), AddressPolicy::PublicOnly).expect("usable");
        let encrypted = endpoint.encrypt("a wake".to_owned()).expect("encrypted");
        assert_eq!(receiver.decrypt(&encrypted), b"a wake");
        assert_ne!(endpoint.encrypt("a wake".to_owned()).expect("encrypted"), encrypted, "salt and key are new each time");
    }
}
