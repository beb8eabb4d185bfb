//! Push registrations: how a device that is not connected is woken.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::StrictText;
use crate::{DatasetName, limits};

/// The service that delivers a push to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Apple Push Notification service (APNs).
    Apns,
    /// The sandbox environment of APNs, for development builds.
    ApnsSandbox,
    /// Google's Firebase Cloud Messaging (FCM).
    Fcm,
    /// Web Push (RFC 8030): browsers, and UnifiedPush.
    Webpush,
}

impl Provider {
    /// All providers.
    pub const ALL: [Provider; 4] = [Provider::Apns, Provider::ApnsSandbox, Provider::Fcm, Provider::Webpush];

    /// The provider's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Provider::Apns => "apns",
            Provider::ApnsSandbox => "apns-sandbox",
            Provider::Fcm => "fcm",
            Provider::Webpush => "webpush",
        }
    }
}

/// Accepts names only: derived code would also accept the index of a variant.
impl<'de> Deserialize<'de> for Provider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Provider, D::Error> {
        let StrictText(name) = StrictText::deserialize(deserializer)?;
        let known = Provider::ALL.into_iter().find(|provider| provider.as_str() == name);
        known.ok_or_else(|| D::Error::custom("provider must be apns, apns-sandbox, fcm or webpush"))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address of one installation at its push provider. Its `Debug` prints no token, because a token suffices to send pushes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PushTarget {
    /// An APNs device token, in lower-case hexadecimal digits.
    Apns(String),
    /// A device token of the APNs sandbox, in lower-case hexadecimal digits.
    ApnsSandbox(String),
    /// An FCM registration token.
    Fcm(String),
    /// A Web Push subscription of a browser or of a UnifiedPush distributor.
    Webpush(WebPushSubscription),
}

/// A Web Push subscription; names as in `PushSubscription.toJSON()` (Push API, W3C), which has the two keys under `keys`. Its `Debug` prints none of them.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WebPushSubscription {
    /// The push endpoint: an `https` URL of at most [`limits::ENDPOINT_BYTES`] ASCII characters.
    pub endpoint: String,
    /// The receiver's public key on P-256, uncompressed, in base64url without padding (RFC 8291 section 3.1).
    pub p256dh: String,
    /// The shared authentication secret of 16 bytes, in base64url without padding (RFC 8291 section 3.2).
    pub auth: String,
}

/// The registration of one installation for pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The installation's address at its push provider.
    pub target: PushTarget,
    /// The app: the APNs topic, or the name that the pool's configuration gives to an FCM project or a Web Push key.
    pub app: String,
    /// The datasets whose changes wake the installation; `None` means all.
    pub datasets: Option<Vec<DatasetName>>,
    /// Whether the server may send a push that is shown to the user when the budget of silent pushes is used up.
    pub shown: bool,
}

/// A registration that no longer wakes its device. The app gets a token from its provider and registers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushLost {
    /// What happened to the token.
    pub reason: PushLossReason,
    /// When it happened, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// What happened to a push token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushLossReason {
    /// Another device registered it: another installation, or another user on this one.
    Moved,
    /// The provider reported it dead.
    Dead,
    /// Something that this version of the protocol does not know.
    #[serde(other)]
    Unknown,
}

/// On the wire `provider` and its `token` or `subscription` are fields beside the others.
impl Serialize for Registration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct RegistrationFields<'a> {
            provider: Provider,
            app: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            subscription: Option<&'a WebPushSubscription>,
            #[serde(skip_serializing_if = "Option::is_none")]
            datasets: Option<&'a [DatasetName]>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            shown: bool,
        }
        let (token, subscription) = match &self.target {
            PushTarget::Apns(token) | PushTarget::ApnsSandbox(token) | PushTarget::Fcm(token) => (Some(token.as_str()), None),
            PushTarget::Webpush(subscription) => (None, Some(subscription)),
        };
        let (provider, datasets) = (self.target.provider(), self.datasets.as_deref());
        RegistrationFields { provider, app: &self.app, token, subscription, datasets, shown: self.shown }.serialize(serializer)
    }
}

