//! An issuer's shared secret, from the configuration or from a file.

use std::fs::File;
use std::io::Read;

use super::config::{DEVELOPMENT_SECRET, IssuerConfig, MAX_JWKS_BYTES};
use super::config_error::IssuerProblem;

/// The shared secret, if the issuer has one. Blocks: it may read a file. A line end after the secret in its file does not count.
pub fn shared_secret(config: &IssuerConfig) -> Result<Option<String>, IssuerProblem> {
    let path = match (&config.secret, &config.secret_file) {
        (Some(_), Some(_)) => return Err(IssuerProblem::SeveralKeySources),
        (secret, None) => return Ok(secret.clone()),
        (None, Some(path)) => path,
    };
    let problem = |why: std::io::Error| IssuerProblem::UnreadableSecret(format!("{}: {why}", path.display()));
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_JWKS_BYTES as u64).read_to_string(&mut text)).map_err(problem)?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret == DEVELOPMENT_SECRET { Err(IssuerProblem::DevelopmentSecretInFile) } else { Ok(Some(secret.to_owned())) }
}
