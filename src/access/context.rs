//! The context keys of a request and their values.

use std::collections::BTreeMap;

/// The context keys of a request. Names of keys are compared without regard to case ("IAM JSON policy elements: Condition"), values as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext(BTreeMap<String, Vec<String>>);

impl RequestContext {
    /// Sets a key to one value; an earlier value of it is replaced.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_all(key, [value.into()]);
    }

    /// Sets a key to several values, or to none, which is the same as a key that is absent.
    pub fn set_all(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        self.0.insert(key.to_ascii_lowercase(), values.into_iter().collect());
    }

    /// Sets all keys of another context; they replace equal ones.
    pub fn extend(&mut self, other: RequestContext) {
        self.0.extend(other.0);
    }

    /// The values of a key, empty if it is absent. The key is in lower case.
    pub(super) fn values(&self, lower_case_key: &str) -> &[String] {
        self.0.get(lower_case_key).map_or(&[], Vec::as_slice)
    }

    /// What a policy variable stands for: the value of a key that has exactly one. "You cannot use a multivalued context key as a policy variable."
    pub(super) fn variable(&self, lower_case_key: &str) -> Option<&str> {
        match self.values(lower_case_key) {
            [value] => Some(value),
            _ => None,
        }
    }
}
