//! Shapes that several operations have.

use serde::{Deserialize, Serialize};

use crate::aws::timestamp::EpochSeconds;
use crate::store::User;
use crate::users::{CodeDelivery, status_name};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributeShape {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CodeDeliveryShape {
    pub destination: String,
    pub delivery_medium: &'static str,
    pub attribute_name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserShape {
    pub username: String,
    pub attributes: Vec<AttributeShape>,
    pub user_create_date: EpochSeconds,
    pub user_last_modified_date: EpochSeconds,
    pub enabled: bool,
    pub user_status: &'static str,
}

pub(super) fn pairs(attributes: Vec<AttributeShape>) -> Vec<(String, String)> {
    attributes.into_iter().map(|AttributeShape { name, value }| (name, value)).collect()
}

pub(super) fn attributes(sub: &str, pairs: &[(String, String)]) -> Vec<AttributeShape> {
    let of = |name: &str, value: &str| AttributeShape { name: name.to_owned(), value: value.to_owned() };
    std::iter::once(of("sub", sub)).chain(pairs.iter().map(|(name, value)| of(name, value))).collect()
}

impl From<CodeDelivery> for CodeDeliveryShape {
    fn from(delivery: CodeDelivery) -> CodeDeliveryShape {
        let CodeDelivery { attribute, destination } = delivery;
        let delivery_medium = if attribute == "phone_number" { "SMS" } else { "EMAIL" };
        CodeDeliveryShape { destination, delivery_medium, attribute_name: attribute }
    }
}

impl From<User> for UserShape {
    fn from(user: User) -> UserShape {
        UserShape {
            attributes: attributes(&user.sub, &user.attributes),
            username: user.username,
            user_create_date: EpochSeconds::from_ms(user.made_ms),
            user_last_modified_date: EpochSeconds::from_ms(user.changed_ms),
            enabled: user.enabled,
            user_status: status_name(user.status),
        }
    }
}
