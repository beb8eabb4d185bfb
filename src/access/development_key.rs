//! The access key of `driftless dev`. It is public: a server for production does not serve a store that has it.

/// The id of the development account: the one of AWS's own examples.
pub const DEVELOPMENT_ACCOUNT: &str = "123456789012";

/// The id of its root's access key. Public: it stands in this source, and `driftless dev` prints it. It says the account number 0, which the
/// first account of a store has.
pub const DEVELOPMENT_ACCESS_KEY_ID: &str = "AKIADAAAADEVELOPMENT";

/// The secret of that key. Public as the id is: it protects nothing.
pub const DEVELOPMENT_SECRET_ACCESS_KEY: &str = "driftless-dev-secret-that-everyone-knows";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{AccessKeyId, AccessKeyKind, AccessKeySecret};
    use crate::store::AccountId;

    #[test]
    fn the_development_key_reads_as_a_key_of_the_first_account() {
        let id: AccessKeyId = DEVELOPMENT_ACCESS_KEY_ID.parse().expect("an access key id");
        assert_eq!((id.account().get(), id.kind(), id.to_string().as_str()), (0, AccessKeyKind::Lasting, DEVELOPMENT_ACCESS_KEY_ID));
        assert!(AccessKeySecret::from_text(DEVELOPMENT_SECRET_ACCESS_KEY).is_some() && AccountId::parse(DEVELOPMENT_ACCOUNT).is_some());
    }
}
