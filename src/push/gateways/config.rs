//! What a pool says about the gateways that carry its wakes.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use http::uri::PathAndQuery;
use serde::Deserialize;

use super::config_error::PushConfigError;

/// The longest title and text that a user is shown, in bytes: with the data they must fit into APNs' 4 KiB.
pub const SHOWN_BYTES: usize = 512;

/// The shortest key for hiding names, in bytes: as long as half the hash it is used with (RFC 2104 section 3 wants no less).
pub const MIN_HIDE_KEY_BYTES: usize = 16;

/// A pool's push gateways.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushConfig {
    /// Apple's, an entry for each app.
    pub apns: Vec<ApnsConfig>,
    /// Google's, an entry for each app.
    pub fcm: Vec<FcmConfig>,
    /// Browsers' and UnifiedPush's, an entry for each app.
    pub webpush: Vec<WebpushConfig>,
    /// Whether payloads have the keys of Cognito's push sync.
    pub cognito: bool,
    /// A secret: with it the names of identities and datasets are hidden from gateways, as keyed hashes.
    pub name_hash_key: Option<String>,
    /// The title of what a user is shown when no silent wake is left.
    pub title: String,
    /// The text below it.
    pub text: String,
}

/// An app at APNs, with either a key (`key_file`, `key_id`, `team_id`) or a `certificate_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApnsConfig {
    /// The topic: the app's bundle id.
    pub app: String,
    /// Where it is sent; default [`APNS_SERVER`].
    pub server: Option<String>,
    /// Where it is sent for builds that a developer signed; default [`APNS_SANDBOX_SERVER`].
    pub sandbox_server: Option<String>,
    /// The .p8 file from Apple's developer pages.
    pub key_file: Option<PathBuf>,
    /// That key's id.
    pub key_id: Option<String>,
    /// The developer team's id.
    pub team_id: Option<String>,
    /// PEM: a certificate for the topic, and its key.
    pub certificate_file: Option<PathBuf>,
    /// PEM: one more root that is trusted, for a gateway of one's own.
    pub authority_file: Option<PathBuf>,
}

/// An app at FCM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FcmConfig {
    /// The name by which the app registers.
    pub app: String,
    /// The JSON file of a service account that may send messages.
    pub service_account_file: PathBuf,
    /// Where it is sent; default [`FCM_SERVER`].
    pub server: Option<String>,
    /// PEM: one more root that is trusted, for a gateway of one's own.
    pub authority_file: Option<PathBuf>,
}

/// An app at whatever push services its subscriptions name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebpushConfig {
    /// The name by which the app registers.
    pub app: String,
    /// PEM: the application server's private key on P-256 (RFC 8292).
    pub vapid_key_file: PathBuf,
    /// Whom a push service may write to about us: a `mailto:` or `https:` address.
    pub contact: String,
    /// PEM: one more root that is trusted, for push services of one's own.
    pub authority_file: Option<PathBuf>,
    /// Whether endpoints may be on this machine and in private networks too: for tests, and for push services in one's own network. Anybody who
    /// may register can then make the server speak to them.
    pub allow_private: bool,
}

/// APNs in production.
pub const APNS_SERVER: &str = "https://api.push.apple.com";
/// APNs' sandbox.
pub const APNS_SANDBOX_SERVER: &str = "https://api.sandbox.push.apple.com";
/// FCM.
pub const FCM_SERVER: &str = "https://fcm.googleapis.com";

impl PushConfig {
    /// Checks what needs no file.
    pub(super) fn check(&self) -> Result<(), PushConfigError> {
        if self.name_hash_key.as_ref().is_some_and(|key| key.len() < MIN_HIDE_KEY_BYTES) {
            return Err(PushConfigError::setting(format!("name_hash_key must have at least {MIN_HIDE_KEY_BYTES} bytes")));
        }
        if self.title.len() > SHOWN_BYTES || self.text.len() > SHOWN_BYTES {
            return Err(PushConfigError::setting(format!("title and text must have at most {SHOWN_BYTES} bytes each")));
        }
        distinct("apns", self.apns.iter().map(|one| one.app.as_str()))?;
        distinct("fcm", self.fcm.iter().map(|one| one.app.as_str()))?;
        distinct("webpush", self.webpush.iter().map(|one| one.app.as_str()))
    }
}

