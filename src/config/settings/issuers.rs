//! The settings of a pool's token issuers.

use super::form::ValueForm;
use super::setting::{ConfigSetting, setting, unset, value};
use crate::auth::IssuerConfig;

pub(super) const ISSUERS: &[ConfigSetting] = &[
    setting(
        "pools.*.issuers.*.issuer",
        unset,
        "The iss claim of the issuer's tokens. {tenantid} in it stands for any one segment of the path, as in https://login.microsoftonline.com/{tenantid}/v2.0; everything else is compared exactly.",
    )
    .required(),
    setting(
        "pools.*.issuers.*.audience_claim",
        || value(IssuerConfig::default().audience_claim),
        "The claim that names a token's audience, if it is not aud: client_id for access tokens of Cognito, azp for Keycloak.",
    ),
    setting("pools.*.issuers.*.audience", unset, "A list of names; the claim that names the audience must contain one of them.")
        .with_form(ValueForm::Texts)
        .required(),
    setting(
        "pools.*.issuers.*.jwks_url",
        unset,
        "The https URL of the issuer's public keys, a JWKS document. Set exactly one of jwks_url, keys_file and secret.",
    ),
    setting("pools.*.issuers.*.keys_file", unset, "A JWKS file, or a PEM file with one public key."),
    setting(
        "pools.*.issuers.*.secret",
        unset,
        "A secret of at least 32 bytes that is shared with the issuer (HS256; 48 bytes for HS384, 64 for HS512).",
    )
    .secret(),
];
