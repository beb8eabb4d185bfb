//! Bounds of the wire that do not depend on a pool, each with its reason.
//!
//! Bounds that a pool may lower or raise travel in `welcome` as [`crate::Limits`]; these are their defaults too.

/// The largest message either side sends. A patch of one value at its bound fits with room for its names.
pub const MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// The largest first message: a token at its bound, a device and a client name. Nobody is known yet, so it is small.
pub const HELLO_BYTES: usize = 32 * 1024;

/// Pages of `changes` are cut at about this size, so that a small device never holds a large message.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Bytes of UTF-8 in a record's key, as Cognito allows.
pub const KEY_BYTES: usize = 1024;

/// Bytes of a value in MessagePack.
pub const VALUE_BYTES: usize = 1024 * 1024;

/// Bytes of a value's JSON text. What is small in MessagePack can be six times as long in JSON; with its record, and a page of others as
/// long, it still fits a message.
pub const VALUE_JSON_BYTES: usize = MESSAGE_BYTES - 8 * PAGE_BYTES;

/// Changes in one patch: a patch is decided as a whole, on one thread.
pub const CHANGES_PER_PATCH: usize = 1024;

/// Live records of a dataset.
pub const RECORDS_PER_DATASET: u64 = 10_000;

/// Bytes of all live keys and values of a dataset.
pub const DATASET_BYTES: u64 = 16 * 1024 * 1024;

/// Datasets of an identity, and so also datasets that one session may have open.
pub const DATASETS_PER_IDENTITY: usize = 200;

/// Devices of an identity.
pub const DEVICES_PER_IDENTITY: usize = 100;

/// Patches of a device whose results are remembered, and so how many may be on their way at once.
pub const PATCH_WINDOW: u64 = 64;

/// Levels of lists and maps inside a value. Decoding recurses, so the stack depends on it.
pub const VALUE_DEPTH: usize = 32;

/// Levels of a whole message: the value's own, and those of the message around it.
pub const MESSAGE_DEPTH: usize = VALUE_DEPTH + 8;

/// Bytes of a dataset's name, as Cognito allows.
pub const DATASET_NAME_BYTES: usize = 128;

/// Bytes of a device's id, as Cognito allows.
pub const DEVICE_ID_BYTES: usize = 256;

/// Bytes of an epoch's text.
pub const EPOCH_BYTES: usize = 64;

/// Bytes of `client`, the name and version of the library that says hello.
pub const CLIENT_BYTES: usize = 128;

/// Patch numbers and versions stay below 2^53, so that JavaScript counts them exactly.
pub const NUMBER_BOUND: u64 = 1 << 53;

/// What ids of the server's own writers begin with, such as `~operator`, who winds a dataset back. No device may come in under such an id.
pub const RESERVED_DEVICE_PREFIX: char = '~';

/// Identities that `welcome` names as merged into this one: the newest. A guest becomes a user once on each of a person's devices.
pub const MERGED_IDENTITIES: usize = 64;

/// Bytes of a push token: as long as the longest that are known, and what Google promises not to exceed.
pub const PUSH_TOKEN_BYTES: usize = 4096;

/// Bytes of an APNs device token, which has 32 today; Apple asks not to rely on it.
pub const APNS_TOKEN_BYTES: usize = 200;

/// Bytes of a Web Push endpoint. Those of the large push services have 100 to 500.
pub const ENDPOINT_BYTES: usize = 2048;

/// Bytes of an app's id in a push registration: Apple allows 155 for a bundle id.
pub const APP_BYTES: usize = 256;
