//! The keys of one issuer, and which of them a token must have been signed with.

use std::sync::Arc;

use super::key::Key;

/// The keys of one issuer: at least one.
pub(super) struct KeySet(Vec<Arc<Key>>);

impl KeySet {
    /// A set of these keys, if there are any.
    pub(super) fn new(keys: Vec<Key>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self(keys.into_iter().map(Arc::new).collect()))
    }

    /// A set of one key.
    pub(super) fn of_one(key: Key) -> Self {
        Self(vec![Arc::new(key)])
    }

    /// The key for a token with this `kid`.
    ///
    /// A `kid` is compared with the keys' names and used for nothing else; the first of two keys with one name counts.
    /// Where there is one key only, a token without `kid` means it, and a key without name answers to any.
    pub(super) fn choose(&self, kid: Option<&str>) -> Option<&Arc<Key>> {
        match (kid, self.0.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), [only]) if only.kid.is_none() => Some(only),
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
        }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kids: &[Option<&str>]) -> KeySet {
        let keys = kids.iter().map(|kid| {
            let mut key = Key::shared("a secret for tests, of some length");
            key.kid = kid.map(str::to_owned);
            key
        });
        KeySet(keys.map(Arc::new).collect())
    }

    #[test]
    fn a_token_without_kid_needs_an_issuer_with_one_key() {
        assert!(set(&[Some("a")]).choose(None).is_some());
        assert!(set(&[Some("a"), Some("b")]).choose(None).is_none());
        assert!(set(&[None, Some("b")]).choose(None).is_none());
    }

    #[test]
    fn a_kid_means_the_key_of_that_name() {
        assert!(set(&[Some("a")]).choose(Some("b")).is_none());
        assert!(set(&[Some("a"), None]).choose(Some("b")).is_none());
        assert!(set(&[Some("a"), Some("b")]).choose(Some("b")).is_some());
        assert!(set(&[None]).choose(Some("b")).is_some());
    }
}
