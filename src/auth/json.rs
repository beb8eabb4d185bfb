//! Strict reading of a token's JSON: an object, in which a member that we read appears at most once and is never `null`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// A string that borrows from the JSON text unless it contains escapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct JsonText<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads an object; `None` for anything else. A derived `Deserialize` would also accept an array for a struct, which a token must not use.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    match json.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(json).ok(),
        Some(_) | None => None,
    }
}

/// For optional members: an absent member is `None`; `null` is passed to the type of the member, which rejects it.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
