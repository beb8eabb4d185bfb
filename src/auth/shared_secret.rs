//! An issuer's shared secret, from the configuration or from a file.

use std::fs::File;
use std::io::Read;

use super::config::{DEVELOPMENT_SECRET, IssuerConfig, MAX_JWKS_BYTES};
use super::config_error::IssuerProblem;

/// The shared secret, if the issuer has one. Blocks: it may read a file. A line end after the secret in its file does not count, nor does a byte
/// order mark before it.
pub fn shared_secret(config: &IssuerConfig) -> Result<Option<String>, IssuerProblem> {
    let path = match (&config.secret, &config.secret_file) {
        (Some(_), Some(_)) => return Err(IssuerProblem::SeveralKeySources),
        (secret, None) => return Ok(secret.clone()),
        (None, Some(path)) => path,
    };
    let problem = |why: std::io::Error| IssuerProblem::UnreadableSecret(format!("{}: {why}", path.display()));
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_JWKS_BYTES as u64).read_to_string(&mut text)).map_err(problem)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let secret = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if secret == DEVELOPMENT_SECRET { Err(IssuerProblem::DevelopmentSecretInFile) } else { Ok(Some(secret.to_owned())) }
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
