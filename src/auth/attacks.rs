//! Attacks on tokens, one test each: those of RFC 8725 section 2 and of the practice since.
//!
//! Each test first shows a token that is believed, or a verifier that would believe it, so that the refusal is due to the
//! attack alone. Storms of unknown keys are in `rotation`, as they need an issuer that can be asked.

mod algorithm;
mod content;
mod form;
mod keys;
mod pools;
mod signature;
