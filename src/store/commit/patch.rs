//! A patch as a device writes it, and the store's decision about it.

use std::io::{self, Write};

use driftless_protocol::{Change, DatasetName, DeviceId, Record, RefusalCode};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::super::{Identity, StoreError, rows};

/// A write: several changes to one dataset, applied all or none.
#[derive(Clone, Debug)]
pub struct Patch {
    pub identity: Identity,
    pub device: DeviceId,
    pub dataset: DatasetName,
    /// The device's own number for the patch.
    pub id: u64,
    pub changes: Vec<Change>,
}

impl Patch {
    /// A checksum of the patch's meaning, not of its encoding: a retry may come in the other codec, or after an upgrade of the server. It is the
    /// CRC-32 (that of zlib) of [`Patch::write_canonical`], and stands on disk.
    pub(super) fn digest(&self) -> Result<u32, StoreError> {
        let mut hasher = DigestWriter(crc32fast::Hasher::new());
        self.write_canonical(&mut hasher)?;
        Ok(hasher.0.finalize())
    }

    /// Writes the patch's meaning as MessagePack: a list of the dataset's name and the changes, each of which is a list of the operation, the key,
    /// the value and the base, or nil. Equal values have equal bytes (`protocol` §6).
    fn write_canonical(&self, out: &mut impl Write) -> Result<(), StoreError> {
        rows::encode_onto(out, &(self.dataset.as_str(), CanonicalChanges(&self.changes)))
    }
}

/// The changes of a patch as its digest has them.
struct CanonicalChanges<'a>(&'a [Change]);

impl Serialize for CanonicalChanges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for Change { key, op, value, base } in self.0 {
            list.serialize_element(&(op, key.as_str(), value, base))?;
        }
        list.end()
    }
}

/// Takes bytes into a checksum.
struct DigestWriter(crc32fast::Hasher);

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The store's decision about a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The patch is applied.
    Written {
        /// The version that the patch made.
        version: u64,
        /// All records that it changed.
        records: Vec<Record>,
        /// The records that the writer cannot compute itself.
        results: Vec<Record>,
    },
    /// The patch was applied before; this is its first result.
    Repeated {
        /// The version that the patch made then.
        version: u64,
        /// The records that the writer could not compute itself. Records that were written since may be missing: their versions are later than
        /// the patch's.
        results: Vec<Record>,
    },
    /// The patch is not applied: the current state of the records in conflict.
    Conflict(Vec<Record>),
    /// The patch is not applied.
    Refused(RefusalCode, String),
    /// The patch is not applied: the identity was erased, or merged into another one.
    NoIdentity,
    /// The patch is not applied: the device was revoked.
    DeviceRevoked,
    /// The patch is not applied: the device is unknown. It was forgotten since it signed in, and signs in again.
    DeviceForgotten,
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Key, Op};

    use super::*;

    fn patch(changes: &[(Op, &str, Option<&str>, Option<u64>)]) -> Patch {
        let change = |(op, key, json, base): &(Op, &str, Option<&str>, Option<u64>)| Change {
            key: Key::new(key).expect("a key"),
            op: *op,
            value: json.map(|json| serde_json::from_str(json).expect("JSON")),
            base: *base,
        };
        let names = (Identity::from("local:1"), DeviceId::new("phone").expect("a device"), DatasetName::new("d").expect("a name"));
        Patch { identity: names.0, device: names.1, dataset: names.2, id: 1, changes: changes.iter().map(change).collect() }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Golden vectors: the digests of stored patches. Another compiler, another library or another form of a value must not change them.
    #[test]
    fn a_digest_is_of_the_canonical_encoding() {
        for (changes, encoded, digest) in [
            (patch(&[]), "92a16490", 0x1f29_fc83),
            (patch(&[(Op::Put, "k", Some("\"v\""), Some(7))]), "92a1649194a3707574a16ba17607", 0x215a_adb1),
            (patch(&[(Op::Remove, "ü", None, None)]), "92a1649194a672656d6f7665a2c3bcc0c0", 0xb614_caa2),
            (patch(&[(Op::Add, "n", Some("9007199254740993"), None)]), "92a1649194a3616464a16ecf0020000000000001c0", 0x2aee_036c),
            (patch(&[(Op::Add, "n", Some("-0.5"), None)]), "92a1649194a3616464a16ecbbfe0000000000000c0", 0xd765_da2c),
            (
                patch(&[(Op::Merge, "m", Some(r#"{"b":[true,null],"a":1}"#), None), (Op::Insert, "s", Some("[1]"), None)]),
                "92a1649294a56d65726765a16d82a16101a16292c3c0c094a6696e73657274a1739101c0",
                0xa8c1_d883,
            ),
            (
                patch(&[(Op::Discard, "s", Some("[18446744073709551615]"), Some(u64::MAX))]),
                "92a1649194a764697363617264a17391cfffffffffffffffffcfffffffffffffffff",
                0x2944_f564,
            ),
        ] {
            let mut bytes = Vec::new();
            changes.write_canonical(&mut bytes).expect("encodes");
            assert_eq!((hex(&bytes).as_str(), changes.digest()), (encoded, Ok(digest)), "{changes:?}");
        }
    }

    #[test]
    fn equal_patches_have_one_digest_and_others_another() {
        let put = |json: &str| patch(&[(Op::Put, "k", Some(json), None)]).digest().expect("encodes");
        for (one, other) in [("1", "1.0"), ("-0.0", "0"), ("1e3", "1000"), (r#"{"a":1,"b":2}"#, r#"{"b":2.0,"a":1}"#)] {
            assert_eq!(put(one), put(other), "{one} {other}");
        }
        let different =
            ["1", "\"1\"", "[1]", "true", "null", "9007199254740992", "9007199254740993", "0.1", "0.10000000000000002", r#"{"1":1}"#];
        let digests: std::collections::BTreeSet<u32> = different.iter().map(|json| put(json)).collect();
        assert_eq!(digests.len(), different.len());
        let with_base = |base| patch(&[(Op::Put, "k", Some("1"), base)]).digest();
        assert_ne!(with_base(None), with_base(Some(0)));
    }
}
