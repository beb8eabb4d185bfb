//! What tests of user pools have in common.

use crate::store::{PasswordDemands, Tries, User, UserPoolSettings, UserStatus, UsernameKind};

pub(super) fn settings_of_test() -> UserPoolSettings {
    UserPoolSettings {
        password: PasswordDemands { minimum_length: 8, uppercase: true, lowercase: true, numbers: true, symbols: true, temporary_days: 7 },
        usernames: UsernameKind::Chosen,
        aliases: Vec::new(),
        auto_verified: vec!["email".to_owned()],
        case_sensitive: true,
        admin_only: false,
        required: Vec::new(),
        custom: Vec::new(),
        email_subject: None,
        email_message: None,
        invite_subject: None,
        invite_message: None,
        protected: false,
        tags: Default::default(),
    }
}

pub(super) fn user_of_test(name: &str) -> User {
    User {
        username: name.to_owned(),
        sub: "6f1c2f0e-6c3b-4f5a-9d55-0b8e37a1d4c2".to_owned(),
        status: UserStatus::Confirmed,
        enabled: true,
        made_ms: 5,
        changed_ms: 5,
        attributes: Vec::new(),
        password: None,
        signed_out_ms: 0,
        tries: Tries::default(),
    }
}
