//! The bounds that a patch must keep, and the refusals of patches that do not.

use driftless_protocol::limits as protocol_limits;
use driftless_protocol::{Change, Key, Limits, Op, RefusalCode, Value};

use super::head::DatasetHead;

/// Why a patch cannot be applied, with a text for the device's developer.
pub(super) struct PatchRefusal(pub(super) RefusalCode, pub(super) String);

/// Checks a change by itself: its key's length, and whether its operation takes a base and a value.
pub(super) fn check_change(change: &Change, limits: &Limits) -> Result<(), PatchRefusal> {
    // A record whose key is longer than a bound that was lowered can still be removed.
    if change.op != Op::Remove && change.key.as_str().len() > limits.key_bytes {
        return Err(PatchRefusal(
            RefusalCode::TooLarge,
            format!("the key {} is longer than {} bytes", quoted(&change.key), limits.key_bytes),
        ));
    }
    if change.base.is_some() && !matches!(change.op, Op::Put | Op::Remove) {
        return Err(PatchRefusal(RefusalCode::BadRequest, format!("only put and remove have a base, see {}", quoted(&change.key))));
    }
    match &change.value {
        Some(_) if change.op == Op::Remove => {
            Err(PatchRefusal(RefusalCode::BadRequest, format!("remove has no value, see {}", quoted(&change.key))))
        }
        Some(value) => check_value(&change.key, value, limits),
        None => Ok(()),
    }
}

/// Checks that a change's base is a version that the dataset has had: with any other the change would win over what its device has never seen.
pub(super) fn check_base(change: &Change, version: u64) -> Result<(), PatchRefusal> {
    match change.base {
        Some(base) if base > version => {
            let message = format!("the base of {} is {base}, and the dataset has version {version}: open it again", quoted(&change.key));
            Err(PatchRefusal(RefusalCode::AheadOfServer, message))
        }
        _ => Ok(()),
    }
}

/// Checks a value's size, packed and as JSON.
pub(super) fn check_value(key: &Key, value: &Value, limits: &Limits) -> Result<(), PatchRefusal> {
    let bytes = value.packed_bytes();
    if bytes <= limits.value_bytes {
        if value.fits_json() {
            return Ok(());
        }
        let most = protocol_limits::VALUE_JSON_BYTES;
        return Err(PatchRefusal(RefusalCode::TooLarge, format!("the value of {} is over {most} bytes as JSON", quoted(key))));
    }
    let message = format!("the value of {} has {bytes} bytes, its pool allows {}", quoted(key), limits.value_bytes);
    Err(PatchRefusal(RefusalCode::TooLarge, message))
}

/// Checks a dataset's size after a patch. A dataset over a bound that was lowered still takes a patch that does not make it larger.
pub(super) fn check_dataset(before: &DatasetHead, after: &DatasetHead, limits: &Limits) -> Result<(), PatchRefusal> {
    if after.records > limits.records && after.records > before.records {
        let message = format!("the dataset would hold {} records, its pool allows {}", after.records, limits.records);
        return Err(PatchRefusal(RefusalCode::TooManyRecords, message));
    }
    if after.bytes > limits.dataset_bytes && after.bytes > before.bytes {
        let message = format!("the dataset would hold {} bytes, its pool allows {}", after.bytes, limits.dataset_bytes);
        return Err(PatchRefusal(RefusalCode::DatasetFull, message));
    }
    Ok(())
}

/// A key in a message for people: quoted, and cut to 64 characters.
pub(super) fn quoted(key: &Key) -> String {
    format!("{:?}", key.as_str().chars().take(64).collect::<String>())
}
