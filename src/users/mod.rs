//! The people of a user pool: so far, how somebody proves to be one of them.
//!
//! Never here: identities, sessions and datasets. A user pool's tokens come to `auth` as those of any other issuer.

pub mod proof;
