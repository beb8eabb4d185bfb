//! What a wake says to the app: that something newer than it has exists, and where. Never what.
//!
//! All values are texts, because FCM carries nothing else. The fields are FCM's `data`, APNs' `data` beside `aps`, and Web Push's JSON:
//! `source` = `driftless`, `pool`, `identity`, `dataset`, `version`. In Cognito's form the five keys of its push sync stand beside them
//! (`source` = `cognito-sync`, `identityPoolId`, `identityId`, `datasetName`, `syncCount`): its SDKs look for their own `source`, so that one
//! wins, and a client of ours knows a wake by `version`.

use std::borrow::Cow;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::DatasetName;
use serde_json::{Map, Value};

/// One wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The pool's name.
    pub pool: String,
    /// Whose data is newer.
    pub identity: String,
    /// Which dataset.
    pub dataset: DatasetName,
    /// Its version.
    pub version: u64,
    /// What the user is shown; `None`: nothing, the app is woken silently.
    pub shown: Option<Shown>,
    /// When it is no longer worth delivering, in Unix seconds.
    pub expires_unix_s: u64,
}

/// What a user is shown: set by the pool, never taken from the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The title.
    pub title: String,
    /// The text below it.
    pub text: String,
}

/// How the wakes of a pool look.
#[derive(Clone, Default)]
pub struct Form {
    /// With the keys of Cognito's push sync.
    pub cognito: bool,
    /// The key under which the names of identities and datasets are hidden from gateways, if they are: each is replaced by the first half of
    /// its HMAC-SHA256 (RFC 2104), in 32 hexadecimal digits.
    pub hide: Option<Vec<u8>>,
}

/// A wake in its pool's form.
pub(super) struct Notice<'a> {
    pub(super) wake: &'a Wake,
    fields: Vec<(&'static str, Cow<'a, str>)>,
    /// 32 base64url digits, the same for all wakes of a dataset: a later one takes the place of one that was not delivered yet.
    pub(super) collapse: String,
}

impl<'a> Notice<'a> {
    pub(super) fn new(wake: &'a Wake, form: &Form) -> Notice<'a> {
        let identity = form.name(&wake.identity);
        let dataset = form.name(wake.dataset.as_str());
        let collapse = collapse(&wake.pool, &identity, &dataset);
        let version: Cow<str> = Cow::Owned(wake.version.to_string());
        let pool: Cow<str> = Cow::Borrowed(wake.pool.as_str());
        let source = if form.cognito { "cognito-sync" } else { "driftless" };
        let mut fields = vec![
            ("source", Cow::Borrowed(source)),
            ("pool", pool.clone()),
            ("identity", identity.clone()),
            ("dataset", dataset.clone()),
            ("version", version.clone()),
        ];
        if form.cognito {
            fields.extend([("identityPoolId", pool), ("identityId", identity), ("datasetName", dataset), ("syncCount", version)]);
        }
        Notice { wake, fields, collapse }
    }

    /// The fields as a JSON object.
    pub(super) fn data(&self) -> Map<String, Value> {
        self.fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_ref()))).collect()
    }

    /// How long it is worth keeping, in whole seconds from now.
    pub(super) fn ttl_s(&self, now_ms: u64) -> u64 {
        self.wake.expires_unix_s.saturating_sub(now_ms / 1000).min(TTL_S)
    }
}

/// The longest that FCM keeps a message, in seconds: four weeks ("Lifespan of a message"). Web Push's services keep none longer.
const TTL_S: u64 = 28 * 24 * 60 * 60;

impl Form {
    fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.hide {
            None => Cow::Borrowed(name),
            Some(key) => {
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), name.as_bytes());
                Cow::Owned(tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
            }
        }
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").field("cognito", &self.cognito).field("hide", &self.hide.is_some()).finish()
    }
}

/// 24 of SHA-256's 32 bytes make the 32 digits that Web Push's `Topic` may have (RFC 8030 section 5.4); APNs allows 64. It is made of the names
/// as the gateway sees them, so that hidden names stay hidden.
fn collapse(pool: &str, identity: &str, dataset: &str) -> String {
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
    fn a_notice_says_where_and_how_new() {
        let wake = wake();
        let notice = Notice::new(&wake, &Form::default());
        let shape = json!({"source": "driftless", "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7"});
        assert_eq!(Value::from(notice.data()), shape);
        assert_eq!(notice.ttl_s(1_790_000_000_999), 3600);
        assert_eq!(notice.ttl_s(1_890_000_000_000), 0);
        assert_eq!(notice.ttl_s(0), TTL_S);
    }

    #[test]
    fn in_cognitos_form_its_five_keys_are_there() {
        let wake = wake();
        let notice = Notice::new(&wake, &Form { cognito: true, hide: None });
        let shape = json!({
            "source": "cognito-sync", "identityPoolId": "main", "identityId": "local:1", "datasetName": "settings", "syncCount": "7",
            "pool": "main", "identity": "local:1", "dataset": "settings", "version": "7",
        });
        assert_eq!(Value::from(notice.data()), shape);
    }

    #[test]
    fn hidden_names_are_keyed_hashes_everywhere() {
        let wake = wake();
        let of = |key: &[u8]| Form { cognito: true, hide: Some(key.to_vec()) };
        let (one, other) = (Notice::new(&wake, &of(b"one")), Notice::new(&wake, &of(b"other")));
        for name in ["identity", "identityId", "dataset", "datasetName"] {
            let hidden = one.data()[name].as_str().expect("a text").to_owned();
            assert!(hidden.len() == 32 && hidden.bytes().all(|b| b.is_ascii_hexdigit()), "{hidden}");
            assert_ne!(one.data()[name], other.data()[name]);
        }
        // RFC 4231 section 4.3.
        assert_eq!(of(b"Jefe").name("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
        let plain = Notice::new(&wake, &Form::default());
        assert!(one.collapse != other.collapse && one.collapse != plain.collapse);
        assert!(!format!("{:?}", of(b"secret")).contains("115"), "the key is not shown");
    }

    #[test]
    fn wakes_of_one_dataset_collapse_and_of_two_do_not() {
        let (mut later, mut elsewhere) = (wake(), wake());
        later.version = 8;
        elsewhere.dataset = DatasetName::new("other").expect("a name");
        let of = |wake: &Wake| Notice::new(wake, &Form::default()).collapse;
        assert_eq!(of(&wake()), of(&later));
        assert_ne!(of(&wake()), of(&elsewhere));
        assert_eq!(of(&wake()).len(), 32);
    }
}