/// An app's name stands in a header of APNs', so it is held to what can.
fn distinct<'a>(list: &str, apps: impl Iterator<Item = &'a str>) -> Result<(), PushConfigError> {
    let mut seen = std::collections::HashSet::new();
    for app in apps {
        if app.is_empty() || !app.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PushConfigError::setting(format!("{list}: app must be printable ASCII without spaces")));
        }
        if !seen.insert(app) {
            return Err(PushConfigError::setting(format!("{list}: the app {app} stands there twice")));
        }
    }
    Ok(())
}

/// A gateway's address: `https`, or `http` on this machine only, with nothing behind the host and the port.
pub(super) fn server(text: Option<&str>, default: &str) -> Result<Uri, PushConfigError> {
    let text = text.unwrap_or(default);
    let bad = || PushConfigError::setting(format!("server {text}: must be https://host or https://host:port (http on this machine only)"));
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let bare = uri.path_and_query().map_or("/", PathAndQuery::as_str) == "/" && !text.contains('@');
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) if bare => Ok(uri),
        (Some("http"), Some(host)) if bare && is_this_machine(host) => Ok(uri),
        _ => Err(bad()),
    }
}

/// Whether a URL's host is the machine itself.
pub(super) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PushConfig { apns, fcm, webpush, cognito, name_hash_key, title, text } = self;
        f.debug_struct("PushConfig")
            .field("apns", apns)
            .field("fcm", fcm)
            .field("webpush", webpush)
            .field("cognito", cognito)
            .field("name_hash_key", &name_hash_key.as_ref().map(|_| "hidden"))
            .field("title", title)
            .field("text", text)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PushConfig, String> {
        let config: PushConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pool_names_its_gateways() {
        let config = parse(
            r#"
            name_hash_key = "0123456789abcdef"
            [[apns]]
            app = "com.example"
            key_file = "AuthKey.p8"
            key_id = "KEY"
            team_id = "TEAM"
            [[fcm]]
            app = "notes"
            service_account_file = "account.json"
            [[webpush]]
            app = "web"
            vapid_key_file = "vapid.pem"
            contact = "mailto:push@example.com"
            "#,
        )
        .expect("a config");
        assert_eq!((config.apns.len(), config.fcm.len(), config.webpush.len()), (1, 1, 1));
        assert!(!config.webpush[0].allow_private);
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
        assert_eq!(parse(""), Ok(PushConfig::default()));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for text in [
            "colour = 1",
            "[[apns]]\napp = \"a\"\ntopic = \"a\"",
            "name_hash_key = \"short\"",
            "[[fcm]]\napp = \"\"",
            "[[fcm]]\napp = \"a b\"",
            "[[fcm]]\napp = \"a\"\n[[fcm]]\napp = \"a\"",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("title = \"{}\"", "x".repeat(SHOWN_BYTES + 1))).is_err());
    }

    #[test]
    fn a_server_is_an_https_origin() {
        for good in
            ["https://gateway.example", "https://gateway.example:8443/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(server(Some(good), FCM_SERVER).is_ok(), "{good}");
        }
        for bad in [
            "",
            "gateway.example",
            "http://gateway.example",
            "https://gateway.example/a",
            "https://a@gateway.example",
            "ftp://a",
            "https://",
        ] {
            assert!(server(Some(bad), FCM_SERVER).is_err(), "{bad}");
        }
        assert_eq!(server(None, FCM_SERVER).expect("a server").host(), Some("fcm.googleapis.com"));
    }
}
