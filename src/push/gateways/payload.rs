//! The payload of a wake: which dataset has a newer version. Never a record's content.
//!
//! All values are strings, because FCM carries nothing else. The fields are FCM's `data`, APNs' `data` beside `aps`, and Web Push's JSON:
//! `source` = `driftless`, `pool`, `identity`, `dataset`, `version`. With `cognito` the payload also has the five keys of Cognito's push sync
//! (`source` = `cognito-sync`, `identityPoolId`, `identityId`, `datasetName`, `syncCount`). Cognito's SDKs look for their own `source`, so that
//! value is used; clients of this server recognise a wake by `version`.

use std::borrow::Cow;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::DatasetName;
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    pub pool: String,
    pub identity: String,
    pub dataset: DatasetName,
    pub version: u64,
    /// The id of the pool, for a device that expects the keys of Cognito's push sync whatever the pool's payloads have.
    pub cognito_pool: Option<String>,
    /// What the user sees; `None`: the app is woken silently.
    pub alert: Option<AlertText>,
    /// When the gateway may drop the wake, in Unix seconds.
    pub expires_unix_s: u64,
}

/// The words of an alert: set in the pool's configuration, never taken from the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertText {
    pub title: String,
    pub text: String,
}

/// How a pool's payloads are made.
#[derive(Clone, Default)]
pub struct PayloadFormat {
    /// Whether payloads have the keys of Cognito's push sync too.
    pub cognito: bool,
    /// If set, each name of an identity or a dataset is replaced by the first half of its HMAC-SHA256 (RFC 2104) under this key, in 32
    /// hexadecimal digits.
    pub name_hash_key: Option<Vec<u8>>,
}

/// A wake in its pool's format.
pub(super) struct WakePayload<'a> {
    pub(super) wake: &'a Wake,
    fields: Vec<(&'static str, Cow<'a, str>)>,
    /// 32 base64url digits, the same for all wakes of a dataset: a gateway replaces an undelivered wake with a later one.
    pub(super) collapse_key: String,
}

impl<'a> WakePayload<'a> {
    pub(super) fn new(wake: &'a Wake, format: &PayloadFormat) -> WakePayload<'a> {
        let identity = format.visible_name(&wake.identity);
        let dataset = format.visible_name(wake.dataset.as_str());
        let collapse_key = collapse_key(&wake.pool, &identity, &dataset);
        let version: Cow<str> = Cow::Owned(wake.version.to_string());
        let pool: Cow<str> = Cow::Borrowed(wake.pool.as_str());
        let is_cognito = format.cognito || wake.cognito_pool.is_some();
        let source = if is_cognito { "cognito-sync" } else { "driftless" };
        let mut fields = vec![
            ("source", Cow::Borrowed(source)),
            ("pool", pool.clone()),
            ("identity", identity.clone()),
            ("dataset", dataset.clone()),
            ("version", version.clone()),
        ];
        if is_cognito {
            let id = wake.cognito_pool.as_deref().map_or(pool, Cow::Borrowed);
            fields.extend([("identityPoolId", id), ("identityId", identity), ("datasetName", dataset), ("syncCount", version)]);
        }
        WakePayload { wake, fields, collapse_key }
    }

    pub(super) fn data(&self) -> Map<String, Value> {
        self.fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_ref()))).collect()
    }

    /// How long the gateway should keep the wake, in whole seconds from now.
    pub(super) fn ttl_s(&self, now_ms: u64) -> u64 {
        self.wake.expires_unix_s.saturating_sub(now_ms / 1000).min(TTL_S)
    }
}

/// The longest that FCM keeps a message, in seconds: four weeks ("Lifespan of a message"). Push services keep none longer.
const TTL_S: u64 = 28 * 24 * 60 * 60;

impl PayloadFormat {
    fn visible_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.name_hash_key {
            None => Cow::Borrowed(name),
            Some(key) => {
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), name.as_bytes());
                Cow::Owned(tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
            }
        }
    }
}

