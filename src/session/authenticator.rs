//! Takes a token and a device, and returns a principal: the one way in, for sockets and for HTTP.

use std::sync::Arc;

use driftless_protocol::{CloseCode, DeviceId, RefusalCode};
use tracing::info;

use super::source::RequestSource;
use crate::auth::{IssuerWithoutKeys, LEEWAY_S, TokenRefusal, VerifiedLogin, Verifier};
use crate::clock::RunningClock;
use crate::identity::{FoundLogin, Identities, LoginRequest, SignInPurpose, SignInResult};
use crate::limits::{ClientAddress, LimitExceeded};
use crate::metrics::Metrics;
use crate::pools::{Pool, Pools};
use crate::sync::{LoginToken, Principal};

#[derive(Clone, Debug)]
pub struct AuthenticatedDevice {
    pub principal: Principal,
    /// The login that the token proves.
    pub login: VerifiedLogin,
    /// Until when the token is accepted, in seconds since 1970: its `exp` plus the leeway.
    pub expires_s: u64,
}

/// Why a device was not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    Token(TokenRefusal),
    /// The device is new, and as many devices of the identity as its pool allows have a session now.
    TooManyDevices,
    /// The device was revoked.
    Revoked,
    /// The request is one of a web page that the pool does not allow.
    OriginNotAllowed,
    /// An operator has refused the login's earlier tokens; one that is issued after this time, in seconds from now, is accepted.
    TokenRevoked {
        wait_s: u64,
    },
    /// The client's address, or the pool, has had its share.
    LimitExceeded(LimitExceeded),
    /// The store is not available.
    Unavailable,
}

impl From<LimitExceeded> for AuthError {
    fn from(exceeded: LimitExceeded) -> AuthError {
        AuthError::LimitExceeded(exceeded)
    }
}

/// The longest time for which new tokens are refused like the earlier ones, in seconds: an issuer's clock may be as far ahead as the leeway, so
/// that its tokens of the last moment are dated later. A date beyond it was written by a clock that was set back since.
const LONGEST_REFUSAL_S: u64 = LEEWAY_S + 1;

/// The result of a renewal with a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewalOutcome {
    /// The token is accepted until then, in seconds since 1970.
    Until { expires_s: u64, token: LoginToken },
    /// The token leads to another identity.
    OtherIdentity,
}

impl AuthError {
    /// The code that a socket is closed with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            AuthError::Token(refusal) if refusal.is_temporary() => CloseCode::Overloaded,
            AuthError::LimitExceeded(_) => CloseCode::Overloaded,
            AuthError::Token(_) | AuthError::TokenRevoked { .. } => CloseCode::TokenRefused,
            AuthError::TooManyDevices => CloseCode::TooManyDevices,
            AuthError::Revoked => CloseCode::Revoked,
            AuthError::OriginNotAllowed => CloseCode::OriginNotAllowed,
            AuthError::Unavailable => CloseCode::ServerError,
        }
    }

    /// The code of the refusal that a request or a message is answered with.
    pub fn refusal_code(&self) -> RefusalCode {
        match self {
            AuthError::Token(refusal) if refusal.is_temporary() => RefusalCode::Unavailable,
            AuthError::Token(_) | AuthError::TokenRevoked { .. } => RefusalCode::TokenRefused,
            AuthError::TooManyDevices => RefusalCode::TooManyDevices,
            AuthError::Revoked => RefusalCode::Revoked,
            AuthError::OriginNotAllowed => RefusalCode::OriginNotAllowed,
            AuthError::LimitExceeded(_) => RefusalCode::TooManyRequests,
            AuthError::Unavailable => RefusalCode::Unavailable,
        }
    }

    /// The label in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            AuthError::Token(refusal) => refusal.code(),
            AuthError::TooManyDevices => "too_many_devices",
            AuthError::Revoked => "revoked",
            AuthError::OriginNotAllowed => "origin_not_allowed",
            AuthError::TokenRevoked { .. } => "token_revoked",
            AuthError::LimitExceeded(exceeded) => exceeded.what.code(),
            AuthError::Unavailable => "unavailable",
        }
    }

    /// When the same client may come back, in milliseconds, if the error says it.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            AuthError::LimitExceeded(exceeded) => Some(exceeded.retry_after_ms),
            AuthError::TokenRevoked { wait_s } => Some(wait_s.min(&LONGEST_REFUSAL_S) * 1000).filter(|after_ms| *after_ms > 0),
            AuthError::Token(_) | AuthError::TooManyDevices | AuthError::Revoked | AuthError::OriginNotAllowed | AuthError::Unavailable => {
                None
            }
        }
    }
}

