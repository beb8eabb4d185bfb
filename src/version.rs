//! What `driftless --version` prints: the version, the commit, and the formats that this program reads and writes.

use driftless::store::{BACKUP_FORMAT, ROW_FORMAT};
use driftless_protocol::Codec;

/// The version with the commit, if the build knew one.
pub fn short() -> String {
    match option_env!("BUILD_COMMIT") {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The same with the formats, a line each.
pub fn long() -> String {
    let protocols = Codec::ALL.map(|codec| codec.subprotocol()).join(", ");
    format!("{}\nrow format     {ROW_FORMAT}\nbackup format  {BACKUP_FORMAT}\nprotocol       {protocols}", short())
}
