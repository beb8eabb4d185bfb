//! The exit codes of all commands. docs/commands.md has the same table.

/// Why a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandExit {
    /// The command did what was asked, or the reader of its output closed it.
    Done = 0,
    /// What was asked for does not exist or did not happen, or a file cannot be read or written.
    Failed = 1,
    /// An argument, a variable or the configuration is invalid.
    Usage = 2,
    /// The server refused the request.
    Refused = 3,
    /// Another device wrote first.
    Conflict = 4,
    /// No server was reached, or no session was possible.
    NoServer = 5,
}

impl CommandExit {
    pub fn code(self) -> u8 {
        self as u8
    }
}
