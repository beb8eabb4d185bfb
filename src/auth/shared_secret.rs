//! An issuer's shared secret, from the configuration or from a file.

use super::config::{DEVELOPMENT_SECRET, IssuerConfig};
use super::config_error::IssuerProblem;
use crate::secret_file;

/// The shared secret, if the issuer has one. Blocks: it may read a file. Line ends after the secret in its file do not count, nor does a byte
/// order mark before it.
pub fn shared_secret(config: &IssuerConfig) -> Result<Option<String>, IssuerProblem> {
    let path = match (&config.secret, &config.secret_file) {
        (Some(_), Some(_)) => return Err(IssuerProblem::SeveralKeySources),
        (secret, None) => return Ok(secret.clone()),
        (None, Some(path)) => path,
    };
    let secret = secret_file::read(path).map_err(IssuerProblem::UnreadableSecret)?;
    if secret == DEVELOPMENT_SECRET { Err(IssuerProblem::DevelopmentSecretInFile) } else { Ok(Some(secret)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_write_around_a_secret_is_no_part_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        let config = IssuerConfig { secret_file: Some(file.clone()), ..IssuerConfig::default() };
        for text in ["a secret", "a secret\n", "a secret\r\n", "\u{feff}a secret\r\n"] {
            std::fs::write(&file, text).expect("writes");
            assert_eq!(shared_secret(&config), Ok(Some("a secret".to_owned())), "{text:?}");
        }
    }
}
