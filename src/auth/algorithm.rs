//! The signature algorithms of the JOSE registry that this server verifies, and which kind of key each one is for.

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 8812 section 3.2, RFC 9864 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    Es256k,
    /// Named `EdDSA` by RFC 8037 and `Ed25519` by RFC 9864.
    Ed25519,
}

/// What a key is: a secret, or a public key of one type and curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Secret,
    Rsa,
    P256,
    P384,
    P521,
    Secp256k1,
    Ed25519,
}

impl Algorithm {
    /// The algorithm with this `alg`, which is case-sensitive (RFC 7515 section 4.1.1).
    pub(super) fn from_name(alg: &str) -> Option<Self> {
        match alg {
            "HS256" => Some(Self::Hs256),
            "HS384" => Some(Self::Hs384),
            "HS512" => Some(Self::Hs512),
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "PS256" => Some(Self::Ps256),
            "PS384" => Some(Self::Ps384),
            "PS512" => Some(Self::Ps512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "ES512" => Some(Self::Es512),
            "ES256K" => Some(Self::Es256k),
            "EdDSA" | "Ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// The only kind of key that the algorithm may be used with (RFC 8725 section 3.1).
    pub(super) fn key_kind(self) -> KeyKind {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => KeyKind::Secret,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => KeyKind::Rsa,
            Self::Es256 => KeyKind::P256,
            Self::Es384 => KeyKind::P384,
            Self::Es512 => KeyKind::P521,
            Self::Es256k => KeyKind::Secp256k1,
            Self::Ed25519 => KeyKind::Ed25519,
        }
    }

    /// The shortest secret for the algorithm, in bytes: one as long as its hash (RFC 7518 section 3.2). 0 if it takes a public key.
    pub(super) fn min_secret_bytes(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 0,
        }
    }
}
