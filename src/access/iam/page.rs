//! Pages of lists.

/// Entries of one page of a list at most ("MaxItems": 1 to 1,000), and without a wish.
pub const MOST_ITEMS: usize = 1000;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamPage<T> {
    pub items: Vec<T>,
    /// After which entry the next page begins; `None`: this is the last one.
    pub marker: Option<String>,
}