impl std::fmt::Debug for PayloadFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadFormat").field("cognito", &self.cognito).field("name_hash_key", &self.name_hash_key.is_some()).finish()
    }
}

/// 24 of SHA-256's 32 bytes make the 32 digits that Web Push's `Topic` may have (RFC 8030 section 5.4); APNs allows 64. The hash is of the
/// names as the gateway sees them, so that hidden names stay hidden.
fn collapse_key(pool: &str, identity: &str, dataset: &str) -> String {
    let names = [pool, "\0", identity, "\0", dataset].concat();
    let hash = digest::digest(&digest::SHA256, names.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..24])
}

#[cfg(test)]
mod tests {
    use super::super::support::wake;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_payload_names_the_dataset_and_its_version() {
        let wake = wake();
        let payload = WakePayload::new(&wake, &PayloadFormat::default());
        let shape = json!({"source": "driftless", "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7"});
        assert_eq!(Value::from(payload.data()), shape);
        assert_eq!(payload.ttl_s(1_790_000_000_999), 3600);
        assert_eq!(payload.ttl_s(1_890_000_000_000), 0);
        assert_eq!(payload.ttl_s(0), TTL_S);
    }

    #[test]
    fn a_device_of_push_sync_gets_the_five_keys_with_its_pools_id_whatever_the_pool_says() {
        let wake = Wake { cognito_pool: Some("local:0123".to_owned()), ..wake() };
        let data = WakePayload::new(&wake, &PayloadFormat::default()).data();
        let keys = ["source", "identityPoolId", "identityId", "datasetName", "syncCount"].map(|name| data[name].as_str().expect("a text"));
        assert_eq!(keys, ["cognito-sync", "local:0123", "local:1", "settings", "7"]);
    }

    #[test]
    fn with_cognito_the_payload_has_its_five_keys() {
        let wake = wake();
        let payload = WakePayload::new(&wake, &PayloadFormat { cognito: true, name_hash_key: None });
        let shape = json!({
            "source": "cognito-sync", "identityPoolId": "main", "identityId": "local:1", "datasetName": "settings", "syncCount": "7",
            "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7",
        });
        assert_eq!(Value::from(payload.data()), shape);
    }

    #[test]
    fn hidden_names_are_keyed_hashes_in_every_field() {
        let wake = wake();
        let of = |key: &[u8]| PayloadFormat { cognito: true, name_hash_key: Some(key.to_vec()) };
        let (one, other) = (WakePayload::new(&wake, &of(b"one")), WakePayload::new(&wake, &of(b"other")));
        for name in ["identity", "identityId", "dataset", "datasetName"] {
            let hidden = one.data()[name].as_str().expect("a text").to_owned();
            assert!(hidden.len() == 32 && hidden.bytes().all(|b| b.is_ascii_hexdigit()), "{hidden}");
            assert_ne!(one.data()[name], other.data()[name]);
        }
        // RFC 4231 section 4.3.
        assert_eq!(of(b"Jefe").visible_name("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
        let plain = WakePayload::new(&wake, &PayloadFormat::default());
        assert!(one.collapse_key != other.collapse_key && one.collapse_key != plain.collapse_key);
        assert!(!format!("{:?}", of(b"secret")).contains("115"), "the key is not printed");
    }

    #[test]
    fn wakes_of_one_dataset_collapse_and_wakes_of_two_do_not() {
        let (mut later, mut elsewhere) = (wake(), wake());
        later.version = 8;
        elsewhere.dataset = DatasetName::new("other").expect("a name");
        let of = |wake: &Wake| WakePayload::new(wake, &PayloadFormat::default()).collapse_key;
        assert_eq!(of(&wake()), of(&later));
        assert_ne!(of(&wake()), of(&elsewhere));
        assert_eq!(of(&wake()).len(), 32);
    }
}
