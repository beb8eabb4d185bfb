//! Test only: the receiver of a Web Push message. It decrypts by RFC 8291 and RFC 8188, independently of the code that encrypts.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use driftless_protocol::WebPushSubscription;

/// A browser's keys.
pub(super) struct WebpushReceiver {
    private: PrivateKey,
    public: Vec<u8>,
    auth: Vec<u8>,
}

fn decode(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// HKDF with one block of output (RFC 5869).
fn hkdf(salt: &[u8], secret: &[u8], info: &[u8], bytes: usize) -> Vec<u8> {
    hmac(&hmac(salt, secret), &[info, &[1]].concat())[..bytes].to_vec()
}

impl WebpushReceiver {
    /// With the keys of RFC 8291's appendix A.
    pub(super) fn of_rfc_8291() -> WebpushReceiver {
        let private = decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
        let private = PrivateKey::from_private_key(&ECDH_P256, &private).expect("a key");
        let public = private.compute_public_key().expect("a key").as_ref().to_vec();
        WebpushReceiver { private, public, auth: decode("BTBZMqHH6r4Tts7J_aSIgg") }
    }

    /// The subscription that it registers.
    pub(super) fn subscription(&self, endpoint: &str) -> WebPushSubscription {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        WebPushSubscription { endpoint: endpoint.to_owned(), p256dh: encode(&self.public), auth: encode(&self.auth) }
    }

    /// Decrypts a message of one record.
    pub(super) fn decrypt(&self, body: &[u8]) -> Vec<u8> {
        let (header, rest) = body.split_at(21);
        let (salt, key_bytes) = (&header[..16], usize::from(header[20]));
        let (sender, record) = rest.split_at(key_bytes);
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agree(&self.private, peer, "no agreement", |shared| Ok(shared.to_vec())).expect("a secret");
        let info = [b"WebPush: info\0".as_slice(), &self.public, sender].concat();
        let secret = hkdf(&self.auth, &shared, &info, 32);
        let key = hkdf(salt, &secret, b"Content-Encoding: aes128gcm\0", 16);
        let nonce = hkdf(salt, &secret, b"Content-Encoding: nonce\0", 12);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("a key"));
        let mut record = record.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("a nonce");
        let text = key.open_in_place(nonce, Aad::empty(), &mut record).expect("authentic");
        // The last record ends with a 2 and padding (RFC 8188 section 2).
        let end = text.iter().rposition(|byte| *byte != 0).expect("a delimiter");
        assert_eq!(text[end], 2);
        text[..end].to_vec()
    }
}

#[test]
fn the_receiver_decrypts_the_message_of_rfc_8291() {
    let body = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
    assert_eq!(WebpushReceiver::of_rfc_8291().decrypt(&decode(body)), b"When I grow up, I want to be a watermelon");
}
