//! The keys of a request while statements are compared with it, and the comparisons that are left for it.

use std::cell::Cell;

use crate::access::RequestContext;

/// Comparisons of characters that one request may take, over all patterns of its policies. Ordinary patterns differ from a text within their first
/// characters: eleven managed policies of the largest size take less than a tenth of this. Patterns that are written to be slow multiply the lengths of
/// pattern and text, and other requests wait for a core meanwhile: this many take some ten milliseconds.
pub(in crate::access) const COMPARISONS: usize = 4_000_000;

/// The context keys, and the work that is left.
pub(in crate::access) struct MatchContext<'a> {
    keys: &'a RequestContext,
    left: Cell<usize>,
}

impl<'a> MatchContext<'a> {
    pub(in crate::access) fn new(keys: &'a RequestContext) -> MatchContext<'a> {
        MatchContext { keys, left: Cell::new(COMPARISONS) }
    }

    pub(super) fn values(&self, key: &str) -> &'a [String] {
        self.keys.values(key)
    }

    pub(super) fn variable(&self, key: &str) -> Option<&'a str> {
        self.keys.variable(key)
    }

    pub(super) fn left(&self) -> usize {
        self.left.get()
    }

    pub(super) fn spend(&self, comparisons: usize) {
        self.left.set(self.left.get().saturating_sub(comparisons));
    }

    /// The work is used up: what was compared since says nothing, and the request is to be denied.
    pub(in crate::access) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }
}
