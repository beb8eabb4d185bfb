//! The settings of a pool's token issuers.

use super::form::ValueForm;
use super::setting::{ConfigSetting, setting, unset, value};
use crate::auth::IssuerConfig;

pub(super) const ISSUERS: &[ConfigSetting] = &[
    setting(
        "pools.*.issuers.*.issuer",
        unset,
        "The iss claim of the issuer's tokens, which is compared exactly. An https URL may have {tenantid} once, as one whole segment of its path, for any tenant: https://login.microsoftonline.com/{tenantid}/v2.0. Then the users of every tenant can sign in for whom the provider makes tokens with this audience.",
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
        "The https URL of the issuer's public keys, a JWKS document. Without jwks_url, keys_file, secret and secret_file the keys are found by the issuer's metadata (OpenID Connect Discovery). HTTPS_PROXY and NO_PROXY are followed.",
    ),
    setting("pools.*.issuers.*.keys_file", unset, "A JWKS file, or a PEM file with one public key."),
    setting(
        "pools.*.issuers.*.secret",
        unset,
        "A secret of at least 32 bytes that is shared with the issuer (HS256; 48 bytes for HS384, 64 for HS512).",
    )
    .secret(),
    setting("pools.*.issuers.*.secret_file", unset, "A file with that secret, read when the server starts."),
    setting(
        "pools.*.issuers.*.authority_file",
        unset,
        "PEM file with additional root certificates to trust when keys and metadata are fetched.",
    ),
    setting(
        "pools.*.issuers.*.allow_private_http",
        || value(IssuerConfig::default().allow_private_http),
        "Whether keys and metadata may be fetched by plain http from private addresses (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7). Everyone in that network can then make tokens.",
    ),
];
