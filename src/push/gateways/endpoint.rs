//! A Web Push subscription, read to its parts: where it is, and what only its receiver can decrypt.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::WebPushSubscription;
use http::Uri;
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use super::address::is_public;

/// Which addresses may be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of the public internet.
    Public,
    /// All.
    Anywhere,
}

impl Reach {
    /// Whether this address may be spoken to.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            Reach::Public => is_public(address),
            Reach::Anywhere => true,
        }
    }
}

/// A subscription that can be sent to.
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    /// `https://host` or `https://host:port` (RFC 6454 section 6.2).
    pub(super) origin: String,
    key: PublicKey,
    auth: Auth,
}

/// Why a subscription cannot be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Not an https URL with a host, or with a user's name in it.
    Address,
    /// A numerical address that is not of the public internet.
    Private,
    /// `p256dh` is no point of the curve.
    Key,
    /// `auth` has not 16 bytes.
    Secret,
}

impl Unusable {
    /// A reason, as verdicts have it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Unusable::Address => "endpoint_unusable",
            Unusable::Private => "address_refused",
            Unusable::Key => "p256dh_unusable",
            Unusable::Secret => "auth_unusable",
        }
    }

    /// For whoever registers it.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Unusable::Address => "the endpoint is no https address",
            Unusable::Private => "the endpoint's address is not of the public internet",
            Unusable::Key => "p256dh is no point of the curve P-256",
            Unusable::Secret => "auth is not 16 bytes in base64url",
        }
    }
}

impl Endpoint {
    /// Reads a subscription. A host that is a number is judged here, for no resolver will see it.
    pub(super) fn new(subscription: &WebPushSubscription, reach: Reach) -> Result<Endpoint, Unusable> {
        let uri: Uri = subscription.endpoint.parse().map_err(|_| Unusable::Address)?;
        let authority = uri.authority().ok_or(Unusable::Address)?;
        let host = authority.host().to_ascii_lowercase();
        if uri.scheme_str() != Some("https") || host.is_empty() || authority.as_str().contains('@') {
            return Err(Unusable::Address);
        }
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) if !reach.allows(address) => return Err(Unusable::Private),
            Err(_) if ends_in_number(&host) => return Err(Unusable::Address),
            _ => {}
        }
        let origin = match authority.port_u16() {
            None | Some(443) => format!("https://{host}"),
            Some(port) => format!("https://{host}:{port}"),
        };
        let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
        let key = PublicKey::from_sec1_bytes(&bytes(&subscription.p256dh)).map_err(|_| Unusable::Key)?;
        let auth = Auth::from_exact_iter(bytes(&subscription.auth)).ok_or(Unusable::Secret)?;
        Ok(Endpoint { uri, origin, key, auth })
    }

    /// Encrypts for the receiver (RFC 8291), as one record of `aes128gcm` (RFC 8188); `None` if it is too long for one.
    pub(super) fn encrypt(&self, text: String) -> Option<Vec<u8>> {
        encrypt(text.into_bytes(), &self.key, &self.auth).ok()
    }
}

/// Whether a host is an IPv4 address in one of its odd forms, such as 0x7f.1 or 2130706433, which no name is (WHATWG URL: "ends in a number").
fn ends_in_number(host: &str) -> bool {
    let label = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::sealed::Receiver;
    use super::*;

    fn unusable(subscription: WebPushSubscription) -> Option<Unusable> {
        Endpoint::new(&subscription, Reach::Public).err()
    }

    #[test]
    fn an_endpoint_is_an_https_address_of_the_public_internet() {
        let receiver = Receiver::of_rfc_8291();
        let at = |endpoint: &str| unusable(receiver.subscription(endpoint));
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
            assert_eq!(at(bad), Some(Unusable::Address), "{bad}");
        }
        for private in ["https://127.0.0.1/", "https://10.0.0.1:8443/", "https://[::1]/", "https://[::ffff:169.254.169.254]/"] {
            assert_eq!(at(private), Some(Unusable::Private), "{private}");
            assert!(Endpoint::new(&receiver.subscription(private), Reach::Anywhere).is_ok(), "{private}");
        }
    }

    #[test]
    fn an_origin_has_no_default_port_and_no_capitals() {
        let receiver = Receiver::of_rfc_8291();
        let origin = |endpoint: &str| Endpoint::new(&receiver.subscription(endpoint), Reach::Public).map(|one| one.origin).ok();
        assert_eq!(origin("https://Push.Example:443/A/b").as_deref(), Some("https://push.example"));
        assert_eq!(origin("https://push.example:8443/A").as_deref(), Some("https://push.example:8443"));
        assert_eq!(origin("https://[2606:4700::1]/").as_deref(), Some("https://[2606:4700::1]"));
    }

    #[test]
    fn a_key_that_is_not_on_the_curve_is_refused() {
        let good = Receiver::of_rfc_8291().subscription("https://push.example/1");
        let off = format!("BA{}", "A".repeat(85));
        for p256dh in ["", "AA", off.as_str()] {
            assert_eq!(unusable(WebPushSubscription { p256dh: p256dh.to_owned(), ..good.clone() }), Some(Unusable::Key));
        }
        for auth in ["", "AAAA", &"A".repeat(43)] {
            assert_eq!(unusable(WebPushSubscription { auth: auth.to_owned(), ..good.clone() }), Some(Unusable::Secret));
        }
    }

    #[test]
    fn only_the_receiver_can_read_what_is_sent() {
        let receiver = Receiver::of_rfc_8291();
        let endpoint = Endpoint::new(&receiver.subscription("https://push.example/1"), Reach::Public).expect("usable");
        let sealed = endpoint.encrypt("a wake".to_owned()).expect("sealed");
        assert_eq!(receiver.open(&sealed), b"a wake");
        assert_ne!(endpoint.encrypt("a wake".to_owned()).expect("sealed"), sealed, "salt and key are new each time");
    }
}
