//! The attributes of users: which there are, and which values they may have. Pure.
//!
//! Source: "Working with user attributes" in the Amazon Cognito developer guide.

use super::fault::UserFault;
use crate::store::{CustomAttribute, CustomKind, UserPoolSettings};

/// Characters of a value: AttributeValueType of the service's model.
const MAX_VALUE_CHARS: usize = 2048;

/// Attributes of a user: the standard ones, and as many custom ones as a pool may have.
pub const MOST_CUSTOM: usize = 50;

/// Characters of a custom attribute's name without its prefix.
pub const MAX_CUSTOM_NAME_CHARS: usize = 20;

/// The standard attributes that users and administrators write: the claims of OpenID Connect Core, section 5.1.
pub const STANDARD: [&str; 17] = [
    "address",
    "birthdate",
    "email",
    "family_name",
    "gender",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "phone_number",
    "picture",
    "preferred_username",
    "profile",
    "updated_at",
    "website",
    "zoneinfo",
];

pub const EMAIL: &str = "email";
pub const PHONE: &str = "phone_number";
pub const PREFERRED: &str = "preferred_username";
pub const EMAIL_VERIFIED: &str = "email_verified";
pub const PHONE_VERIFIED: &str = "phone_number_verified";

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeWriter<'a> {
    /// A user, through a client that may write these attributes; all, if it names none.
    User(&'a [String]),
    Administrator,
}

/// Whether a value was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Creation,
    Update,
}

/// Attributes in the order of their names, each once.
pub type Attributes = Vec<(String, String)>;

/// The value of an attribute.
pub fn value<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Sets an attribute, or removes it if the value is empty.
pub fn set(attributes: &mut Attributes, name: &str, value: &str) {
    attributes.retain(|(known, _)| known != name);
    if !value.is_empty() {
        attributes.push((name.to_owned(), value.to_owned()));
        attributes.sort();
    }
}

/// The attribute that says whether another one is verified.
pub fn verified_name(name: &str) -> Option<&'static str> {
    match name {
        EMAIL => Some(EMAIL_VERIFIED),
        PHONE => Some(PHONE_VERIFIED),
        _ => None,
    }
}

pub fn is_verified(attributes: &[(String, String)], name: &str) -> bool {
    verified_name(name).is_some_and(|name| value(attributes, name) == Some("true"))
}

/// What is written, checked against the pool. The last value of a name counts.
///
/// # Errors
/// An attribute that the pool does not have or the writer may not write, or a value of another form.
pub fn checked(
    settings: &UserPoolSettings,
    given: &[(String, String)],
    writer: AttributeWriter<'_>,
    moment: Moment,
) -> Result<Attributes, UserFault> {
    if given.len() > STANDARD.len() + MOST_CUSTOM + 2 {
        return Err(UserFault::parameter("Too many attributes"));
    }
    let mut found = Attributes::new();
    for (name, value) in given {
        check_name(settings, name, writer, moment)?;
        if value.len() > 4 * MAX_VALUE_CHARS || value.chars().count() > MAX_VALUE_CHARS {
            return Err(UserFault::parameter(format!("user.{name}: the value has more than {MAX_VALUE_CHARS} characters")));
        }
        check_value(settings, name, value)?;
        found.retain(|(known, _)| known != name);
        found.push((name.clone(), value.clone()));
    }
    found.sort();
    Ok(found)
}

/// The attributes that a pool demands from the beginning and that are not there.
pub fn missing<'a>(settings: &'a UserPoolSettings, attributes: &[(String, String)]) -> Option<&'a str> {
    settings.required.iter().map(String::as_str).find(|name| *name != "sub" && value(attributes, name).is_none_or(str::is_empty))
}

fn custom<'a>(settings: &'a UserPoolSettings, name: &str) -> Option<&'a CustomAttribute> {
    settings.custom.iter().find(|custom| custom.name == name)
}

fn check_name(settings: &UserPoolSettings, name: &str, writer: AttributeWriter<'_>, moment: Moment) -> Result<(), UserFault> {
    let shown: String = name.chars().filter(|one| !one.is_control()).take(32).collect();
    let is_verification = [EMAIL_VERIFIED, PHONE_VERIFIED].contains(&name);
    let is_known =
        STANDARD.contains(&name) || custom(settings, name).is_some() || (is_verification && writer == AttributeWriter::Administrator);
    if !is_known {
        let words = match is_verification || name == "sub" {
            true => format!("Cannot modify the non-mutable attribute {shown}"),
            false => format!("Attribute does not exist in the schema: {shown}"),
        };
        return Err(UserFault::Parameter(words));
    }
    if moment == Moment::Update && custom(settings, name).is_some_and(|custom| !custom.mutable) {
        return Err(UserFault::parameter(format!("Cannot modify the non-mutable attribute {shown}")));
    }
    match writer {
        AttributeWriter::User(may) if !may.is_empty() && !may.iter().any(|one| one == name) => {
            Err(UserFault::NotAuthorized("A client attempted to write unauthorized attribute"))
        }
        AttributeWriter::User(_) | AttributeWriter::Administrator => Ok(()),
    }
}

