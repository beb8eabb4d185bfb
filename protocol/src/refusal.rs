//! Why the server refuses a request. The socket stays open.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The `code` of a `refused` message; `PROTOCOL.md` §4 says what a client does after each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum RefusalCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
            /// A code of a newer server, unknown to this library; the refusal's `message` says what happened.
            #[serde(other, rename = "unknown_code")]
            Unknown,
        }

        impl RefusalCode {
            /// Every code of this version, in the order of `PROTOCOL.md`.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$variant,)*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(RefusalCode::$variant => $text,)* RefusalCode::Unknown => "unknown_code" }
            }
        }
    };
}

refusals! {
    /// The server does not know the message's `type`.
    UnknownType = "unknown_type",
    /// A field is missing, of the wrong type, or out of its range.
    BadRequest = "bad_request",
    /// The name of a dataset, a key or a device's id is invalid.
    BadName = "bad_name",
    /// The session has received `hello` already.
    HelloAgain = "hello_again",
    /// The dataset is not open in this session.
    NotOpen = "not_open",
    /// A key or a value is larger than the pool allows.
    TooLarge = "too_large",
    /// The patch has no change, or more changes than the pool allows.
    TooManyChanges = "too_many_changes",
    /// The dataset would hold more records than the pool allows.
    TooManyRecords = "too_many_records",
    /// The dataset would hold more bytes than the pool allows.
    DatasetFull = "dataset_full",
    /// The identity would have, or the session would open, more datasets than the pool allows.
    TooManyDatasets = "too_many_datasets",
    /// The operation does not fit the record's value, or the operand does not fit the operation.
    WrongType = "wrong_type",
    /// The patch number belongs to another patch.
    PatchReused = "patch_reused",
    /// The patch number is so old that the server has forgotten its result.
    PatchExpired = "patch_expired",
    /// The token of a renewal was rejected; the session's present token stays valid until it expires.
    TokenRefused = "token_refused",
    /// The token of a renewal leads to another identity.
    OtherIdentity = "other_identity",
    /// The acknowledged version does not exist.
    AheadOfServer = "ahead_of_server",
    /// The registration has no valid token or subscription of its provider.
    BadPushToken = "bad_push_token",
    /// The pool has no push credential for this provider and app.
    UnknownApp = "unknown_app",
    /// The store cannot handle the request now. The device may send it again, with the same patch number.
    Unavailable = "unavailable",
    /// The store is read-only now: its disk is full or fails. The device may send the request again, with the same patch number.
    ReadOnly = "read_only",
    /// Over HTTP: the identity has as many devices as its pool allows.
    TooManyDevices = "too_many_devices",
    /// Over HTTP: the device was revoked.
    Revoked = "revoked",
    /// Over HTTP: a link needs tokens whose user has signed in a moment ago.
    TokenNotFresh = "token_not_fresh",
    /// Over HTTP: the request is one of a web page whose origin the pool does not allow.
    OriginNotAllowed = "origin_not_allowed",
    /// Over HTTP: there is no such path.
    NotFound = "not_found",
    /// Over HTTP, in answer to an operator: what the request names does not exist.
    DoesNotExist = "does_not_exist",
    /// Over HTTP: the path does not support the method.
    MethodNotAllowed = "method_not_allowed",
    /// Over HTTP: the body of the request did not arrive in time.
    Timeout = "timeout",
    /// Over HTTP: the client's address or the pool has had its share of requests, tokens or bytes; `Retry-After` says when to come back.
    TooManyRequests = "too_many_requests",
    /// Over HTTP, in answer to an operator: the present state does not permit the request.
    NotPossible = "not_possible",
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
