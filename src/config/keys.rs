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
    Key { name: "store.cache_mib", default: "256", says: "Memory for the store's page cache, in MiB; it is aimed at, not promised." },
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
