//! The environment variables of this program. An unknown one is an error, as an unknown key of the file is.

use std::collections::BTreeMap;
use std::fmt;

use super::error::{ConfigError, ConfigProblem};
use super::names::nearest;
use super::settings::{ConfigSetting, SETTINGS};
use crate::invocation;

const PREFIX: &str = "DRIFTLESS_";

/// The variables that commands read and that are no setting's.
pub const COMMAND_VARIABLES: &[&str] =
    &["DRIFTLESS_CONFIG", "DRIFTLESS_URL", "DRIFTLESS_ADMIN_URL", "DRIFTLESS_CA", "DRIFTLESS_TOKEN", "DRIFTLESS_TOKEN_FILE"];

/// The variables with this program's prefix.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl fmt::Debug for Environment {
    /// Names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(variables: T) -> Environment {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment(variables.filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Environment {
        std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())).collect()
    }

    /// The value of a setting's variable. An empty variable counts as unset: compose files pass one for a variable that the user left out.
    pub(super) fn value(&self, setting: &ConfigSetting) -> Option<&str> {
        self.get(&setting.variable())
    }

    /// The value of a variable that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Checks that every variable is known.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.unknown())
    }

    pub(super) fn unknown(&self) -> Vec<ConfigProblem> {
        let unknown = self.0.iter().filter(|(name, value)| !is_known(name) && !is_of_kubernetes(name, value));
        let unknown = unknown.map(|(name, _)| ConfigProblem::at(None, format!("unknown variable {name}; {}", hint(name))));
        // Bytes that are not UTF-8 were replaced: the value would name another file.
        let changed = self.0.iter().filter(|(name, value)| is_known(name) && value.contains(char::REPLACEMENT_CHARACTER));
        let changed = changed.map(|(name, _)| ConfigProblem::at(None, format!("the variable {name} must be UTF-8 text")));
        unknown.chain(changed).collect()
    }
}

/// Whether a command or the server reads a variable.
pub fn is_known(name: &str) -> bool {
    COMMAND_VARIABLES.contains(&name) || global_settings().any(|setting| setting.variable() == name)
}

fn hint(name: &str) -> String {
    if name == "DRIFTLESS_PORT" {
        return "did you mean DRIFTLESS_LISTEN?".to_owned();
    }
    let variables: Vec<String> = global_settings().map(ConfigSetting::variable).collect();
    let known = variables.iter().map(String::as_str).chain(COMMAND_VARIABLES.iter().copied());
    match nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None if name.starts_with("DRIFTLESS_POOL") => "the settings of a pool stand in the file only".to_owned(),
        None => format!("the settings and their variables are printed by: {} config", invocation::name()),
    }
}

fn global_settings() -> impl Iterator<Item = &'static ConfigSetting> {
    SETTINGS.iter().filter(|setting| setting.is_global())
}

/// Whether Kubernetes sets this variable in every container beside a Service named `driftless` or `driftless-...` ("Environment variables" in
/// its documentation of Services): `_SERVICE_HOST`, `_SERVICE_PORT`, `_SERVICE_PORT_NAME`, `_PORT`, `_PORT_7400_TCP`, `_PORT_7400_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix("DRIFTLESS_") else { return false };
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    // Somebody who wants another port may guess this name.
    let of_the_service = (rest == "PORT" && is_url) || rest.starts_with("PORT_") || rest.starts_with("SERVICE_");
    let is_port = rest.rsplit_once("_PORT_").is_some_and(|(_, port)| {
        let mut parts = port.split('_');
        let is_number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
        is_number && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    let of_another = rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || is_port
        || (rest.ends_with("_PORT") && is_url);
    of_the_service || of_another
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(name: &str, value: &str) -> Option<String> {
        let environment: Environment = [(name, value)].into_iter().collect();
        environment.check().err().map(|error| error.to_string())
    }

    #[test]
    fn an_unknown_variable_is_an_error_that_names_the_nearest_known_one() {
        for (name, near) in [
            ("DRIFTLESS_LISTN", "DRIFTLESS_LISTEN"),
            ("DRIFTLESS_CACHE_MIB", " config"),
            ("DRIFTLESS_ADMIN_KEYS", "DRIFTLESS_ADMIN_KEY"),
            ("DRIFTLESS_ADMIN_KEY_FIL", "DRIFTLESS_ADMIN_KEY_FILE"),
            ("DRIFTLESS_TOKN", "DRIFTLESS_TOKEN"),
            ("DRIFTLESS_POOLS_APP_REGION", "the file only"),
            ("DRIFTLESS_PORT", "DRIFTLESS_LISTEN"),
        ] {
            let error = unknown(name, "hunter2").expect(name);
            assert!(error.contains(&format!("unknown variable {name};")) && error.contains(near) && !error.contains("hunter2"), "{error}");
        }
        assert!(unknown("DRIFTLESS_DATA", "d\u{fffd}").is_some_and(|error| error.contains("DRIFTLESS_DATA must be UTF-8")));
        assert!(unknown("DRIFTLESS_LISTN", "").is_some(), "an empty one is misspelt all the same");
        for setting in global_settings() {
            assert_eq!(unknown(&setting.variable(), "x"), None);
            assert!(!is_of_kubernetes(&setting.variable(), "x"), "{}: Kubernetes would set it", setting.name);
        }
        for name in COMMAND_VARIABLES.iter().chain(&["DRIFTLESSNESS", "OTHER_DRIFTLESS_X", "PATH"]) {
            assert_eq!(unknown(name, "x"), None);
        }
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_passed_over() {
        for (name, value) in [
            ("DRIFTLESS_SERVICE_HOST", "10.0.0.1"),
            ("DRIFTLESS_SERVICE_PORT", "7400"),
            ("DRIFTLESS_SERVICE_PORT_HTTP", "7400"),
            ("DRIFTLESS_PORT", "tcp://10.0.0.1:7400"),
            ("DRIFTLESS_PORT_7400_TCP", "tcp://10.0.0.1:7400"),
            ("DRIFTLESS_PORT_7400_TCP_ADDR", "10.0.0.1"),
            ("DRIFTLESS_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("DRIFTLESS_ADMIN_SERVICE_PORT_METRICS", "9100"),
            ("DRIFTLESS_ADMIN_PORT", "tcp://10.0.0.1:9100"),
            ("DRIFTLESS_ADMIN_PORT_9100_UDP_PROTO", "udp"),
        ] {
            assert_eq!(unknown(name, value), None, "{name}");
        }
        for (name, value) in [("DRIFTLESS_ADMIN_PORT", "9100"), ("DRIFTLESS_ADMIN_PORT_X_TCP", "x"), ("DRIFTLESS_SERVICES_HOST", "x")] {
            assert!(unknown(name, value).is_some(), "{name}");
        }
    }
}
