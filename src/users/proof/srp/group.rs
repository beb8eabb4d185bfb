//! The group in which SRP computes: the 3072-bit MODP group of RFC 3526 section 4 (group 15) with the generator 2, as Amazon Cognito's clients use
//! it, and the bytes in which they write numbers.

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U256, U3072, Uint, const_monty_params};

/// The bytes of a number below the modulus.
pub(super) const GROUP_BYTES: usize = U3072::BYTES;

/// The modulus, in hexadecimal.
const MODULUS: &str = "\
     FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
     EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
     83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
     E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
     15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
     ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C\
     BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF";

const_monty_params!(Group15, U3072, MODULUS, "The modulus.");

/// A number modulo the modulus. Computing with it takes the same time whatever it is.
pub(super) type Residue = ConstMontyForm<Group15, { U3072::LIMBS }>;

/// The SHA-256 of the padded modulus and the padded generator: `k` of SRP-6a.
const MULTIPLIER: U256 = U256::from_be_hex("538282c4354742d7cbbde2359fcf67f9f5b3a6b08791e5011b43b8a5b66d9ee6");

/// The modulus itself.
pub(super) fn modulus() -> &'static U3072 {
    Residue::MODULUS.as_ref()
}

/// The generator raised to a secret power.
pub(super) fn power<const LIMBS: usize>(exponent: &Uint<LIMBS>) -> Residue {
    Residue::new(&U3072::from_u32(2)).pow(exponent)
}

/// `k` as a residue.
pub(super) fn multiplier() -> Residue {
    Residue::new(&MULTIPLIER.resize())
}

/// The bytes of a number as Java's `BigInteger.toByteArray` writes it, which all clients do before they hash: as few as it needs, and a zero in
/// front if the first bit would be a sign.
pub(super) fn padded(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    let mut padded = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|first| *first >= 0x80) {
        padded.push(0);
    }
    padded.extend_from_slice(digits);
    padded
}

/// A number in lower-case hexadecimal without leading zeros, as Java's `BigInteger.toString(16)` writes it.
pub(super) fn hexadecimal(number: &U3072) -> String {
    let text = format!("{number:x}");
    let digits = text.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::*;

    #[test]
    fn the_multiplier_is_the_hash_of_the_padded_group() {
        let modulus = padded(modulus().to_be_bytes().as_ref());
        assert_eq!((modulus.len(), &modulus[..2]), (385, &[0, 0xff][..]));
        let hash = digest(&SHA256, &[&modulus[..], &padded(&[2])].concat());
        assert_eq!(hash.as_ref(), MULTIPLIER.to_be_bytes().as_ref());
    }

    #[test]
    fn numbers_are_padded_as_java_writes_them() {
        let cases: [(&[u8], &[u8]); 7] = [
            (&[], &[0]),
            (&[0], &[0]),
            (&[0, 0], &[0]),
            (&[0x7f], &[0x7f]),
            (&[0x80], &[0, 0x80]),
            (&[0, 0x80], &[0, 0x80]),
            (&[0, 0, 0x7f, 1], &[0x7f, 1]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(padded(bytes), expected, "{bytes:?}");
        }
        assert_eq!(hexadecimal(&U3072::ZERO), "0");
        assert_eq!(hexadecimal(&U3072::from_u32(0x0a0b)), "a0b");
    }
}
