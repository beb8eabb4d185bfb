//! A pool's push settings, as the configuration has them.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use http::uri::PathAndQuery;
use serde::Deserialize;

use super::config_error::PushConfigError;

/// The longest title and text of an alert, in bytes: with the data they must fit into APNs' 4 KiB.
pub const ALERT_TEXT_BYTES: usize = 512;

/// The shortest key for hiding names, in bytes: as long as half the hash it is used with (RFC 2104 section 3 wants no less).
pub const MIN_NAME_HASH_KEY_BYTES: usize = 16;

/// The section `push` of a pool.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushConfig {
    pub apns: Vec<ApnsConfig>,
    pub fcm: Vec<FcmConfig>,
    /// Web apps and UnifiedPush apps.
    pub webpush: Vec<WebpushConfig>,
    /// Whether payloads have the keys of Cognito's push sync too.
    pub cognito: bool,
    /// A secret. If it is set, gateways see keyed hashes instead of the names of identities and datasets.
    pub name_hash_key: Option<String>,
    /// The file that the configuration has read this secret from.
    pub name_hash_key_file: Option<PathBuf>,
    /// The title of an alert, which is shown when the budget for silent wakes is used up.
    pub title: String,
    /// The text of an alert.
    pub text: String,
}

/// An app at APNs, with either a key (`key_file`, `key_id`, `team_id`) or a `certificate_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApnsConfig {
    /// The topic: the app's bundle id.
    pub app: String,
    /// The gateway; default [`APNS_SERVER`].
    pub server: Option<String>,
    /// The gateway for development builds; default [`APNS_SANDBOX_SERVER`].
    pub sandbox_server: Option<String>,
    /// The .p8 file from Apple's developer pages.
    pub key_file: Option<PathBuf>,
    /// The id of the key in `key_file`.
    pub key_id: Option<String>,
    /// The developer team's id.
    pub team_id: Option<String>,
    /// A certificate for the topic with its key, in PEM.
    pub certificate_file: Option<PathBuf>,
    /// One more trusted root certificate, in PEM, for a self-hosted gateway.
    pub authority_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FcmConfig {
    /// The name by which the app registers.
    pub app: String,
    /// The JSON file of a service account that may send messages.
    pub service_account_file: PathBuf,
    /// The gateway; default [`FCM_SERVER`].
    pub server: Option<String>,
    /// One more trusted root certificate, in PEM, for a self-hosted gateway.
    pub authority_file: Option<PathBuf>,
}

/// An app whose devices register Web Push subscriptions, each of which names its own push service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebpushConfig {
    /// The name by which the app registers.
    pub app: String,
    /// The application server's private key on P-256 (RFC 8292), in PEM.
    pub vapid_key_file: PathBuf,
    /// A `mailto:` or `https:` address at which a push service can reach the operator.
    pub contact: String,
    /// One more trusted root certificate, in PEM, for a self-hosted push service.
    pub authority_file: Option<PathBuf>,
    /// Whether endpoints may be on this machine and in private networks too, for tests and for push services in the operator's own network.
    /// Every registered device can then make the server connect to addresses there.
    pub allow_private: bool,
}

/// APNs' production environment.
pub const APNS_SERVER: &str = "https://api.push.apple.com";
/// APNs' development environment.
pub const APNS_SANDBOX_SERVER: &str = "https://api.sandbox.push.apple.com";
/// FCM's HTTP v1 interface.
pub const FCM_SERVER: &str = "https://fcm.googleapis.com";

impl PushConfig {
    /// Checks every setting that can be checked without reading a file.
    pub(super) fn check(&self) -> Result<(), PushConfigError> {
        if self.name_hash_key.as_ref().is_some_and(|key| key.len() < MIN_NAME_HASH_KEY_BYTES) {
            let key = if self.name_hash_key_file.is_some() { "name_hash_key_file" } else { "name_hash_key" };
            return Err(PushConfigError::setting(format!("the key must have at least {MIN_NAME_HASH_KEY_BYTES} bytes")).of(key));
        }
        if self.title.len() > ALERT_TEXT_BYTES || self.text.len() > ALERT_TEXT_BYTES {
            let key = if self.title.len() > ALERT_TEXT_BYTES { "title" } else { "text" };
            return Err(PushConfigError::setting(format!("at most {ALERT_TEXT_BYTES} bytes are allowed")).of(key));
        }
        check_app_names("apns", self.apns.iter().map(|app| app.app.as_str()))?;
        check_app_names("fcm", self.fcm.iter().map(|app| app.app.as_str()))?;
        check_app_names("webpush", self.webpush.iter().map(|app| app.app.as_str()))
    }
}

/// Names must be distinct and, because APNs has them in a header, printable ASCII.
fn check_app_names<'a>(list: &'static str, apps: impl Iterator<Item = &'a str>) -> Result<(), PushConfigError> {
    let mut seen = std::collections::HashSet::new();
    for (at, app) in apps.enumerate() {
        let wrong = |why: String| Err(PushConfigError::setting(why).of("app").in_entry(list, at));
        if app.is_empty() || !app.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong("must be printable ASCII without spaces".to_owned());
        }
        if !seen.insert(app) {
            return wrong(format!("the app {app} is configured twice"));
        }
    }
    Ok(())
}

/// Parses a gateway's address: `https`, or `http` on this machine only, with nothing after the host and the port.
pub(super) fn parse_server(text: Option<&str>, default: &str) -> Result<Uri, PushConfigError> {
    let text = text.unwrap_or(default);
    let bad = || PushConfigError::setting(format!("{text} must be https://host or https://host:port (http on this machine only)"));
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let bare = uri.path_and_query().map_or("/", PathAndQuery::as_str) == "/" && !text.contains('@');
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) if bare => Ok(uri),
        (Some("http"), Some(host)) if bare && is_loopback_host(host) => Ok(uri),
        _ => Err(bad()),
    }
}

/// Whether a URL's host is the local machine.
pub(super) fn is_loopback_host(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PushConfig { apns, fcm, webpush, cognito, name_hash_key, name_hash_key_file, title, text } = self;
        f.debug_struct("PushConfig")
            .field("apns", apns)
            .field("fcm", fcm)
            .field("webpush", webpush)
            .field("cognito", cognito)
            .field("name_hash_key", &name_hash_key.as_ref().map(|_| "hidden"))
            .field("name_hash_key_file", name_hash_key_file)
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
    fn a_pools_push_section_is_parsed() {
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
    fn settings_that_cannot_work_are_refused() {
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
        assert!(parse(&format!("title = \"{}\"", "x".repeat(ALERT_TEXT_BYTES + 1))).is_err());
    }

    #[test]
    fn a_server_is_an_https_origin() {
        for good in
            ["https://gateway.example", "https://gateway.example:8443/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(parse_server(Some(good), FCM_SERVER).is_ok(), "{good}");
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
            assert!(parse_server(Some(bad), FCM_SERVER).is_err(), "{bad}");
        }
        assert_eq!(parse_server(None, FCM_SERVER).expect("a server").host(), Some("fcm.googleapis.com"));
    }
}
