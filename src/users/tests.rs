//! Stories of user pools on a real store.