impl Registration {
    /// Checks a registration; the error is a sentence for a refusal. `app` has 1 to [`limits::APP_BYTES`] printable ASCII characters without spaces;
    /// `datasets` names 1 to [`limits::DATASETS_PER_IDENTITY`] datasets, or is absent.
    pub fn new(target: PushTarget, app: String, datasets: Option<Vec<DatasetName>>, shown: bool) -> Result<Registration, &'static str> {
        if !(1..=limits::APP_BYTES).contains(&app.len()) || !app.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("app must be 1 to 256 printable ASCII characters without spaces");
        }
        match &datasets {
            Some(names) if names.is_empty() => Err("datasets must name one at least; without it all wake the device"),
            Some(names) if names.len() > limits::DATASETS_PER_IDENTITY => {
                Err("datasets must name 200 at most; without it all wake the device")
            }
            _ => Ok(Registration { target, app, datasets, shown }),
        }
    }
}

impl PushTarget {
    /// The provider that the target belongs to.
    pub fn provider(&self) -> Provider {
        match self {
            PushTarget::Apns(_) => Provider::Apns,
            PushTarget::ApnsSandbox(_) => Provider::ApnsSandbox,
            PushTarget::Fcm(_) => Provider::Fcm,
            PushTarget::Webpush(_) => Provider::Webpush,
        }
    }

    /// The part that is unique to the installation: its token, or its subscription's endpoint.
    pub fn address(&self) -> &str {
        match self {
            PushTarget::Apns(token) | PushTarget::ApnsSandbox(token) | PushTarget::Fcm(token) => token,
            PushTarget::Webpush(subscription) => &subscription.endpoint,
        }
    }

    /// Checks the token or the subscription of a provider, and normalizes it; the error is a sentence for a refusal. Web Push needs a subscription and no
    /// token, the other providers a token and no subscription.
    pub fn new(provider: Provider, token: Option<&str>, subscription: Option<WebPushSubscription>) -> Result<PushTarget, &'static str> {
        match (provider, token, subscription) {
            (Provider::Apns, Some(token), None) => Ok(PushTarget::Apns(apns(token)?)),
            (Provider::ApnsSandbox, Some(token), None) => Ok(PushTarget::ApnsSandbox(apns(token)?)),
            (Provider::Fcm, Some(token), None) => Ok(PushTarget::Fcm(fcm(token)?)),
            (Provider::Webpush, None, Some(subscription)) => Ok(PushTarget::Webpush(subscription.checked()?)),
            (Provider::Webpush, ..) => Err("webpush needs a subscription with endpoint, p256dh and auth, and no token"),
            _ => Err("apns, apns-sandbox and fcm need a token, and no subscription"),
        }
    }
}

/// Apple's documentation says that the length of a device token may change; it has been 32 bytes for years.
fn apns(token: &str) -> Result<String, &'static str> {
    let bytes = token.len() / 2;
    match (8..=limits::APNS_TOKEN_BYTES).contains(&bytes) && token.len().is_multiple_of(2) && token.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(token.to_ascii_lowercase()),
        false => Err("an APNs token is 8 to 200 bytes in hexadecimal digits"),
    }
}

fn fcm(token: &str) -> Result<String, &'static str> {
    match (1..=limits::PUSH_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err("an FCM token is 1 to 4096 printable ASCII characters without spaces"),
    }
}

impl WebPushSubscription {
    fn checked(self) -> Result<WebPushSubscription, &'static str> {
        let WebPushSubscription { endpoint, p256dh, auth } = self;
        if endpoint.len() > limits::ENDPOINT_BYTES || !endpoint.starts_with("https://") || !endpoint.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a subscription's endpoint is an https address of at most 2048 ASCII characters");
        }
        let p256dh = base64url(&p256dh, 87).ok_or("a subscription's p256dh is 65 bytes in base64url or base64")?;
        let auth = base64url(&auth, 22).ok_or("a subscription's auth is 16 bytes in base64url or base64")?;
        Ok(WebPushSubscription { endpoint, p256dh, auth })
    }
}

/// A text of base64 or base64url, with or without padding and line breaks (RFC 4648, RFC 2045 section 6.8), in base64url without padding; `None`
/// if it has not exactly this many digits. Apps encode what a browser or a distributor gives them with what their platform has.
fn base64url(text: &str, digits: usize) -> Option<String> {
    // The longest form of a key has a line break after every digit at most.
    if text.len() > 4 * digits {
        return None;
    }
    let text: String = text.chars().filter(|digit| !matches!(digit, '\r' | '\n')).collect();
    let url_digit = |digit: char| match digit {
        '+' => Some('-'),
        '/' => Some('_'),
        digit if digit.is_ascii_alphanumeric() || "-_".contains(digit) => Some(digit),
        _ => None,
    };
    let text: String = text.trim_end_matches('=').chars().map(url_digit).collect::<Option<_>>()?;
    (text.len() == digits).then_some(text)
}

