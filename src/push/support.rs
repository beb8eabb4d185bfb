//! What the tests of this room share.

use bytes::Bytes;
use driftless_protocol::DatasetName;
use http::HeaderMap;

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
