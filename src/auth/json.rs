//! Reading a token's JSON strictly: an object, in which a member that we read appears once and is never `null`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// A string that borrows from the JSON text where it has no escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads an object; `None` for anything else. That derived readers take arrays for structs is not wanted here.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    match json.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(json).ok(),
        Some(_) | None => None,
    }
}

/// For optional members: an absent one is `None`, and `null` is handed to the member's own type, which refuses it.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
