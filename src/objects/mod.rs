//! Objects in buckets: S3's wire on the store's rows, with the bytes in files beside it.
//!
//! - A file is named by a random id. The key of an object never becomes a path.
//! - The bytes are on disk before the row that names them is committed, in one act that releases what the object had before.
//! - Files that no row names are deleted at once where that is known, and otherwise by the sweep, at a start and while the server runs.
//! - Who may do what is asked of `access` for each operation after its input was parsed: also for the source of a copy and for each key that is deleted.

mod blob_folder;
mod blob_reader;
mod blob_writer;
mod listing;
mod s3;
mod service;
mod sweep;

pub use s3::{OnAuthenticated, S3Endpoint, preflight_headers};
pub use service::Objects;
pub use sweep::BlobSweep;
