//! What is sent.

use std::fmt;

/// A message to one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub way: MessageWay,
    /// The address or the number.
    pub to: String,
    pub subject: String,
    pub body: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("way", &self.way).finish_non_exhaustive()
    }
}

/// How a message reaches a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageWay {
    Email,
    Sms,
}
