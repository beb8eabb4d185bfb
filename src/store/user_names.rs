//! What the keys of a user's rows name beside the user.

use serde::{Deserialize, Serialize};

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodeUse {
    SignUp,
    Password,
    Email,
    Phone,
}

impl CodeUse {
    pub const ALL: [CodeUse; 4] = [CodeUse::SignUp, CodeUse::Password, CodeUse::Email, CodeUse::Phone];

    /// The name in the key of the row.
    pub fn name(self) -> &'static str {
        match self {
            CodeUse::SignUp => "signup",
            CodeUse::Password => "password",
            CodeUse::Email => "email",
            CodeUse::Phone => "phone",
        }
    }
}

/// Another name of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasName<'a> {
    /// `sub`, `email`, `phone_number` or `preferred_username`.
    pub kind: &'a str,
    pub value: &'a str,
}
