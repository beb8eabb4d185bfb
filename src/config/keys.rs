//! Every setting, once: its name in the file, in the environment and among the flags, its default, and a sentence.

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file; `*` stands for a name of the operator's choice or for any entry of a list.
    pub name: &'static str,
    /// What stands there if nothing is said, as TOML; empty: nothing.
    pub default: &'static str,
    /// What it does.
    pub says: &'static str,
}

impl Key {
    /// Whether it is one value of the whole server, and so also a flag and a variable of the environment.
    pub fn is_single(&self) -> bool {
        !self.name.contains('*')
    }

    /// The flag's name: `store.cache_mib` is `store-cache-mib`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// The environment's name: `store.cache_mib` is `DRIFTLESS_STORE_CACHE_MIB`.
    pub fn variable(&self) -> String {
        format!("DRIFTLESS_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether a dotted name is this setting's.
    pub fn matches(&self, name: &[&str]) -> bool {
        let mut own = self.name.split('.');
        name.iter().all(|part| own.next().is_some_and(|one| one == "*" || one == *part)) && own.next().is_none()
    }

    /// Whether a dotted name is that of a table in which this setting stands.
    pub fn is_inside(&self, table: &[&str]) -> bool {
        let mut own = self.name.split('.');
        table.iter().all(|part| own.next().is_some_and(|one| one == "*" || one == *part)) && own.next().is_some()
    }
}

/// All settings, in the order in which they are printed.
pub const KEYS: &[Key] = &[
    Key { name: "listen", default: "\"127.0.0.1:7400\"", says: "Address and port to listen on; port 0 takes a free one." },
    Key { name: "data", default: "\"driftless-data\"", says: "Folder of the store; it is made if it is not there." },
    Key { name: "log", default: "\"info\"", says: "What is logged: error, warn, info, debug, trace, or a filter such as driftless=debug." },
    Key { name: "log_format", default: "\"text\"", says: "How it is logged: text for people, json for machines." },
    Key { name: "connections", default: "1000000", says: "Connections at once, sockets and requests together; more wait to be accepted." },
    Key {
        name: "drain_s",
        default: "10",
        says: "Seconds that a stopping server gives its sessions; devices are told to come back spread over as long.",
    },
    Key {
        name: "heartbeat_s",
        default: "60",
        says: "Seconds after which a quiet device says something, 10 to 1500; two missed ones end its session. 300 suits very many sessions.",
    },
    Key { name: "origins", default: "[]", says: "Web pages that may open a socket, such as https://app.example.com; empty: any." },
    Key { name: "tls.certificate", default: "", says: "PEM file with the server's certificate chain; with tls.key it turns TLS on." },
    Key { name: "tls.key", default: "", says: "PEM file with the certificate's private key." },
    Key {
        name: "admin.key",
        default: "",
        says: "The operator key, a secret of 32 characters at least: backup, history, export, erase ask for it; without it nobody may.",
    },
    Key {
        name: "store.engine",
        default: "\"sled\"",
        says: "What keeps the rows: sled, or redb (smaller, faster when much is written for long, and opening it reads all of it). A folder stays with the one that made it.",
    },
    Key {
        name: "store.cache_mib",
        default: "256",
        says: "The store's page cache, in MiB of pages as they are on disk. In memory they take two to three times as much.",
    },
    Key {
        name: "store.journal_mib",
        default: "8",
        says: "What is committed before it is moved into the tree of the engine, in MiB; in a rush up to four times as much, and as much again on its way, in memory and on disk.",
    },
    Key {
        name: "store.reserve_mib",
        default: "64",
        says: "Disk space that stays free, in MiB: writes that would use it are refused, reads go on. 0 turns it off.",
    },
    Key { name: "pools.*.region", default: "\"local\"", says: "First part of the pool's identities, region:uuid." },
    Key {
        name: "pools.*.conflicts",
        default: "\"reject\"",
        says: "What happens when two devices changed a record unknown to each other: reject or last-writer-wins.",
    },
    Key { name: "pools.*.datasets.*", default: "", says: "The same for one dataset by its name." },
    Key { name: "pools.*.limits.key_bytes", default: "1024", says: "Bytes of a key, at most 1024." },
    Key { name: "pools.*.limits.value_bytes", default: "1048576", says: "Bytes of a value in MessagePack, at most 1048576." },
    Key { name: "pools.*.limits.changes_per_patch", default: "1024", says: "Changes in one patch, at most 1024." },
    Key { name: "pools.*.limits.records", default: "10000", says: "Live records in a dataset, at most 65536." },
    Key { name: "pools.*.limits.dataset_bytes", default: "16777216", says: "Bytes of keys and values in a dataset." },
    Key { name: "pools.*.limits.datasets", default: "200", says: "Datasets of an identity, and open in one session." },
    Key { name: "pools.*.limits.devices", default: "100", says: "Devices of an identity." },
    Key {
        name: "pools.*.keep.tombstone_s",
        default: "2592000",
        says: "Seconds that a removed key is remembered for devices that have not heard of it; who comes later gets everything anew.",
    },
    Key { name: "pools.*.keep.history_s", default: "604800", says: "Seconds that a dataset's earlier versions can be seen and restored." },
    Key { name: "pools.*.keep.history_versions", default: "1000", says: "Earlier versions of a dataset that are kept at most; 0: none." },
    Key { name: "pools.*.keep.history_bytes", default: "16777216", says: "Bytes of earlier versions of a dataset that are kept at most." },
    Key {
        name: "pools.*.push.cognito",
        default: "false",
        says: "Whether wakes have the keys of Cognito's push sync, with source cognito-sync.",
    },
    Key {
        name: "pools.*.push.hide_key",
        default: "",
        says: "A secret of 16 bytes at least: with it gateways are shown keyed hashes instead of the names of identities and datasets.",
    },
    Key { name: "pools.*.push.title", default: "\"\"", says: "Title of a wake that is shown to the user; never content." },
    Key { name: "pools.*.push.text", default: "\"\"", says: "Its text." },
    Key { name: "pools.*.push.apns.*.app", default: "", says: "APNs' topic: the app's bundle id. One entry for each app." },
    Key { name: "pools.*.push.apns.*.key_file", default: "", says: "The .p8 file of a key from Apple, with key_id and team_id." },
    Key { name: "pools.*.push.apns.*.key_id", default: "", says: "That key's id." },
    Key { name: "pools.*.push.apns.*.team_id", default: "", says: "The developer team's id." },
    Key {
        name: "pools.*.push.apns.*.certificate_file",
        default: "",
        says: "Instead of a key: a PEM file with a certificate for the topic, and its key.",
    },
    Key { name: "pools.*.push.apns.*.server", default: "\"https://api.push.apple.com\"", says: "Where wakes go." },
    Key {
        name: "pools.*.push.apns.*.sandbox_server",
        default: "\"https://api.sandbox.push.apple.com\"",
        says: "Where they go for builds that a developer signed.",
    },
    Key {
        name: "pools.*.push.apns.*.authority_file",
        default: "",
        says: "A PEM file with one more root to trust, for a gateway of one's own.",
    },
    Key { name: "pools.*.push.fcm.*.app", default: "", says: "The name by which an Android app registers. One entry for each app." },
    Key {
        name: "pools.*.push.fcm.*.service_account_file",
        default: "",
        says: "The JSON file of a Google service account that may send messages.",
    },
    Key { name: "pools.*.push.fcm.*.server", default: "\"https://fcm.googleapis.com\"", says: "Where wakes go." },
    Key {
        name: "pools.*.push.fcm.*.authority_file",
        default: "",
        says: "A PEM file with one more root to trust, for a gateway of one's own.",
    },
    Key { name: "pools.*.push.webpush.*.app", default: "", says: "The name by which a web or UnifiedPush app registers." },
    Key {
        name: "pools.*.push.webpush.*.vapid_key_file",
        default: "",
        says: "A PEM file with the private key on P-256 whose public one the app subscribes with (RFC 8292).",
    },
    Key {
        name: "pools.*.push.webpush.*.contact",
        default: "",
        says: "Whom a push service may write to about this server: mailto:... or https://...",
    },
    Key {
        name: "pools.*.push.webpush.*.authority_file",
        default: "",
        says: "A PEM file with one more root to trust, for push services of one's own.",
    },
    Key {
        name: "pools.*.push.webpush.*.allow_private",
        default: "false",
        says: "Whether endpoints may be in private networks and on this machine. Whoever may register then makes the server speak to them.",
    },
    Key {
        name: "pools.*.wakes.grace_ms",
        default: "3000",
        says: "Milliseconds that a device has to acknowledge a change before it is woken; sockets acknowledge within 1500.",
    },
    Key { name: "pools.*.wakes.apple_per_hour", default: "3", says: "Silent wakes of an Apple device in an hour; Apple holds back more." },
    Key { name: "pools.*.wakes.apple_burst", default: "1", says: "How many of them may come at once." },
    Key { name: "pools.*.wakes.android_per_hour", default: "3", says: "Silent wakes of an Android device in an hour." },
    Key { name: "pools.*.wakes.android_burst", default: "1", says: "How many of them may come at once." },
    Key { name: "pools.*.wakes.web_per_hour", default: "12", says: "Wakes of a browser or UnifiedPush app in an hour." },
    Key { name: "pools.*.wakes.web_burst", default: "2", says: "How many of them may come at once." },
    Key {
        name: "pools.*.wakes.shown_per_hour",
        default: "1",
        says: "Wakes in an hour that are shown to the user when no silent one is left, of apps that allow it; 0: none.",
    },
    Key {
        name: "pools.*.wakes.stale_s",
        default: "2592000",
        says: "Seconds after which a device that was not seen is not woken any more.",
    },
    Key { name: "pools.*.wakes.drop_s", default: "23328000", says: "Seconds after which its registration goes." },
    Key {
        name: "pools.*.wakes.debt_s",
        default: "604800",
        says: "Seconds after which a change that was not acknowledged wakes nobody any more.",
    },
    Key { name: "pools.*.issuers.*.issuer", default: "", says: "The iss of the tokens that this issuer signs." },
    Key { name: "pools.*.issuers.*.audience", default: "", says: "The aud that its tokens must have, one of these." },
    Key {
        name: "pools.*.issuers.*.jwks_url",
        default: "",
        says: "Where its public keys are, as a JWKS over https; one of jwks_url, keys_file and secret.",
    },
    Key { name: "pools.*.issuers.*.keys_file", default: "", says: "A JWKS file, or a PEM file with one public key." },
    Key { name: "pools.*.issuers.*.secret", default: "", says: "A secret shared with the issuer, of 32 bytes at least (HS256)." },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_and_of_settings_are_told_apart() {
        let key = |name: &str| KEYS.iter().find(|key| key.name == name).copied().expect(name);
        assert!(key("pools.*.limits.records").matches(&["pools", "demo", "limits", "records"]));
        assert!(!key("pools.*.limits.records").matches(&["pools", "demo", "limits"]));
        assert!(key("pools.*.limits.records").is_inside(&["pools", "demo"]));
        assert!(!key("listen").is_inside(&["listen"]));
        assert_eq!(key("store.cache_mib").variable(), "DRIFTLESS_STORE_CACHE_MIB");
        assert_eq!(key("store.cache_mib").flag(), "store-cache-mib");
    }
}