impl fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} target", self.provider())
    }
}

impl fmt::Debug for WebPushSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("subscription")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(endpoint: &str, p256dh: &str, auth: &str) -> Option<WebPushSubscription> {
        Some(WebPushSubscription { endpoint: endpoint.to_owned(), p256dh: p256dh.to_owned(), auth: auth.to_owned() })
    }

    #[test]
    fn tokens_of_every_wrong_shape_are_refused() {
        let long = "a".repeat(limits::PUSH_TOKEN_BYTES + 1);
        let hex = "ab".repeat(limits::APNS_TOKEN_BYTES + 1);
        for token in ["", "abc", "0123456789abcdef0", "0123456789abcdeg0123456789abcdef", "../../3/device/00", &hex, "0011\u{e9}"] {
            assert!(PushTarget::new(Provider::Apns, Some(token), None).is_err(), "{token}");
            assert!(PushTarget::new(Provider::ApnsSandbox, Some(token), None).is_err(), "{token}");
        }
        for token in ["", " ", "a b", "line\n", "\u{e9}", &long] {
            assert!(PushTarget::new(Provider::Fcm, Some(token), None).is_err(), "{token}");
        }
        let (key, auth) = ("B".repeat(87), "a".repeat(22));
        let far = format!("https://push.example/{}", "x".repeat(limits::ENDPOINT_BYTES));
        for endpoint in ["http://push.example/1", "push.example", "https://push.example/a b", &far, ""] {
            assert!(PushTarget::new(Provider::Webpush, None, subscription(endpoint, &key, &auth)).is_err(), "{endpoint}");
        }
        for (key, auth) in [("B", auth.as_str()), (&key, "short"), (&"!".repeat(87), &auth), (&key, &format!("a={}", "a".repeat(20)))] {
            assert!(PushTarget::new(Provider::Webpush, None, subscription("https://push.example/1", key, auth)).is_err());
        }
        assert!(PushTarget::new(Provider::Fcm, None, None).is_err());
        assert!(PushTarget::new(Provider::Webpush, Some("token"), None).is_err());
        assert!(PushTarget::new(Provider::Fcm, Some("token"), subscription("https://push.example/1", &key, &auth)).is_err());
    }

    #[test]
    fn tokens_and_keys_are_normalized() {
        let of = |token: &str| PushTarget::new(Provider::Apns, Some(token), None).map(|target| target.address().to_owned());
        assert_eq!(of("00FFAA00FFAA00FF"), of("00ffaa00ffaa00ff"));
        let padded = subscription("https://push.example/1", &format!("{}=", "B".repeat(87)), &format!("{}==", "a".repeat(22)));
        let target = PushTarget::new(Provider::Webpush, None, padded).expect("a subscription");
        assert!(matches!(&target, PushTarget::Webpush(one) if one.auth.len() == 22 && one.p256dh.len() == 87));
        assert!(!format!("{target:?}").contains("push.example"));
    }

    #[test]
    fn the_same_keys_in_every_encoding_are_one_subscription() {
        let (url, standard) = (format!("B{}-_", "Ab9".repeat(28)), format!("B{}+/", "Ab9".repeat(28)));
        let (auth_url, auth_standard) = (format!("{}-_", "q".repeat(20)), format!("{}+/", "q".repeat(20)));
        let of = |p256dh: &str, auth: &str| PushTarget::new(Provider::Webpush, None, subscription("https://push.example/1", p256dh, auth));
        let known = of(&url, &auth_url).expect("base64url");
        for (p256dh, auth) in [
            (standard.clone(), auth_standard.clone()),
            (format!("{standard}="), format!("{auth_standard}==")),
            (format!("{url}="), format!("{auth_url}==")),
            (format!("{}\r\n{}=\r\n", &standard[..76], &standard[76..]), format!("{auth_standard}==\n")),
        ] {
            assert_eq!(of(&p256dh, &auth), Ok(known.clone()), "{p256dh}");
        }
    }
}
