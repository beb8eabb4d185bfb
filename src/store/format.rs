//! The format of the store's rows: which one this version reads, and the refusal of any other.
//!
//! The format is a row of its own (`m format`). There is no migration yet, because no release has written another format than today's.
//!
//! **Where the first migration will stand.** A release that changes keys or rows raises [`ROW_FORMAT`], and [`check_format`] becomes the
//! place that runs the steps from an older format, in order, before the store opens. Such a migration
//! 1. reads every row that its steps will read, so that damage is reported while the older version can still open the store;
//! 2. commits the new format together with the row `m unfinished`, which holds the format that it comes from: from there on an older
//!    version refuses the store;
//! 3. runs steps of bounded batches, each of which can be repeated after a crash, since a store with `m unfinished` has the format
//!    that this row names;
//! 4. deletes `m unfinished`.

use super::engine::{Bytes, Engine};
use super::rows;
use super::{StoreError, keys};

/// The format that this version reads and writes. Lower ones are of versions from before the first release.
pub const ROW_FORMAT: u32 = 7;

/// The name of the row that says from which format an interrupted migration comes. This version only reads it,
/// to refuse such a store; the first migration will write it.
const UNFINISHED: &str = "unfinished";

/// The format of an open store; `None`: the store is new. A store in the middle of a migration has the format that it comes from, unless a
/// newer version began the migration.
pub(super) fn read_format(engine: &dyn Engine) -> Result<Option<u32>, StoreError> {
    let read = |name| engine.get(&keys::meta(name))?.map(|row| rows::decode::<u32>(&row)).transpose();
    let (format, unfinished) = (read("format")?, read(UNFINISHED)?);
    match (unfinished.filter(|_| format <= Some(ROW_FORMAT)).or(format), engine.get(&keys::meta("epoch"))?) {
        (Some(format), _) => Ok(Some(format)),
        // The store has an epoch, so it is not new, and it is older than the row that holds the format.
        (None, Some(_)) => Ok(Some(1)),
        (None, None) => Ok(None),
    }
}

/// The row that says which format the store has.
pub(super) fn format_row(format: u32) -> Result<(Bytes, Option<Bytes>), StoreError> {
    Ok((keys::meta("format"), Some(rows::encode(&format)?)))
}

/// Refuses a store of another format: this version would misread its rows.
pub(super) fn check_format(found: u32) -> Result<(), StoreError> {
    mismatch(found).map_or(Ok(()), |why| Err(StoreError::Open(format!("its {why}"))))
}

/// What is wrong with rows of another format, and which version can read them.
pub(super) fn mismatch(found: u32) -> Option<String> {
    let reader = match found {
        ROW_FORMAT => return None,
        newer if newer > ROW_FORMAT => "use the driftless that wrote it, or a newer one",
        _ => "only the driftless that wrote it can read it, a version from before the first release",
    };
    Some(format!("format is {found}, this driftless reads format {ROW_FORMAT}: {reader}"))
}
