//! The settings of a pool: its limits and retention.

use driftless_protocol::{Limits, limits};

use super::bounds::{
    MAX_DATASET_BYTES, MAX_DURATION_S, MAX_HISTORY_BYTES, MAX_HISTORY_VERSIONS, MAX_LINK_FRESH_S, MAX_RECORDS, MIN_LINK_FRESH_S,
};
use super::form::ValueForm;
use super::setting::{ConfigSetting, setting, unset, value};
use crate::config::pool::{PoolSection, RetentionSection};

/// The names of the conflict policies.
const CONFLICTS: ValueForm = ValueForm::Choice(&["reject", "last-writer-wins"]);

pub(super) const POOL: &[ConfigSetting] = &[
    setting("pools.*.region", || value(PoolSection::default().region), "First part of the pool's identity ids, region:uuid."),
    setting(
        "pools.*.origins",
        || value(PoolSection::default().origins),
        "Origins of web pages that may use the pool, beside those of the server. If neither names any: every origin.",
    ).with_form(ValueForm::Origins),
    setting(
        "pools.*.conflicts",
        || value(PoolSection::default().conflicts),
        "What happens when two devices change the same record without having seen each other's change: reject or last-writer-wins.",
    ).with_form(CONFLICTS),
    setting(
        "pools.*.guests",
        || value(PoolSection::default().guests),
        "Whether somebody who has not signed in gets an identity of the pool through AWS's GetId. Everybody who knows its id can use it until a login is linked.",
    ),
    setting(
        "pools.*.link_fresh_s",
        || value(PoolSection::default().link_fresh_s),
        "Seconds, 30 to 86400, within which a user must have proved both logins that a device links (auth_time, or else iat, of each token). Whatever is stolen later links nothing.",
    ).between(MIN_LINK_FRESH_S, MAX_LINK_FRESH_S),
    setting(
        "pools.*.identity_bytes",
        || value(PoolSection::default().identity_bytes),
        "Maximum bytes of all that an identity owns: its datasets with history and tombstones, and what is kept of its devices (393216 bytes for each that it may have). Over it only writes that free space go through.",
    ).between(1, i64::MAX as u64),
    setting("pools.*.datasets.*", unset, "The conflict policy of the dataset with this name, instead of the pool's.").with_form(CONFLICTS),
    setting("pools.*.limits.key_bytes", || value(Limits::default().key_bytes), "Maximum bytes of a key, at most 1024.").between(1, limits::KEY_BYTES as u64),
    setting(
        "pools.*.limits.value_bytes",
        || value(Limits::default().value_bytes),
        "Maximum bytes of a value, encoded as MessagePack; at most 1048576.",
    ).between(1, limits::VALUE_BYTES as u64),
    setting(
        "pools.*.limits.changes_per_patch",
        || value(Limits::default().changes_per_patch),
        "Maximum number of changes in one patch, at most 1024.",
    ).between(1, limits::CHANGES_PER_PATCH as u64),
    setting("pools.*.limits.records", || value(Limits::default().records), "Maximum number of live records in a dataset, at most 65536.").between(1, MAX_RECORDS),
    setting(
        "pools.*.limits.dataset_bytes",
        || value(Limits::default().dataset_bytes),
        "Maximum bytes of all keys and values in a dataset, at most 1073741824.",
    ).between(1, MAX_DATASET_BYTES),
    setting(
        "pools.*.limits.datasets",
        || value(Limits::default().datasets),
        "Maximum number of datasets of an identity, and of datasets that a session has open.",
    ).between(1, i64::MAX as u64),
    setting("pools.*.limits.devices", || value(Limits::default().devices), "Maximum number of devices of an identity; for a new one the longest unseen device is forgotten.").between(1, i64::MAX as u64),
    setting(
        "pools.*.retention.tombstone_s",
        || value(RetentionSection::default().tombstone_s),
        "Seconds that a removed key is kept as a tombstone for devices that have not synced the removal. A device that comes back later gets a snapshot.",
    ).between(0, MAX_DURATION_S),
    setting(
        "pools.*.retention.history_s",
        || value(RetentionSection::default().history_s),
        "Seconds that earlier versions of a dataset can be read and restored.",
    ).between(0, MAX_DURATION_S),
    setting(
        "pools.*.retention.history_versions",
        || value(RetentionSection::default().history_versions),
        "Maximum number of earlier versions kept for a dataset, at most 100000. 0: no history.",
    ).between(0, MAX_HISTORY_VERSIONS),
    setting(
        "pools.*.retention.history_bytes",
        || value(RetentionSection::default().history_bytes),
        "Maximum bytes of earlier versions kept for a dataset, at most 1073741824.",
    ).between(0, MAX_HISTORY_BYTES),
];
