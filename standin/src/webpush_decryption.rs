//! The browser's side of Web Push encryption (RFC 8291): decrypts messages, without the library that the server encrypts with.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

/// Bytes before the sender's key: salt, record size and the key's length (RFC 8188 section 2.1).
const HEADER_BYTES: usize = 21;

/// Bytes of an uncompressed point on P-256.
const POINT_BYTES: usize = 65;

/// Bytes of the authentication tag that ends a record.
const TAG_BYTES: usize = 16;

/// The keys of a browser's subscription.
pub(crate) struct SubscriptionKeys {
    private: PrivateKey,
    /// The public key, uncompressed.
    pub(crate) public: Vec<u8>,
    /// The authentication secret.
    pub(crate) auth: [u8; 16],
}

impl SubscriptionKeys {
    pub(crate) fn new(auth: [u8; 16]) -> Result<SubscriptionKeys, Unspecified> {
        let private = PrivateKey::generate(&ECDH_P256)?;
        let public = private.compute_public_key()?.as_ref().to_vec();
        Ok(SubscriptionKeys { private, public, auth })
    }

    /// The plain text of a message: one record, preceded by the sender's key (RFC 8291 section 4).
    pub(crate) fn decrypt(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (header, rest) = message.split_at_checked(HEADER_BYTES).ok_or("the message is shorter than its header")?;
        let record_bytes = u32::from_be_bytes([header[16], header[17], header[18], header[19]]);
        if usize::from(header[20]) != POINT_BYTES {
            return Err("the key in the header does not have 65 bytes");
        }
        let (sender, record) = rest.split_at_checked(POINT_BYTES).ok_or("the message is shorter than its header")?;
        if record.len() <= TAG_BYTES || usize::try_from(record_bytes).is_ok_and(|bytes| record.len() > bytes) {
            return Err("the message is not exactly one record");
        }
        let mut record = record.to_vec();
        let length = self.decrypt_in_place(&header[..16], sender, &mut record).map_err(|_| "the message cannot be decrypted")?;
        record.truncate(length);
        // A byte 2 and then zeroes follow the plain text (RFC 8188 section 2).
        let end = record.iter().rposition(|byte| *byte != 0).ok_or("the plain text has no delimiter")?;
        match record[end] {
            2 => record.truncate(end),
            _ => return Err("the plain text does not end with the delimiter of a last record"),
        }
        Ok(record)
    }

    /// Returns the length of the plain text, which is at the start of `record`.
    fn decrypt_in_place(&self, salt: &[u8], sender: &[u8], record: &mut [u8]) -> Result<usize, Unspecified> {
        let sender_key = UnparsedPublicKey::new(&ECDH_P256, sender);
        let secret: [u8; 32] = agree(&self.private, sender_key, Unspecified, |agreed| {
            derive(&self.auth, agreed, &[b"WebPush: info\0", &self.public, sender])
        })?;
        let key: [u8; 16] = derive(salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
        let nonce: [u8; 12] = derive(salt, &secret, &[b"Content-Encoding: nonce\0"])?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
        Ok(key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), record)?.len())
    }
}

/// HKDF with SHA-256 (RFC 5869): extract, then expand.
fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, DerivedBytes::<N>)?.fill(&mut bytes)?;
    Ok(bytes)
}

/// Tells HKDF how many bytes to derive.
struct DerivedBytes<const N: usize>;

impl<const N: usize> KeyType for DerivedBytes<N> {
    fn len(&self) -> usize {
        N
    }
}
