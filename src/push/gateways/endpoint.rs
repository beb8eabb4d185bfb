//! A Web Push subscription, parsed: the push service's address, and the keys that encrypt for the receiver.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::WebPushSubscription;
use http::Uri;
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use super::address::is_public;
use super::endpoint_url::{EndpointHost, EndpointUrl, EndpointUrlError};
use super::failure::FailureCause;
use super::verdict::Verdict;

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
    Url(EndpointUrlError),
    /// The endpoint's host is an address, or a name, that the policy does not allow.
    PrivateAddress,
    /// `p256dh` is not a point of the curve P-256.
    Key,
    /// `auth` does not have 16 bytes.
    Secret,
}

impl EndpointError {
    /// The verdict on a wake to such a subscription.
    pub(super) fn verdict(self) -> Verdict {
        let dead = Verdict::dead(self.reason());
        match self {
            EndpointError::PrivateAddress => dead.because(FailureCause::AddressRefused),
            EndpointError::Url(_) | EndpointError::Key | EndpointError::Secret => dead,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            EndpointError::Url(_) => "endpoint_unusable",
            EndpointError::PrivateAddress => "address_refused",
            EndpointError::Key => "p256dh_unusable",
            EndpointError::Secret => "auth_unusable",
        }
    }

    /// A text for the app's developer.
    pub(super) fn message(self) -> &'static str {
        match self {
            EndpointError::Url(why) => why.message(),
            EndpointError::PrivateAddress => "the endpoint's address is not on the public internet",
            EndpointError::Key => "p256dh is not a point of the curve P-256",
            EndpointError::Secret => "auth is not 16 bytes in base64 or base64url",
        }
    }
}

impl Endpoint {
    /// Parses a subscription. A host that is an IP address is checked here, because it does not pass through the resolver.
    pub(super) fn new(subscription: &WebPushSubscription, policy: AddressPolicy) -> Result<Endpoint, EndpointError> {
        let url = EndpointUrl::parse(&subscription.endpoint).map_err(EndpointError::Url)?;
        let is_private = match &url.host {
            EndpointHost::Address(address) => !policy.allows(*address),
            EndpointHost::Name(_) => policy == AddressPolicy::PublicOnly && url.host.is_private_name(),
        };
        if is_private {
            return Err(EndpointError::PrivateAddress);
        }
        // The protocol has normalized both.
        let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let key = PublicKey::from_sec1_bytes(&bytes(&subscription.p256dh)).map_err(|_| EndpointError::Key)?;
        let auth = Auth::from_exact_iter(bytes(&subscription.auth)).ok_or(EndpointError::Secret)?;
        Ok(Endpoint { origin: url.origin(), uri: url.uri, key, auth })
    }

    /// Encrypts for the receiver (RFC 8291) as one record of `aes128gcm` (RFC 8188); `None` if the text is too long for one record.
    pub(super) fn encrypt(&self, text: String) -> Option<Vec<u8>> {
        encrypt(text.into_bytes(), &self.key, &self.auth).ok()
    }
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
        assert_eq!(at("http://push.example/1"), Some(EndpointError::Url(EndpointUrlError::Scheme)));
        assert_eq!(at("https://push.example:0/"), Some(EndpointError::Url(EndpointUrlError::Port)));
        for address in [
            "https://127.0.0.1/",
            "https://10.0.0.1:8443/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fe80::1]/",
            "https://localhost/",
        ] {
            assert_eq!(at(address), Some(EndpointError::PrivateAddress), "{address}");
            assert!(Endpoint::new(&receiver.subscription(address), AddressPolicy::Any).is_ok(), "{address}");
        }
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
