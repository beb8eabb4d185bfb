//! What the fuzz targets in `fuzz/` call: each function takes any bytes and panics if an invariant does not hold.
//!
//! It is part of the library only with the feature `fuzzing`, and of its unit tests, which try the corpus of each target.

mod codecs;
mod input;
mod merging;

pub use codecs::check_codecs;
pub use merging::check_merge;

pub use crate::store::fuzzing::{check_journal, check_rows};

#[cfg(test)]
mod tests;
