//! The one error of this module: everything that is wrong with a configuration.

use std::fmt;

/// A configuration that cannot be used. Each problem names its place and its key, and says what was expected; none contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<ConfigProblem>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigProblem {
    /// The file and line, the variable or the flag; `None`: nothing was set.
    place: Option<String>,
    text: String,
}

impl ConfigProblem {
    /// A problem at a place.
    pub(super) fn at(place: Option<String>, text: impl Into<String>) -> ConfigProblem {
        ConfigProblem { place, text: text.into() }
    }
}

impl ConfigError {
    /// An error, if there is any problem.
    pub(super) fn check(problems: Vec<ConfigProblem>) -> Result<(), ConfigError> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }
}

impl From<ConfigProblem> for ConfigError {
    fn from(problem: ConfigProblem) -> ConfigError {
        ConfigError(vec![problem])
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            all => {
                write!(f, "{} errors in the configuration", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
