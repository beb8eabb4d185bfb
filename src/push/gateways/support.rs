//! What the tests of this room share.

use std::sync::Arc;

use bytes::Bytes;
use driftless_protocol::DatasetName;
use http::HeaderMap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::answer::Answer;
use super::notice::{Shown, Wake};

/// When the tests' wakes are sent, in Unix milliseconds.
pub(super) const NOW_MS: u64 = 1_790_000_000_000;

/// A silent wake that expires an hour later.
pub(super) fn wake() -> Wake {
    Wake {
        pool: "main".to_owned(),
        identity: "local:1".to_owned(),
        dataset: DatasetName::new("settings").expect("a name"),
        version: 7,
        shown: None,
        expires_unix_s: NOW_MS / 1000 + 3600,
    }
}

/// The same, shown to the user.
pub(super) fn shown_wake() -> Wake {
    Wake { shown: Some(Shown { title: "Notes".to_owned(), text: "Something is new".to_owned() }), ..wake() }
}

/// What a gateway answers.
pub(super) fn answer(status: u16, body: &str) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// The same, with a header.
pub(super) fn answer_with(status: u16, header: (&'static str, &str), body: &str) -> Answer {
    let mut answer = answer(status, body);
    answer.headers.insert(header.0, header.1.parse().expect("a header"));
    answer
}

/// TLS for what is asked in plain only.
pub(super) fn trusting_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