fn check_value(settings: &UserPoolSettings, name: &str, value: &str) -> Result<(), UserFault> {
    if value.is_empty() {
        return Ok(());
    }
    let is_good = match name {
        EMAIL => is_email(value),
        PHONE => is_phone(value),
        EMAIL_VERIFIED | PHONE_VERIFIED => value == "true" || value == "false",
        "birthdate" => value.len() == 10 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'),
        "updated_at" => value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit()),
        _ => custom(settings, name).is_none_or(|custom| fits(custom.kind, value)),
    };
    let words = match name {
        EMAIL => "Invalid email address format.",
        PHONE => "Invalid phone number format.",
        _ => "Attributes did not conform to the schema",
    };
    if is_good { Ok(()) } else { Err(UserFault::Parameter(format!("{words} ({name})"))) }
}

fn fits(kind: CustomKind, value: &str) -> bool {
    match kind {
        CustomKind::Text { min, max } => (min as usize..=max as usize).contains(&value.chars().count()),
        CustomKind::Number { min, max } => {
            value.parse::<i64>().is_ok_and(|number| min.is_none_or(|min| min <= number) && max.is_none_or(|max| number <= max))
        }
        CustomKind::Boolean => value == "true" || value == "false",
        CustomKind::DateTime => value.len() <= 30 && value.is_ascii(),
    }
}

/// An address that a message can be sent to: no spaces or control characters, so none can add a header, and one part on each side of the last `@`.
pub fn is_email(text: &str) -> bool {
    let is_plain = text.len() <= 254 && !text.chars().any(|one| one.is_whitespace() || one.is_control() || "<>(),;:\\\"[]".contains(one));
    is_plain
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            let has_labels = domain.split('.').all(|label| !label.is_empty());
            !local.is_empty() && local.len() <= 64 && !local.contains('@') && has_labels
        })
}

/// A number in the form of E.164: a plus sign and up to fifteen digits.
pub fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An address or number as it is shown to who is not known to be its owner: `a***@e***`, `+*******0123`.
pub fn masked(name: &str, value: &str) -> String {
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    match (name, value.split_once('@')) {
        (EMAIL, Some((local, domain))) => format!("{}***@{}***", first(local), first(domain)),
        _ => {
            let shown: String = value.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
            format!("+*******{shown}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::settings_of_test;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn addresses_that_could_add_a_header_or_a_recipient_are_none() {
        for good in ["ann@example.com", "a.b+c@d-e.example", "\u{f6}rk@example.com", "o'hara@example.com", "x@localhost"] {
            assert!(is_email(good), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in ["", "@", "a@", "@b", "a b@c.d", "a@b..c", "a@b\r\nBcc: x@y", "a@b,c@d", "a@b@c", "<a@b>", "a@b\0", &long] {
            assert!(!is_email(bad), "{bad:?}");
        }
        assert!(
            is_phone("+4930123456") && !is_phone("030123456") && !is_phone("+") && !is_phone("+49 30") && !is_phone("+1234567890123456")
        );
    }

    #[test]
    fn users_do_not_verify_themselves_and_write_what_their_client_may() {
        let settings = settings_of_test();
        let by_user = |name: &str, value: &str| checked(&settings, &[pair(name, value)], AttributeWriter::User(&[]), Moment::Update);
        assert!(by_user("nickname", "annie").is_ok());
        for (name, value) in
            [("email_verified", "true"), ("sub", "x"), ("custom:nope", "1"), ("email", "no address"), ("phone_number", "1")]
        {
            assert!(matches!(by_user(name, value), Err(UserFault::Parameter(_))), "{name}");
        }
        let may = ["name".to_owned()];
        let refused = checked(&settings, &[pair("nickname", "a")], AttributeWriter::User(&may), Moment::Creation);
        assert!(matches!(refused, Err(UserFault::NotAuthorized(_))));
        assert!(checked(&settings, &[pair("email_verified", "true")], AttributeWriter::Administrator, Moment::Update).is_ok());
        assert!(checked(&settings, &[pair("name", &"x".repeat(2049))], AttributeWriter::Administrator, Moment::Update).is_err());
        let many: Vec<_> = (0..200).map(|_| pair("name", "x")).collect();
        assert!(checked(&settings, &many, AttributeWriter::Administrator, Moment::Update).is_err());
    }

    #[test]
    fn custom_attributes_have_their_kind_and_some_do_not_change() {
        let mut settings = settings_of_test();
        let custom = |name: &str, kind, mutable| CustomAttribute { name: format!("custom:{name}"), kind, mutable };
        settings.custom = vec![
            custom("age", CustomKind::Number { min: Some(0), max: Some(150) }, true),
            custom("code", CustomKind::Text { min: 2, max: 3 }, false),
            custom("is", CustomKind::Boolean, true),
        ];
        let by_user =
            |name: &str, value: &str, moment| checked(&settings, &[pair(name, value)], AttributeWriter::User(&[]), moment).is_ok();
        assert!(by_user("custom:age", "7", Moment::Update) && !by_user("custom:age", "-1", Moment::Update));
        assert!(!by_user("custom:age", "7.5", Moment::Update) && !by_user("custom:age", "99999999999999999999", Moment::Update));
        assert!(by_user("custom:code", "abc", Moment::Creation) && !by_user("custom:code", "abc", Moment::Update));
        assert!(!by_user("custom:code", "a", Moment::Creation) && !by_user("custom:is", "yes", Moment::Creation));
    }

    #[test]
    fn addresses_are_shown_masked() {
        assert_eq!(masked(EMAIL, "ann@example.com"), "a***@e***");
        assert_eq!(masked(PHONE, "+4930123456"), "+*******3456");
    }
}
