//! Checks what a start of the server would find: the files that a configuration names.

use std::sync::Arc;

use super::error::{ConfigError, ConfigProblem};
use super::key_path::KeyPath;
use super::server::ServerConfig;
use crate::auth::{IssuerConfig, IssuerConfigError, Verifier};
use crate::http::TlsConfig;

impl ServerConfig {
    /// Reads every file that the configuration names, as a start does, and returns all that is wrong. Blocks; opens no port and no store.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let mut problems = self.own_file_problems();
        let issuers = self.issuers();
        // Each by itself, so that all are reported; then all together, as two of them can be ambiguous.
        for (pool, issuers) in &issuers {
            for (at, issuer) in issuers.iter().enumerate() {
                problems.extend(alone(pool, issuer).map(|why| self.entry_problem(&why, at)));
            }
        }
        if problems.is_empty() {
            problems.extend(Verifier::new(issuers).err().map(|why| self.issuer_problem(&why)));
        }
        problems.extend(self.pools.iter().filter_map(|(name, pool)| self.push_of(name, pool).err()));
        ConfigError::check(problems)
    }

    /// Reads the files that are neither an issuer's nor a push credential: the certificate, its key, and the folder of the store. Blocks.
    pub fn check_own_files(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.own_file_problems())
    }

    fn own_file_problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (setting, why) in self.certificate().iter().flat_map(TlsConfig::faults) {
            let path = KeyPath::of_setting("tls").name(setting);
            problems.push(self.problem(&path, format!("{path}: {why}")));
        }
        if self.data.exists() && !self.data.is_dir() {
            problems.push(self.problem(&KeyPath::of_setting("data"), format!("data: {} is no folder", self.data.display())));
        }
        problems
    }

    /// The error of an issuer, with its place.
    pub fn issuer_error(&self, why: &IssuerConfigError) -> ConfigError {
        self.issuer_problem(why).into()
    }

    fn issuer_problem(&self, why: &IssuerConfigError) -> ConfigProblem {
        let entries = self.pools.get(&*why.pool).map(|pool| pool.issuers.as_slice()).unwrap_or_default();
        // Several entries may have the issuer: it is the one that has the problem by itself, or else the last, which comes after what it
        // is ambiguous with.
        let of_issuer: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].issuer == why.issuer).collect();
        let same = |at: &&usize| alone(&why.pool, &entries[**at]).is_some_and(|other| other == *why);
        match of_issuer.iter().find(same).or(of_issuer.last()) {
            Some(at) => self.entry_problem(why, *at),
            None => self.problem(&KeyPath::of_setting("pools").name(&why.pool).name("issuers"), why.to_string()),
        }
    }

    /// The error of one entry of a pool's issuers.
    fn entry_problem(&self, why: &IssuerConfigError, at: usize) -> ConfigProblem {
        let issuers = KeyPath::of_setting("pools").name(&why.pool).name("issuers");
        // The text of a problem begins with the setting that it is about, if it is about one.
        let text = why.problem.to_string();
        let key = issuers.entry(at).name(text.split(' ').next().unwrap_or_default());
        self.problem(&key, format!("{issuers}, issuer {:?}: {text}", why.issuer))
    }
}

/// What is wrong with an issuer by itself.
fn alone(pool: &Arc<str>, issuer: &IssuerConfig) -> Option<IssuerConfigError> {
    Verifier::new([(Arc::clone(pool), vec![issuer.clone()])]).err()
}
