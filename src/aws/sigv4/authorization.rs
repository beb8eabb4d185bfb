//! The `Authorization` header (IAM User Guide, "Authentication methods").

use super::fault::SignatureFault;
use super::scope::Credential;

/// The one algorithm. Version 4A, with an elliptic curve, is for several regions at once, and this server is one.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The longest value that is read: 100 signed headers with names of 60 characters, and the credential.
const MAX_AUTHORIZATION_BYTES: usize = 8 * 1024;

/// A request has at most 100 headers, so it cannot sign more.
pub(super) const MAX_SIGNED_HEADERS: usize = 100;

/// A credential, the names of the signed headers, and a signature, from a header or from the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignatureParts {
    pub(super) credential: Credential,
    pub(super) signed_headers: SignedHeaderNames,
    pub(super) signature: [u8; 32],
}

/// The names of the signed headers: in lower case, sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedHeaderNames {
    text: String,
}

impl SignatureParts {
    /// Reads `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`; the parts in any order, with or without a space between.
    pub(super) fn of_header(value: &[u8]) -> Result<SignatureParts, SignatureFault> {
        if value.len() > MAX_AUTHORIZATION_BYTES {
            return Err(SignatureFault::Incomplete("Authorization header is too long."));
        }
        let value = std::str::from_utf8(value).map_err(|_| SignatureFault::Incomplete("Authorization header is not text."))?;
        let rest = value.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with(' '));
        let rest = rest.ok_or(SignatureFault::Incomplete("Unsupported AWS 'algorithm': it must be AWS4-HMAC-SHA256."))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',').map(|part| part.trim_matches(' ')) {
            let malformed = SignatureFault::Incomplete("Authorization header must be a list of key=value pairs, separated by commas.");
            let (key, value) = part.split_once('=').ok_or(malformed.clone())?;
            let place = match key {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(malformed),
            };
            if place.replace(value).is_some() {
                return Err(SignatureFault::Incomplete("Authorization header has a parameter twice."));
            }
        }
        let credential = credential.ok_or(SignatureFault::Incomplete("Authorization header requires 'Credential' parameter."))?;
        let signed = signed_headers.ok_or(SignatureFault::Incomplete("Authorization header requires 'SignedHeaders' parameter."))?;
        let signature = signature.ok_or(SignatureFault::Incomplete("Authorization header requires 'Signature' parameter."))?;
        SignatureParts::read(credential, signed, signature)
    }

    pub(super) fn read(credential: &str, signed_headers: &str, signature: &str) -> Result<SignatureParts, SignatureFault> {
        Ok(SignatureParts {
            credential: Credential::parse(credential)?,
            signed_headers: SignedHeaderNames::parse(signed_headers)?,
            signature: signature_bytes(signature)?,
        })
    }
}

impl SignedHeaderNames {
    fn parse(text: &str) -> Result<SignedHeaderNames, SignatureFault> {
        let mut before = "";
        for (at, name) in text.split(';').enumerate() {
            if at == MAX_SIGNED_HEADERS {
                return Err(SignatureFault::Incomplete("SignedHeaders has more than 100 names."));
            }
            let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(SignatureFault::Incomplete("SignedHeaders must be names in lower case, separated by semicolons."));
            }
            if name <= before {
                return Err(SignatureFault::Incomplete("SignedHeaders must be sorted, each name once."));
            }
            before = name;
        }
        Ok(SignedHeaderNames { text: text.to_owned() })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split(';')
    }

    /// Whether a name in lower case is among them.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.iter().any(|signed| signed == name)
    }
}

fn signature_bytes(text: &str) -> Result<[u8; 32], SignatureFault> {
    const FORM: SignatureFault = SignatureFault::Incomplete("Signature must be 64 hexadecimal digits in lower case.");
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)) {
        return Err(FORM);
    }
    let value = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIAL: &str = "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request";
    const SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

    #[test]
    fn the_parts_stand_in_any_order_with_or_without_spaces() {
        // Clients leave the space out, or write two: reports against Riak CS, Scylla, LocalStack, Teleport, OpenNebula.
        for value in [
            format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"),
            format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders=host;x-amz-date,Signature={SIGNATURE}"),
            format!("AWS4-HMAC-SHA256  Signature={SIGNATURE} ,  SignedHeaders=host;x-amz-date, Credential={CREDENTIAL}"),
        ] {
            let parts = SignatureParts::of_header(value.as_bytes()).unwrap();
            assert_eq!(parts.signed_headers.iter().collect::<Vec<_>>(), ["host", "x-amz-date"]);
            assert_eq!(parts.signature[..2], [0x5d, 0x67]);
        }
    }

    #[test]
    fn what_is_not_exactly_that_is_refused() {
        let refused = |value: &str| match SignatureParts::of_header(value.as_bytes()) {
            Err(SignatureFault::Incomplete(why)) => why,
            other => panic!("{value}: {other:?}"),
        };
        let with = |headers: &str, signature: &str| {
            refused(&format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders={headers}, Signature={signature}"))
        };
        assert!(refused("AWS4-HMAC-SHA256").contains("algorithm"));
        assert!(refused(&format!("AWS4-ECDSA-P256-SHA256 Credential={CREDENTIAL}")).contains("algorithm"));
        assert!(refused("AWS4-HMAC-SHA256 ").contains("key=value"));
        assert!(refused("AWS4-HMAC-SHA256 Signature=a, Extra=b").contains("key=value"));
        assert!(refused("AWS4-HMAC-SHA256 Signature=a, Signature=a").contains("twice"));
        assert!(refused("AWS4-HMAC-SHA256 Signature=a, SignedHeaders=host").contains("'Credential'"));
        assert!(refused(&format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL}, Signature=a")).contains("'SignedHeaders'"));
        assert!(refused(&format!("AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host")).contains("'Signature'"));
        for headers in ["", "Host", "host;", ";host", "host;host", "x-amz-date;host", "ho st", "host;x\u{e9}"] {
            with(headers, SIGNATURE);
        }
        for signature in ["", "00", &SIGNATURE.to_uppercase(), &format!("{SIGNATURE}0"), &SIGNATURE.replace('5', "g")] {
            assert!(with("host", signature).contains("64 hexadecimal"), "{signature}");
        }
        let names: Vec<_> = (0..1000).map(|n| format!("a{n:04}")).collect();
        assert!(with(&names[..1000].join(";"), SIGNATURE).contains("more than 100"));
        assert!(refused(&format!("AWS4-HMAC-SHA256 Credential={}", "A".repeat(64 << 10))).contains("too long"));
    }
}
