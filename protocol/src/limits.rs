//! The bounds of the protocol, each with its reason.
//!
//! Bounds that a pool may lower or raise are sent in `welcome` as [`crate::Limits`]; the constants here are their defaults.

/// The largest message that either side sends, in bytes. A patch of one value of the maximal size fits, with its names.
pub const MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// The largest `hello`, in bytes: a token of the maximal size, a device's id and a client name. It is small because the sender is not authenticated yet.
pub const HELLO_BYTES: usize = 32 * 1024;

/// The size at which pages of `changes` are split, in bytes, so that a small device never has to hold a large message.
pub const PAGE_BYTES: usize = 64 * 1024;

/// The most bytes of UTF-8 in a record's key, as in Cognito.
pub const KEY_BYTES: usize = 1024;

/// The most bytes of a value in MessagePack.
pub const VALUE_BYTES: usize = 1024 * 1024;

/// The most bytes of a value's JSON text, which can be six times as long as its MessagePack. A value of this size still fits a message together
/// with its record and a page of other records that are as long.
pub const VALUE_JSON_BYTES: usize = MESSAGE_BYTES - 8 * PAGE_BYTES;

/// The most changes in one patch: a patch is decided as a whole, on the writer's thread.
pub const CHANGES_PER_PATCH: usize = 1024;

/// The most live records of a dataset.
pub const RECORDS_PER_DATASET: u64 = 10_000;

/// The most bytes of live keys and values of a dataset, values in MessagePack.
pub const DATASET_BYTES: u64 = 16 * 1024 * 1024;

/// The most datasets of an identity, and so of the datasets that one session may open.
pub const DATASETS_PER_IDENTITY: usize = 200;

/// The most devices of an identity.
pub const DEVICES_PER_IDENTITY: usize = 100;

/// How many results of a device's patches the server remembers, and so how many patches may be unanswered at once.
pub const PATCH_WINDOW: u64 = 64;

/// The most levels of lists and maps in a value. Decoding is recursive, so this bounds the stack.
pub const VALUE_DEPTH: usize = 32;

/// The most levels of a whole message: those of a value, and those of the message around it.
pub const MESSAGE_DEPTH: usize = VALUE_DEPTH + 8;

/// The most bytes of a dataset's name, as in Cognito.
pub const DATASET_NAME_BYTES: usize = 128;

/// The most bytes of a device's id, as in Cognito.
pub const DEVICE_ID_BYTES: usize = 256;

/// The most bytes of an epoch.
pub const EPOCH_BYTES: usize = 64;

/// The most bytes of `client`, the library's name and version in `hello`.
pub const CLIENT_BYTES: usize = 128;

/// The most bytes of a `bye`'s message: a few sentences, because the peer may not be authenticated.
pub const BYE_MESSAGE_BYTES: usize = 512;

/// Patch numbers and versions are below 2^53, so that JavaScript represents them exactly.
pub const NUMBER_BOUND: u64 = 1 << 53;

/// The first character of the ids of the server's own writers, such as `~operator`, which restores versions. The server accepts no device with such an id.
pub const RESERVED_DEVICE_PREFIX: char = '~';

/// The most logins that lead to one identity. A person has one at each of a few issuers, and that of a guest for each installation of an app.
pub const LOGINS_PER_IDENTITY: usize = 256;

/// How many linked logins `welcome` and `linked` name, the newest. A person links a few in years.
pub const LINKED_LOGINS: usize = 16;

/// How many merged identities `welcome` names, the newest. A guest becomes a user once on each of a person's devices.
pub const MERGED_IDENTITIES: usize = 64;

/// The most bytes of a push token: the length of the longest known ones, and the maximum that Google promises.
pub const PUSH_TOKEN_BYTES: usize = 4096;

/// The most bytes of an APNs device token. It has 32 today; Apple's documentation says not to rely on that.
pub const APNS_TOKEN_BYTES: usize = 200;

/// The most bytes of a Web Push endpoint. Endpoints of the large push services have 100 to 500.
pub const ENDPOINT_BYTES: usize = 2048;

/// The most bytes of an app's id in a push registration. A bundle id of Apple's has at most 155.
pub const APP_BYTES: usize = 256;
