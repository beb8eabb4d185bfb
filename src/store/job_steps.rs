//! How much one step of a background job does: it takes the writer as long as a few writes.

/// Rows after which a step ends.
pub(super) const STEP_ROWS: usize = 1024;

/// Bytes of rows after which a step ends.
pub(super) const STEP_BYTES: usize = 1024 * 1024;
