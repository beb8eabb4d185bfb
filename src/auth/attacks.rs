//! Attacks on tokens, one test each: the attacks of RFC 8725 section 2, and others that became known since.
//!
//! Each test first shows a token that is accepted, or a verifier that would accept it, so that the rejection is due to the attack alone.
//! Storms of unknown keys are in `rotation`, as they need a JWKS server.

mod algorithm;
mod content;
mod form;
mod keys;
mod pools;
mod signature;
