//! How a user pool is described.

use serde_json::{Value, json};

use crate::aws::timestamp::EpochSeconds;
use crate::store::{CustomKind, PasswordDemands, UserPool, UserPoolId, UsernameKind};
use crate::users::STANDARD;

/// UserPoolType.
pub(super) fn shape(id: &UserPoolId, pool: &UserPool) -> Value {
    let UserPool { account, name, made_ms, changed_ms, state: _, settings } = pool;
    let PasswordDemands { minimum_length, uppercase, lowercase, numbers, symbols, temporary_days } = settings.password;
    let custom: Vec<Value> = settings
        .custom
        .iter()
        .map(|custom| {
            let kind = match custom.kind {
                CustomKind::Text { .. } => "String",
                CustomKind::Number { .. } => "Number",
                CustomKind::Boolean => "Boolean",
                CustomKind::DateTime => "DateTime",
            };
            json!({ "Name": custom.name, "AttributeDataType": kind, "Mutable": custom.mutable, "Required": false, "DeveloperOnlyAttribute": false })
        })
        .collect();
    let standard = STANDARD.iter().chain(&["sub"]).map(|name| {
        let required = *name == "sub" || settings.required.iter().any(|one| one == name);
        json!({ "Name": name, "AttributeDataType": "String", "Mutable": *name != "sub", "Required": required, "DeveloperOnlyAttribute": false })
    });
    let attributes: Vec<Value> = standard.chain(custom).collect();
    let mut shape = json!({
        "Id": id.as_str(),
        "Name": name,
        "Arn": format!("arn:aws:cognito-idp:{}:{account}:userpool/{id}", id.region()),
        "CreationDate": EpochSeconds::from_ms(*made_ms),
        "LastModifiedDate": EpochSeconds::from_ms(*changed_ms),
        "LambdaConfig": {},
        "Policies": { "PasswordPolicy": {
            "MinimumLength": minimum_length, "RequireUppercase": uppercase, "RequireLowercase": lowercase, "RequireNumbers": numbers,
            "RequireSymbols": symbols, "TemporaryPasswordValidityDays": temporary_days,
        } },
        "SchemaAttributes": attributes,
        "AutoVerifiedAttributes": settings.auto_verified,
        "MfaConfiguration": "OFF",
        "DeletionProtection": if settings.protected { "ACTIVE" } else { "INACTIVE" },
        "UserPoolTags": settings.tags,
        "UsernameConfiguration": { "CaseSensitive": settings.case_sensitive },
        "AdminCreateUserConfig": { "AllowAdminCreateUserOnly": settings.admin_only, "UnusedAccountValidityDays": temporary_days },
    });
    match settings.usernames {
        UsernameKind::Chosen if settings.aliases.is_empty() => {}
        UsernameKind::Chosen => shape["AliasAttributes"] = json!(settings.aliases),
        UsernameKind::Attribute { email, phone } => {
            let names: Vec<&str> =
                [(email, "email"), (phone, "phone_number")].into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
            shape["UsernameAttributes"] = json!(names);
        }
    }
    shape
}
