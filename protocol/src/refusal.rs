//! Why a request was not granted. The socket lives on.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The `code` of a `refused` message; what a client does on each stands in `PROTOCOL.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum RefusalCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
            /// A code of a newer server: its `message` says what happened.
            #[serde(other, rename = "unknown_code")]
            Unknown,
        }

        impl RefusalCode {
            /// Every code of this version, in the order of `PROTOCOL.md`.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$variant,)*];

            /// The code as it travels.
            pub fn as_str(self) -> &'static str {
                match self { $(RefusalCode::$variant => $text,)* RefusalCode::Unknown => "unknown_code" }
            }
        }
    };
}

refusals! {
    /// The message's `type` is none that this server knows.
    UnknownType = "unknown_type",
    /// A field is missing, of the wrong type, or out of its range.
    BadRequest = "bad_request",
    /// A dataset, key or device is not named as names must be.
    BadName = "bad_name",
    /// A second hello on a session.
    HelloAgain = "hello_again",
    /// The dataset is not open in this session.
    NotOpen = "not_open",
    /// A value is larger than the pool allows.
    TooLarge = "too_large",
    /// The patch has no change or more changes than the pool allows.
    TooManyChanges = "too_many_changes",
    /// The dataset would hold more records than the pool allows.
    TooManyRecords = "too_many_records",
    /// The dataset would hold more bytes than the pool allows.
    DatasetFull = "dataset_full",
    /// The identity would have, or the session would open, more datasets than the pool allows.
    TooManyDatasets = "too_many_datasets",
    /// The operation does not fit the record's value, or its operand does not fit the operation.
    WrongType = "wrong_type",
    /// The patch number was used for another patch.
    PatchReused = "patch_reused",
    /// The patch number is so old that its result is no longer known.
    PatchExpired = "patch_expired",
    /// The renewed token was refused; the old one holds until it expires.
    TokenRefused = "token_refused",
    /// The renewed token leads to another identity.
    OtherIdentity = "other_identity",
    /// An acknowledgement of a version that does not exist.
    AheadOfServer = "ahead_of_server",
    /// What is registered for push is no token or subscription of its provider.
    BadPushToken = "bad_push_token",
    /// The pool has no credential for this app and provider.
    UnknownApp = "unknown_app",
    /// The store cannot take or give it now. It may be sent again, with the same patch number.
    Unavailable = "unavailable",
    /// The store takes no writes now: its disk is full or fails. It may be sent again, with the same patch number.
    ReadOnly = "read_only",
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
