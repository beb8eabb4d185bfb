//! What a client has to answer before it gets tokens: pure, but for the key that seals.
//!
//! The server keeps nothing of a challenge that was not answered. What it has to know again travels sealed: as SECRET_BLOCK for PASSWORD_VERIFIER, as
//! `Session` for what follows. Each has the id of one sign-in, and a right answer makes the family of that id: so none is answered twice, also after a
//! restart, for as long as it could be answered at all.

use crate::keyring::{Keyring, OpenError, SealError, TokenKind};
use crate::store::UserPoolId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// What the server has to know of a sign-in when the client answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSignIn {
    /// The id of the family that a right answer makes.
    pub id: Uuid,
    /// When the challenge was made, in milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// The number of the password that is or was proved; 0 if the user is not there.
    pub password: u64,
    /// The name by which the rows of the user are found, and USER_ID_FOR_SRP.
    pub user: String,
    /// The exchange of PASSWORD_VERIFIER; empty for what follows.
    pub exchange: Vec<u8>,
}

/// Which challenge it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    PasswordVerifier,
    NewPassword,
}

impl ChallengeKind {
    fn token(self) -> TokenKind {
        match self {
            ChallengeKind::PasswordVerifier => TokenKind::SecretBlock,
            ChallengeKind::NewPassword => TokenKind::ChallengeSession,
        }
    }
}

/// The length of a user's name in front of it.
const LENGTH_BYTES: usize = 2;

impl PendingSignIn {
    /// Seals it for a client of a pool, for some minutes.
    pub fn seal(&self, keyring: &Keyring, kind: ChallengeKind, pool: &UserPoolId, client: &str, minutes: u8) -> Result<Vec<u8>, SealError> {
        let length = u16::try_from(self.user.len()).map_err(|_| SealError::TooLarge)?;
        let mut content = self.id.as_bytes().to_vec();
        content.extend_from_slice(&self.made_ms.to_be_bytes());
        content.extend_from_slice(&self.password.to_be_bytes());
        content.extend_from_slice(&length.to_be_bytes());
        content.extend_from_slice(self.user.as_bytes());
        content.extend_from_slice(&self.exchange);
        let life_ms = u64::from(minutes) * 60_000;
        keyring.seal_token(kind.token(), &owner(pool, client), self.made_ms, life_ms, &content)
    }

    /// Opens what was sealed for this client.
    pub fn open(
        keyring: &Keyring,
        kind: ChallengeKind,
        pool: &UserPoolId,
        client: &str,
        now_ms: u64,
        sealed: &[u8],
    ) -> Result<PendingSignIn, OpenError> {
        let content = keyring.open_token(kind.token(), &owner(pool, client), now_ms, sealed)?;
        PendingSignIn::of(&content).ok_or(OpenError::Malformed)
    }

    fn of(content: &[u8]) -> Option<PendingSignIn> {
        let (id, rest) = content.split_first_chunk::<16>()?;
        let (made_ms, rest) = rest.split_first_chunk::<8>()?;
        let (password, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (user, exchange) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some(PendingSignIn {
            id: Uuid::from_bytes(*id),
            made_ms: u64::from_be_bytes(*made_ms),
            password: u64::from_be_bytes(*password),
            user: std::str::from_utf8(user).ok()?.to_owned(),
            exchange: exchange.to_vec(),
        })
    }
}

/// No pool's id has a colon.
fn owner(pool: &UserPoolId, client: &str) -> Vec<u8> {
    format!("{pool}:{client}").into_bytes()
}

/// A sealed challenge as text. Clients decode the SECRET_BLOCK as base64 before they sign it.
pub fn text(sealed: &[u8]) -> String {
    STANDARD.encode(sealed)
}

/// The bytes of a text; `None` of one that is no base64, or longer than a `Session` may be.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    const MAX_CHARS: usize = 4096;
    if text.len() > MAX_CHARS { None } else { STANDARD.decode(text).ok() }
}

/// The challenges that a client is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInChallenge {
    pub name: &'static str,
    pub session: Option<String>,
    pub parameters: Vec<(&'static str, String)>,
}
