//! The keys of one issuer, and the choice of the one that a token must be signed with.

use std::sync::Arc;

use super::key::VerificationKey;

/// The keys of one issuer; never empty.
pub(super) struct KeySet(Vec<Arc<VerificationKey>>);

impl KeySet {
    /// A set of these keys; `None` if there are none.
    pub(super) fn new(keys: Vec<VerificationKey>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self(keys.into_iter().map(Arc::new).collect()))
    }

    pub(super) fn of_one(key: VerificationKey) -> Self {
        Self(vec![Arc::new(key)])
    }

    /// The key for a token with this `kid`.
    ///
    /// The `kid` is compared with the `kid`s of the keys and used for nothing else; of two keys with the same `kid` the first is chosen.
    /// If the set has only one key, a token without `kid` is verified with it, and if that key has no `kid`, any token is.
    pub(super) fn choose(&self, kid: Option<&str>) -> Option<&Arc<VerificationKey>> {
        match (kid, self.0.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), [only]) if only.kid.is_none() => Some(only),
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kids: &[Option<&str>]) -> KeySet {
        let keys = kids.iter().map(|kid| {
            let mut key = VerificationKey::shared("a secret for tests, of some length");
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
    fn a_kid_chooses_the_key_with_that_kid() {
        assert!(set(&[Some("a")]).choose(Some("b")).is_none());
        assert!(set(&[Some("a"), None]).choose(Some("b")).is_none());
        assert!(set(&[Some("a"), Some("b")]).choose(Some("b")).is_some());
        assert!(set(&[None]).choose(Some("b")).is_some());
    }
}
