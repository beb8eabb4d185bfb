//! The table of settings: name, default and help text of each one.

use driftless_protocol::Limits;
use serde::Serialize;
use toml::Value;

use super::pool::{PoolSection, RetentionSection};
use super::server::ServerConfig;
use crate::push::{APNS_SANDBOX_SERVER, APNS_SERVER, FCM_SERVER, PushConfig, WakeSettings, WebpushConfig};
use crate::store::EngineConfig;

#[derive(Clone, Copy, Debug)]
pub struct ConfigSetting {
    /// The name in the file. `*` stands for a name that the operator chooses, or for any entry of an array.
    pub name: &'static str,
    default: fn() -> Option<Value>,
    /// What the setting does, with its unit and bounds.
    pub help: &'static str,
}

impl ConfigSetting {
    /// The value that the server uses if none is set; `None`: the setting has no value then.
    pub fn default_value(&self) -> Option<Value> {
        (self.default)()
    }

    /// Whether there is one value for the whole server, which then is also a flag and an environment variable.
    pub fn is_global(&self) -> bool {
        !self.name.contains('*')
    }

    /// The name of the flag: `store.cache_mib` is `store-cache-mib`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// The name of the environment variable: `store.cache_mib` is `DRIFTLESS_STORE_CACHE_MIB`.
    pub fn variable(&self) -> String {
        format!("DRIFTLESS_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether this path in the file is the setting's.
    pub(super) fn is_named(&self, path: &[&str]) -> bool {
        let mut own = self.name.split('.');
        path.iter().all(|part| own.next().is_some_and(|one| one == "*" || one == *part)) && own.next().is_none()
    }

    /// Whether this path in the file is a table that contains the setting.
    pub(super) fn is_inside(&self, table: &[&str]) -> bool {
        let mut own = self.name.split('.');
        table.iter().all(|part| own.next().is_some_and(|one| one == "*" || one == *part)) && own.next().is_some()
    }
}

const fn setting(name: &'static str, default: fn() -> Option<Value>, help: &'static str) -> ConfigSetting {
    ConfigSetting { name, default, help }
}

/// The default of a setting that is not set.
fn unset() -> Option<Value> {
    None
}

fn value(default: impl Serialize) -> Option<Value> {
    Value::try_from(default).ok()
}

/// All settings, in the order in which `driftless config` prints them. Those of one table stand together.
pub const SETTINGS: &[ConfigSetting] = &[
    setting(
        "listen",
        || value(ServerConfig::default().listen),
        "Address and port to listen on. With port 0 the system chooses a free port.",
    ),
    setting("data", || value(ServerConfig::default().data), "The store's folder. It is created if it does not exist."),
    setting(
        "log",
        || value(ServerConfig::default().log),
        "The lowest level that is logged (error, warn, info, debug, trace), or a filter such as driftless=debug.",
    ),
    setting("log_format", || value(ServerConfig::default().log_format), "Format of a log line: text or json."),
    setting(
        "connections",
        || value(ServerConfig::default().connections),
        "Maximum number of open connections, WebSockets and plain HTTP together. Further ones wait to be accepted.",
    ),
    setting(
        "drain_s",
        || value(ServerConfig::default().drain_s),
        "Seconds that a stopping server waits for its sessions to end, at most 3600. Devices are told to reconnect at a random time within as many seconds.",
    ),
    setting(
        "heartbeat_s",
        || value(ServerConfig::default().heartbeat_s),
        "Seconds after which an idle device sends a heartbeat, 10 to 1500. A session ends after two missed heartbeats. Use 300 for a very large number of sessions.",
    ),
    setting(
        "origins",
        || value(ServerConfig::default().origins),
        "Origins of web pages that may open a WebSocket, such as https://app.example.com. Empty: any origin.",
    ),
    setting("tls.certificate", unset, "PEM file with the server's certificate chain. Setting it together with tls.key enables TLS."),
    setting("tls.key", unset, "PEM file with the private key of the certificate."),
    setting(
        "admin.key",
        unset,
        "The operator key, a secret of at least 32 characters. The admin API (backup, history, export, erase, ...) requires it; without it the admin API is disabled.",
    ),
    setting(
        "store.engine",
        || value(EngineConfig::default().engine.name()),
        "The storage engine: sled, or redb (smaller files and a higher sustained write rate, but it reads the whole file when it opens). An existing folder can only be opened with the engine that created it.",
    ),
    setting(
        "store.cache_mib",
        || value(EngineConfig::default().cache_mib),
        "Size of the engine's page cache in MiB, measured in pages as they are on disk. In memory they take two to three times as much.",
    ),
    setting(
        "store.journal_mib",
        || value(EngineConfig::default().journal_mib),
        "Size of the journal in MiB before it is flushed to the engine's tree. Under load it grows up to four times as much, and the part that is being flushed takes as much again, in memory and on disk.",
    ),
    setting(
        "store.reserve_mib",
        || value(EngineConfig::default().reserve_mib),
        "Disk space in MiB that is kept free: the server turns read-only before it uses it. 0: no reserve.",
    ),
    setting("pools.*.region", || value(PoolSection::default().region), "First part of the pool's identity ids, region:uuid."),
    setting(
        "pools.*.conflicts",
        || value(PoolSection::default().conflicts),
        "What happens when two devices change the same record without having seen each other's change: reject or last-writer-wins.",
    ),
    setting("pools.*.datasets.*", unset, "The conflict policy of the dataset with this name, instead of the pool's."),
    setting("pools.*.limits.key_bytes", || value(Limits::default().key_bytes), "Maximum bytes of a key, at most 1024."),
    setting(
        "pools.*.limits.value_bytes",
        || value(Limits::default().value_bytes),
        "Maximum bytes of a value, encoded as MessagePack; at most 1048576.",
    ),
    setting(
        "pools.*.limits.changes_per_patch",
        || value(Limits::default().changes_per_patch),
        "Maximum number of changes in one patch, at most 1024.",
    ),
    setting("pools.*.limits.records", || value(Limits::default().records), "Maximum number of live records in a dataset, at most 65536."),
    setting(
        "pools.*.limits.dataset_bytes",
        || value(Limits::default().dataset_bytes),
        "Maximum bytes of all keys and values in a dataset.",
    ),
    setting(
        "pools.*.limits.datasets",
        || value(Limits::default().datasets),
        "Maximum number of datasets of an identity, and of datasets that a session has open.",
    ),
    setting("pools.*.limits.devices", || value(Limits::default().devices), "Maximum number of devices of an identity."),
    setting(
        "pools.*.retention.tombstone_s",
        || value(RetentionSection::default().tombstone_s),
        "Seconds that a removed key is kept as a tombstone for devices that have not synced the removal. A device that comes back later gets a snapshot.",
    ),
    setting(
        "pools.*.retention.history_s",
        || value(RetentionSection::default().history_s),
        "Seconds that earlier versions of a dataset can be read and restored.",
    ),
    setting(
        "pools.*.retention.history_versions",
        || value(RetentionSection::default().history_versions),
        "Maximum number of earlier versions kept for a dataset, at most 100000. 0: no history.",
    ),
    setting(
        "pools.*.retention.history_bytes",
        || value(RetentionSection::default().history_bytes),
        "Maximum bytes of earlier versions kept for a dataset, at most 1073741824.",
    ),
    setting(
        "pools.*.push.cognito",
        || value(PushConfig::default().cognito),
        "Whether a push payload uses the keys of Cognito push sync, with source cognito-sync.",
    ),
    setting(
        "pools.*.push.name_hash_key",
        unset,
        "A secret of at least 16 bytes. If it is set, push payloads carry keyed hashes instead of the names of identities and datasets.",
    ),
    setting(
        "pools.*.push.title",
        || value(PushConfig::default().title),
        "Title of the notification if a wake is shown to the user. It never contains data of a record.",
    ),
    setting("pools.*.push.text", || value(PushConfig::default().text), "Text of that notification."),
    setting("pools.*.push.apns.*.app", unset, "The APNs topic: the app's bundle id. One entry per app."),
    setting("pools.*.push.apns.*.key_file", unset, "The .p8 file of a signing key from Apple. Requires key_id and team_id."),
    setting("pools.*.push.apns.*.key_id", unset, "The id of that key."),
    setting("pools.*.push.apns.*.team_id", unset, "The id of the developer team."),
    setting(
        "pools.*.push.apns.*.certificate_file",
        unset,
        "Instead of a signing key: a PEM file with a certificate for the topic and its private key.",
    ),
    setting("pools.*.push.apns.*.server", || value(APNS_SERVER), "URL of the APNs gateway."),
    setting(
        "pools.*.push.apns.*.sandbox_server",
        || value(APNS_SANDBOX_SERVER),
        "URL of the APNs sandbox gateway, for development builds of the app.",
    ),
    setting(
        "pools.*.push.apns.*.authority_file",
        unset,
        "PEM file with an additional root certificate to trust, for a gateway that you host yourself.",
    ),
    setting("pools.*.push.fcm.*.app", unset, "The app id that an Android app registers with. One entry per app."),
    setting("pools.*.push.fcm.*.service_account_file", unset, "JSON file of a Google service account that is allowed to send messages."),
    setting("pools.*.push.fcm.*.server", || value(FCM_SERVER), "URL of the FCM gateway."),
    setting(
        "pools.*.push.fcm.*.authority_file",
        unset,
        "PEM file with an additional root certificate to trust, for a gateway that you host yourself.",
    ),
    setting("pools.*.push.webpush.*.app", unset, "The app id that a web or UnifiedPush app registers with. One entry per app."),
    setting(
        "pools.*.push.webpush.*.vapid_key_file",
        unset,
        "PEM file with the P-256 private key whose public key the app subscribes with (VAPID, RFC 8292).",
    ),
    setting(
        "pools.*.push.webpush.*.contact",
        unset,
        "Contact address of this server's operator for push services: mailto:... or https://...",
    ),
    setting(
        "pools.*.push.webpush.*.authority_file",
        unset,
        "PEM file with an additional root certificate to trust, for a push service that you host yourself.",
    ),
    setting(
        "pools.*.push.webpush.*.allow_private",
        || value(WebpushConfig::default().allow_private),
        "Whether endpoints may be in private networks or on this machine. If so, anyone who can register a device can make the server send requests there.",
    ),
    setting(
        "pools.*.wakes.grace_ms",
        || value(WakeSettings::default().grace_ms),
        "Milliseconds that a device has to acknowledge a change before it is woken, at most 600000. A connected device acknowledges within 1500.",
    ),
    setting(
        "pools.*.wakes.apple_per_hour",
        || value(WakeSettings::default().apple_per_hour),
        "Silent wakes of an Apple device per hour. Apple throttles higher rates.",
    ),
    setting("pools.*.wakes.apple_burst", || value(WakeSettings::default().apple_burst), "How many of these may be sent in a burst."),
    setting(
        "pools.*.wakes.android_per_hour",
        || value(WakeSettings::default().android_per_hour),
        "Silent wakes of an Android device per hour.",
    ),
    setting("pools.*.wakes.android_burst", || value(WakeSettings::default().android_burst), "How many of these may be sent in a burst."),
    setting(
        "pools.*.wakes.web_per_hour",
        || value(WakeSettings::default().web_per_hour),
        "Wakes of a browser or UnifiedPush app per hour.",
    ),
    setting("pools.*.wakes.web_burst", || value(WakeSettings::default().web_burst), "How many of these may be sent in a burst."),
    setting(
        "pools.*.wakes.shown_per_hour",
        || value(WakeSettings::default().shown_per_hour),
        "Wakes per hour that are shown to the user once the silent ones are used up, for apps that allow it. 0: none.",
    ),
    setting(
        "pools.*.wakes.stale_s",
        || value(WakeSettings::default().stale_s),
        "Seconds since a device was last seen after which it is no longer woken.",
    ),
    setting(
        "pools.*.wakes.drop_s",
        || value(WakeSettings::default().drop_s),
        "Seconds since a device was last seen after which its push registration is deleted.",
    ),
    setting(
        "pools.*.wakes.debt_s",
        || value(WakeSettings::default().debt_s),
        "Seconds after which an unacknowledged change no longer wakes any device.",
    ),
    setting("pools.*.issuers.*.issuer", unset, "The iss claim of the issuer's tokens."),
    setting("pools.*.issuers.*.audience", unset, "A list of names; the aud claim of a token must contain one of them."),
    setting(
        "pools.*.issuers.*.jwks_url",
        unset,
        "The https URL of the issuer's public keys, a JWKS document. Set exactly one of jwks_url, keys_file and secret.",
    ),
    setting("pools.*.issuers.*.keys_file", unset, "A JWKS file, or a PEM file with one public key."),
    setting("pools.*.issuers.*.secret", unset, "A secret of at least 32 bytes that is shared with the issuer (HS256)."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_file_is_a_setting_or_a_table_that_contains_settings() {
        let setting = |name: &str| SETTINGS.iter().find(|setting| setting.name == name).copied().expect(name);
        assert!(setting("pools.*.limits.records").is_named(&["pools", "demo", "limits", "records"]));
        assert!(!setting("pools.*.limits.records").is_named(&["pools", "demo", "limits"]));
        assert!(setting("pools.*.limits.records").is_inside(&["pools", "demo"]));
        assert!(!setting("listen").is_inside(&["listen"]));
        assert_eq!(setting("store.cache_mib").variable(), "DRIFTLESS_STORE_CACHE_MIB");
        assert_eq!(setting("store.cache_mib").flag(), "store-cache-mib");
    }
}
