//! Checks what a start of the server would find: the files that a configuration names.

use super::error::{ConfigError, ConfigProblem};
use super::key_path::KeyPath;
use super::server::ServerConfig;
use crate::auth::{IssuerConfigError, Verifier};
use crate::http::TlsConfig;

impl ServerConfig {
    /// Reads every file that the configuration names, as a start does, and returns all that is wrong. Blocks; opens no port and no store.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if let Some(Err(why)) = self.certificate().as_ref().map(TlsConfig::check) {
            problems.push(self.problem(&KeyPath::of_setting("tls.certificate"), format!("tls: {why}")));
        }
        if self.data.exists() && !self.data.is_dir() {
            problems.push(self.problem(&KeyPath::of_setting("data"), format!("data: {} is no folder", self.data.display())));
        }
        let issuers = self.issuers();
        // Each by itself, so that all are reported; then all together, as two of them can be ambiguous.
        for (pool, issuers) in &issuers {
            for issuer in issuers {
                let alone = Verifier::new([(pool.clone(), vec![issuer.clone()])]);
                problems.extend(alone.err().map(|why| self.issuer_problem(&why)));
            }
        }
        if problems.is_empty() {
            problems.extend(Verifier::new(issuers).err().map(|why| self.issuer_problem(&why)));
        }
        problems.extend(self.pools.iter().filter_map(|(name, pool)| self.push_of(name, pool).err()));
        ConfigError::check(problems)
    }

    /// The error of an issuer, with its place.
    pub fn issuer_error(&self, why: &IssuerConfigError) -> ConfigError {
        self.issuer_problem(why).into()
    }

    fn issuer_problem(&self, why: &IssuerConfigError) -> ConfigProblem {
        let issuers = KeyPath::of_setting("pools").name(&why.pool).name("issuers");
        let entries = self.pools.get(&*why.pool).map(|pool| pool.issuers.as_slice()).unwrap_or_default();
        let Some(at) = entries.iter().position(|issuer| issuer.issuer == why.issuer) else {
            return self.problem(&issuers, why.to_string());
        };
        // The text of a problem begins with the setting that it is about, if it is about one.
        let text = why.problem.to_string();
        let key = issuers.entry(at).name(text.split(' ').next().unwrap_or_default());
        self.problem(&key, format!("{issuers}, issuer {:?}: {text}", why.issuer))
    }
}
