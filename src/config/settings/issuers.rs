//! The settings of a pool's token issuers.

use super::form::ValueForm;
use super::setting::{ConfigSetting, setting, unset};

pub(super) const ISSUERS: &[ConfigSetting] = &[
    setting("pools.*.issuers.*.issuer", unset, "The iss claim of the issuer's tokens.").required(),
    setting("pools.*.issuers.*.audience", unset, "A list of names; the aud claim of a token must contain one of them.")
        .with_form(ValueForm::Texts)
        .required(),
    setting(
        "pools.*.issuers.*.jwks_url",
        unset,
        "The https URL of the issuer's public keys, a JWKS document. Set exactly one of jwks_url, keys_file and secret.",
    ),
    setting("pools.*.issuers.*.keys_file", unset, "A JWKS file, or a PEM file with one public key."),
    setting("pools.*.issuers.*.secret", unset, "A secret of at least 32 bytes that is shared with the issuer (HS256).").secret(),
];
