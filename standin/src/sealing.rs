//! A browser's side of Web Push's encryption (RFC 8291): opens messages, without the senders' library.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

/// Bytes of salt, record size and the key's length before the sender's key (RFC 8188 section 2.1).
const HEAD_BYTES: usize = 21;

/// Bytes of an uncompressed point on P-256.
const POINT_BYTES: usize = 65;

/// Bytes of the authentication that ends a record.
const TAG_BYTES: usize = 16;

/// What a browser keeps of its subscription.
pub(super) struct Keys {
    private: PrivateKey,
    /// The public key, uncompressed.
    pub(super) public: Vec<u8>,
    /// The authentication secret.
    pub(super) auth: [u8; 16],
}

impl Keys {
    pub(super) fn new(auth: [u8; 16]) -> Result<Keys, Unspecified> {
        let private = PrivateKey::generate(&ECDH_P256)?;
        let public = private.compute_public_key()?.as_ref().to_vec();
        Ok(Keys { private, public, auth })
    }

    /// The plain text of a message: one record with the sender's key in front (RFC 8291 section 4).
    pub(super) fn open(&self, message: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (head, rest) = message.split_at_checked(HEAD_BYTES).ok_or("shorter than its header")?;
        let record_bytes = u32::from_be_bytes([head[16], head[17], head[18], head[19]]);
        if usize::from(head[20]) != POINT_BYTES {
            return Err("the key in its header has no 65 bytes");
        }
        let (sender, record) = rest.split_at_checked(POINT_BYTES).ok_or("shorter than its header")?;
        if record.len() <= TAG_BYTES || usize::try_from(record_bytes).is_ok_and(|bytes| record.len() > bytes) {
            return Err("it is not one record");
        }
        let mut record = record.to_vec();
        let length = self.decrypt(&head[..16], sender, &mut record).map_err(|_| "it cannot be decrypted")?;
        record.truncate(length);
        // What follows the plain text is a 2 and then zeroes (RFC 8188 section 2).
        let end = record.iter().rposition(|byte| *byte != 0).ok_or("nothing ends its plain text")?;
        match record[end] {
            2 => record.truncate(end),
            _ => return Err("its plain text does not end like a last record"),
        }
        Ok(record)
    }

    /// Decrypts in place; how many bytes are left.
    fn decrypt(&self, salt: &[u8], sender: &[u8], record: &mut [u8]) -> Result<usize, Unspecified> {
        let shared = UnparsedPublicKey::new(&ECDH_P256, sender);
        let secret: [u8; 32] =
            agree(&self.private, shared, Unspecified, |shared| derive(&self.auth, shared, &[b"WebPush: info\0", &self.public, sender]))?;
        let key: [u8; 16] = derive(salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
        let nonce: [u8; 12] = derive(salt, &secret, &[b"Content-Encoding: nonce\0"])?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
        Ok(key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), record)?.len())
    }
}

/// HKDF with SHA-256 (RFC 5869), both steps.
fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Bytes::<N>)?.fill(&mut bytes)?;
    Ok(bytes)
}

/// How many bytes are derived.
struct Bytes<const N: usize>;

impl<const N: usize> KeyType for Bytes<N> {
    fn len(&self) -> usize {
        N
    }
}
