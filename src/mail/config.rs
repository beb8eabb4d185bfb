//! Where messages go.

use std::path::PathBuf;

/// Where messages to users go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailConfig {
    /// Into a folder.
    OutboxFolder(PathBuf),
}