impl std::fmt::Display for AuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AuthError::Token(refusal) => write!(f, "{refusal}"),
            AuthError::TooManyDevices => {
                f.write_str("as many devices of this identity as its pool allows have a session now; one of them has to disconnect first")
            }
            AuthError::Revoked => f.write_str("this device was revoked; an operator can readmit it"),
            AuthError::OriginNotAllowed => f.write_str(
                "web pages of this origin may not use this pool; the setting origins of the server or the pool names those that may",
            ),
            AuthError::TokenRevoked { wait_s } => {
                f.write_str("an operator has refused this login's earlier tokens; ")?;
                match wait_s {
                    0 => f.write_str("get a new one"),
                    1..=LONGEST_REFUSAL_S => write!(f, "get a new one in {wait_s} s"),
                    _ => f.write_str("the date is ahead of this server's clock: an operator has to check the clock and refuse them again"),
                }
            }
            AuthError::LimitExceeded(LimitExceeded { what, retry_after_ms }) => {
                write!(f, "{}; try again in {} s", what.explanation(), retry_after_ms.div_ceil(1000))
            }
            AuthError::Unavailable => f.write_str("the store is not available now"),
        }
    }
}

/// Authenticates devices. Clones share everything.
#[derive(Clone)]
pub struct Authenticator {
    verifier: Verifier,
    identities: Identities,
    pools: Pools,
    /// Limits are counted in the time of the connections, so that a pause of the process keeps nobody out.
    clock: RunningClock,
    metrics: Metrics,
}

impl Authenticator {
    pub fn new(verifier: Verifier, identities: Identities, pools: Pools, clock: RunningClock, metrics: Metrics) -> Authenticator {
        Authenticator { verifier, identities, pools, clock, metrics }
    }

    /// Verifies the token and finds the identity. A login or a device that is new is durable before this returns.
    pub async fn authenticate(
        &self,
        token: &str,
        device: DeviceId,
        purpose: SignInPurpose,
        from: &RequestSource,
    ) -> Result<AuthenticatedDevice, AuthError> {
        // Before the token: its signature costs more than everything else that a client can ask for without one.
        self.within_limits(&from.client, from.client.take_handshake(self.clock.running_ms()))?;
        let login = self.verify_token(token, &from.client).await?;
        let (issuer, pool) = (Arc::clone(&login.issuer), Arc::clone(&login.pool));
        let admitted = self.admit(login, device, purpose, from).await;
        if let Err(refusal) = &admitted
            && !matches!(refusal, AuthError::Unavailable)
        {
            info!(?issuer, %pool, origin = ?from.origin, reason = refusal.code(), explanation = %refusal, "sign-in refused");
        }
        admitted
    }

    /// Signs in a device whose token is valid.
    async fn admit(
        &self,
        login: VerifiedLogin,
        device: DeviceId,
        purpose: SignInPurpose,
        from: &RequestSource,
    ) -> Result<AuthenticatedDevice, AuthError> {
        let pool = self.pools.get(&login.pool).ok_or(AuthError::Token(TokenRefusal::UnknownIssuer))?;
        self.within_limits(&from.client, pool.used.take_handshake(self.clock.running_ms()))?;
        if !pool.origins.allow(&from.origin) {
            return Err(AuthError::OriginNotAllowed);
        }
        let expires_s = login.expires_s.saturating_add(LEEWAY_S);
        match self.identities.sign_in(login_request(&pool, &login, device.clone(), purpose)).await {
            Ok(SignInResult::SignedIn(identity)) => {
                Ok(AuthenticatedDevice { principal: Principal { pool, identity, device }, login, expires_s })
            }
            Ok(SignInResult::TokenRefused { until_s }) => Err(self.token_revoked(until_s)),
            Ok(SignInResult::TooManyDevices) => Err(AuthError::TooManyDevices),
            Ok(SignInResult::Revoked) => Err(AuthError::Revoked),
            Err(_) => Err(AuthError::Unavailable),
        }
    }

    /// Verifies a fresh token of an authenticated device.
    pub async fn renew(&self, token: &str, who: &Principal, client: &ClientAddress) -> Result<RenewalOutcome, AuthError> {
        self.within_limits(client, client.take_handshake(self.clock.running_ms()))?;
        let login = self.verify_token(token, client).await?;
        let (expires_s, token) = (login.expires_s.saturating_add(LEEWAY_S), login_token(&login));
        if login.pool != who.pool.name {
            return Ok(RenewalOutcome::OtherIdentity);
        }
        match self.identities.find(login_request(&who.pool, &login, who.device.clone(), SignInPurpose::Read)).await {
            Ok(FoundLogin::Leads(identity)) if identity == who.identity => {
                // A session can live for months.
                self.identities.mark_seen(&identity, &who.device).await;
                Ok(RenewalOutcome::Until { expires_s, token })
            }
            Ok(FoundLogin::Leads(_) | FoundLogin::LeadsNowhere) => Ok(RenewalOutcome::OtherIdentity),
            Ok(FoundLogin::TokenRefused { until_s }) => Err(self.token_revoked(until_s)),
            Err(_) => Err(AuthError::Unavailable),
        }
    }

