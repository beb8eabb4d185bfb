//! The keyring's rows, encoded as the rows of the store are: MessagePack, a struct as the list of its fields, and the name of an enum's variant.
//! So the order of the fields is on disk, and so are the names of variants. What is secret in them is wrapped.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::purpose::Purpose;

/// The maximum bytes of a row: a wrapped RSA key of 4,096 bits has 2.5 KiB, an issuer's name at most 2 KiB.
const MAX_ROW_BYTES: usize = 8 * 1024;

/// A row of the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyringRow {
    Generation(GenerationRow),
    SigningKey(SigningKeyRow),
}

/// A generation of sealing keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRow {
    pub purpose: Purpose,
    /// The first generation of a purpose has number 1.
    pub number: u32,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// The key, wrapped and bound to the fields above.
    #[serde(with = "serde_bytes")]
    pub wrapped: Vec<u8>,
}

/// A key pair that signs an issuer's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyRow {
    /// The user pool's id, or the name of the identity pools' issuer.
    pub issuer: String,
    /// The `kid` of its tokens.
    pub key_id: String,
    /// From when on it signs, in milliseconds since 1970 (UTC).
    pub signs_from_ms: u64,
    /// The private key, wrapped and bound to the issuer and the time.
    #[serde(with = "serde_bytes")]
    pub wrapped: Vec<u8>,
}

impl KeyringRow {
    /// The encoded row.
    pub fn encode(&self) -> Result<Vec<u8>, KeyringRowError> {
        let bytes = rmp_serde::to_vec(self).map_err(|why| KeyringRowError(why.to_string()))?;
        if bytes.len() > MAX_ROW_BYTES { Err(too_large(bytes.len())) } else { Ok(bytes) }
    }

    /// The row of these bytes, of which none may be left over.
    pub fn decode(bytes: &[u8]) -> Result<KeyringRow, KeyringRowError> {
        if bytes.len() > MAX_ROW_BYTES {
            return Err(too_large(bytes.len()));
        }
        let mut rest = bytes;
        let row = rmp_serde::from_read(&mut rest).map_err(|why| KeyringRowError(why.to_string()))?;
        if rest.is_empty() { Ok(row) } else { Err(KeyringRowError(format!("{} bytes are left over", rest.len()))) }
    }
}

fn too_large(bytes: usize) -> KeyringRowError {
    KeyringRowError(format!("{bytes} bytes, over {MAX_ROW_BYTES}"))
}

/// Why a row was not encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringRowError(String);

impl fmt::Display for KeyringRowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a row of the keyring: {}", self.0)
    }
}

impl std::error::Error for KeyringRowError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation() -> KeyringRow {
        KeyringRow::Generation(GenerationRow { purpose: Purpose::Sts, number: 7, made_ms: 1_800_000_000_000, wrapped: vec![1, 2, 3] })
    }

    #[test]
    fn rows_keep_their_bytes() {
        let signing = SigningKeyRow { issuer: "local_abc".to_owned(), key_id: "k".to_owned(), signs_from_ms: 5, wrapped: vec![9; 2000] };
        for row in [generation(), KeyringRow::SigningKey(signing)] {
            assert_eq!(KeyringRow::decode(&row.encode().expect("encodes")), Ok(row));
        }
        // On disk: the variant's name, then the fields in their order.
        let bytes = generation().encode().expect("encodes");
        assert_eq!(bytes, b"\x81\xaaGeneration\x94\xa3Sts\x07\xcf\x00\x00\x01\xa3\x18\x5c\x50\x00\xc4\x03\x01\x02\x03");
    }

    #[test]
    fn what_is_cut_longer_or_claims_a_huge_length_is_no_row() {
        let bytes = generation().encode().expect("encodes");
        for end in 0..bytes.len() {
            assert!(KeyringRow::decode(&bytes[..end]).is_err(), "{end}");
        }
        assert!(KeyringRow::decode(&[&bytes[..], &[0]].concat()).is_err_and(|why| why.to_string().contains("1 bytes are left over")));
        assert!(KeyringRow::decode(&vec![0xc4; 1024 * 1024]).is_err_and(|why| why.to_string().contains("over 8192")));
        // 2^32 - 1 bytes are claimed, and five follow.
        let mut huge = bytes[..bytes.len() - 5].to_vec();
        huge.extend_from_slice(b"\xc6\xff\xff\xff\xff\x01\x02\x03\x04\x05");
        assert!(KeyringRow::decode(&huge).is_err());
    }
}
