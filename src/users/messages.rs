//! The messages with codes and passwords, and what is told of them.

use super::attributes::{EMAIL, PHONE, masked, value};
use super::code;
use super::fault::UserFault;
use super::names::CodeDelivery;
use super::user_pools::UserPools;
use crate::mail::{Message, MessageWay, NotQueued};
use crate::store::{CodeUse, StoredCode, User, UserPoolSettings};

/// What stands for the code in a text of a pool: "Configuring verification and invitation messages" in the Amazon Cognito developer guide.
const CODE_PLACE: &str = "{####}";
const USERNAME_PLACE: &str = "{username}";

/// A code with its row and its message: made before the transaction, sent after it.
pub(super) struct NewCode {
    pub digits: String,
    pub attribute: &'static str,
    pub value: String,
}

/// The attribute to which a user's code goes: the address first, then the number, of those that fit.
pub(super) fn target(user: &User, fits: impl Fn(&str) -> bool) -> Option<(&'static str, &str)> {
    [EMAIL, PHONE].into_iter().filter(|name| fits(name)).find_map(|name| value(&user.attributes, name).map(|value| (name, value)))
}

impl UserPools {
    /// A new code to prove an attribute.
    pub(super) fn new_code(&self, attribute: &'static str, value: &str) -> Result<NewCode, UserFault> {
        if !self.mail.has_way(way(attribute)) {
            return Err(UserFault::NotDelivered);
        }
        let chance = getrandom::u64().map_err(|_| UserFault::Internal)?;
        Ok(NewCode { digits: code::digits(chance), attribute, value: value.to_owned() })
    }

    /// The keyed hash of a code, for its row or for comparing.
    pub(super) fn code_hash(&self, sub: &str, code: CodeUse, value: &str, digits: &str) -> Result<Vec<u8>, UserFault> {
        // Nothing else is ever a code; a long text is not hashed.
        let is_code = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let digits = if is_code { digits } else { "" };
        Ok(code::hash(&self.lasting_key("user pool codes")?, sub, code, value, digits)?)
    }

    /// Queues the message with a code. What is not queued is asked for again by the user.
    pub(super) fn send_code(&self, settings: &UserPoolSettings, user: &User, code: &NewCode) -> Result<CodeDelivery, UserFault> {
        let NewCode { digits, attribute, value } = code;
        let subject = settings.email_subject.clone().unwrap_or_else(|| "Your verification code".to_owned());
        let body = settings.email_message.as_deref().unwrap_or("Your verification code is {####}");
        let body = body.replace(CODE_PLACE, digits).replace(USERNAME_PLACE, &user.username);
        self.send(way(attribute), value, subject, body)?;
        Ok(CodeDelivery { attribute: (*attribute).to_owned(), destination: masked(attribute, value) })
    }

    /// Queues the message that tells a user the first password.
    pub(super) fn send_invitation(&self, settings: &UserPoolSettings, user: &User, password: &str) -> Result<(), UserFault> {
        let Some((attribute, to)) = target(user, |name| self.mail.has_way(way(name))) else { return Ok(()) };
        let subject = settings.invite_subject.clone().unwrap_or_else(|| "Your temporary password".to_owned());
        let body = settings.invite_message.as_deref().unwrap_or("Your username is {username} and temporary password is {####}");
        let body = body.replace(CODE_PLACE, password).replace(USERNAME_PLACE, &user.username);
        self.send(way(attribute), to, subject, body)
    }

    fn send(&self, way: MessageWay, to: &str, subject: String, body: String) -> Result<(), UserFault> {
        self.mail.send(Message { way, to: to.to_owned(), subject, body }).map_err(|why| match why {
            NotQueued::NoWay(_) => UserFault::NotDelivered,
            NotQueued::Full => UserFault::Overloaded,
        })
    }
}

/// What a user is told of a code that was sent before: nothing is said of its digits.
pub(super) fn is_for(row: &StoredCode, attribute: &str, value: &str) -> bool {
    row.attribute == attribute && row.value == value
}

fn way(attribute: &str) -> MessageWay {
    match attribute {
        PHONE => MessageWay::Sms,
        _ => MessageWay::Email,
    }
}