    /// The issuers whose keys could not be fetched yet: none of their tokens is accepted.
    pub fn issuers_without_keys(&self) -> Vec<IssuerWithoutKeys> {
        self.verifier.issuers_without_keys()
    }

    /// The login of another token of a device's user, without signing it in.
    pub async fn verify(&self, token: &str, who: &Principal, client: &ClientAddress) -> Result<VerifiedLogin, AuthError> {
        let login = self.verify_token(token, client).await?;
        if login.pool != who.pool.name {
            return Ok(login);
        }
        match self.identities.find(login_request(&who.pool, &login, who.device.clone(), SignInPurpose::Read)).await {
            Ok(FoundLogin::Leads(_) | FoundLogin::LeadsNowhere) => Ok(login),
            Ok(FoundLogin::TokenRefused { until_s }) => Err(self.token_revoked(until_s)),
            Err(_) => Err(AuthError::Unavailable),
        }
    }

    /// Whether the user has proved this login within the time that a link demands.
    pub fn is_fresh(&self, login: &VerifiedLogin, pool: &Pool) -> bool {
        login.is_fresh(pool.link_fresh_s, self.clock.unix_ms() / 1000)
    }

    /// For a token that is refused like all tokens of its login that were issued until then, in seconds since 1970.
    pub fn token_revoked(&self, until_s: u64) -> AuthError {
        let error = AuthError::TokenRevoked { wait_s: until_s.saturating_add(1).saturating_sub(self.clock.unix_ms() / 1000) };
        self.metrics.token_rejected(error.code());
        error
    }

    async fn verify_token(&self, token: &str, client: &ClientAddress) -> Result<VerifiedLogin, AuthError> {
        let now_ms = self.clock.running_ms();
        self.within_limits(client, client.check_tokens(now_ms))?;
        let limiting_pool = self.pool_that_limits_refused_tokens(token);
        if let Some(pool) = &limiting_pool {
            self.within_limits(client, pool.used.check_tokens(client, now_ms))?;
        }
        let verified = self.verifier.verify(token, self.clock.unix_ms() / 1000).await;
        verified.map_err(|refusal| {
            self.metrics.token_rejected(refusal.code());
            // A token whose issuer's keys are not at hand may be good, and one that is too old is no guess: a phone that repeats it must not keep
            // out the others behind its address.
            if !refusal.is_temporary() && !refusal.is_of_genuine_token() {
                client.token_refused(self.clock.running_ms());
                if let Some(pool) = &limiting_pool {
                    pool.used.token_refused(self.clock.running_ms());
                }
            }
            AuthError::Token(refusal)
        })
    }

    /// The pool that a token names, if it limits refused tokens.
    fn pool_that_limits_refused_tokens(&self, token: &str) -> Option<Arc<Pool>> {
        if !self.pools.limits_refused_tokens() {
            return None;
        }
        self.pools.get(&self.verifier.named_pool(token)?).filter(|pool| pool.used.limits_refused_tokens())
    }

    /// Counts and logs what a limit does not permit.
    pub fn within_limits<T>(&self, client: &ClientAddress, permitted: Result<T, LimitExceeded>) -> Result<T, AuthError> {
        permitted.map_err(|exceeded| {
            self.metrics.limit_exceeded(exceeded.what.code());
            info!(address = %client.address(), limit = exceeded.what.code(), "refused: over a limit");
            AuthError::LimitExceeded(exceeded)
        })
    }
}

impl AuthenticatedDevice {
    /// The token as the store judges it.
    pub fn token(&self) -> LoginToken {
        login_token(&self.login)
    }
}

/// A verified token as the store judges it.
pub fn login_token(login: &VerifiedLogin) -> LoginToken {
    LoginToken { issuer: Arc::clone(&login.issuer), subject: login.subject.clone(), issued_s: login.issued_s }
}

fn login_request(pool: &Pool, login: &VerifiedLogin, device: DeviceId, purpose: SignInPurpose) -> LoginRequest {
    LoginRequest {
        pool: Arc::clone(&pool.name),
        region: Arc::clone(&pool.region),
        issuer: Arc::clone(&login.issuer),
        subject: login.subject.clone(),
        issued_s: login.issued_s,
        device,
        purpose,
        max_devices: pool.limits.devices,
    }
}
