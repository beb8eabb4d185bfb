//! One setting: its name, default and help text, and its names as a flag and an environment variable.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use toml::Value;

use super::bounds::MAX_DURATION_S;
use super::form::ValueForm;

#[derive(Clone, Copy, Debug)]
pub struct ConfigSetting {
    /// The name in the file. `*` stands for a name that the operator chooses, or for any entry of an array.
    pub name: &'static str,
    default: fn() -> Option<Value>,
    form: Option<ValueForm>,
    /// Whether no error may quote its value.
    pub is_secret: bool,
    /// Whether every entry of its list must have it.
    pub is_required: bool,
    /// What the setting does, with its unit and bounds.
    pub help: &'static str,
}

impl ConfigSetting {
    /// The value that the server uses if none is set; `None`: the setting has no value then.
    pub fn default_value(&self) -> Option<Value> {
        (self.default)()
    }

    /// What its value must be.
    pub fn form(&self) -> ValueForm {
        self.form.unwrap_or_else(|| ValueForm::of_default(self.default_value().as_ref()))
    }

    /// Declares the form, if it is not that of the default, or the default's numbers have bounds.
    pub(super) const fn with_form(self, form: ValueForm) -> ConfigSetting {
        ConfigSetting { form: Some(form), ..self }
    }

    /// Declares the bounds of a number.
    pub(super) const fn between(self, min: u64, max: u64) -> ConfigSetting {
        self.with_form(ValueForm::Number { min, max })
    }

    pub(super) const fn secret(self) -> ConfigSetting {
        ConfigSetting { is_secret: true, ..self }
    }

    pub(super) const fn required(self) -> ConfigSetting {
        ConfigSetting { is_required: true, ..self }
    }

    /// The help text, with the bounds of a number that it does not name itself, unless nobody will come near them.
    pub fn description(&self) -> String {
        let help = self.help;
        match self.form() {
            ValueForm::Number { min, max } if max < MAX_DURATION_S && !help.contains(&max.to_string()) => match min {
                0 => format!("{help} At most {max}."),
                min => format!("{help} {min} to {max}."),
            },
            _ => help.to_owned(),
        }
    }

    /// Whether there is one value for the whole server, which then is also a flag and an environment variable.
    pub fn is_global(&self) -> bool {
        !self.name.contains('*')
    }

    /// The name of the flag: `store.cache_mib` is `store-cache-mib`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// The name of the environment variable: `store.cache_mib` is `DRIFTLESS_STORE_CACHE_MIB`.
    pub fn variable(&self) -> String {
        format!("DRIFTLESS_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether this path in the file is the setting's.
    pub fn is_named(&self, path: &[&str]) -> bool {
        let mut own = self.name.split('.');
        path.iter().all(|part| own.next().is_some_and(|one| one == "*" || one == *part)) && own.next().is_none()
    }

    /// Whether this path in the file is a table that contains the setting.
    pub fn is_inside(&self, table: &[&str]) -> bool {
        let mut own = self.name.split('.');
        table.iter().all(|part| own.next().is_some_and(|one| one == "*" || one == *part)) && own.next().is_some()
    }
}

impl Serialize for ConfigSetting {
    /// As `driftless config --json` prints it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut setting = serializer.serialize_struct("ConfigSetting", 6)?;
        setting.serialize_field("name", self.name)?;
        setting.serialize_field("default", &self.default_value())?;
        setting.serialize_field("expected", &self.form().expected())?;
        setting.serialize_field("help", &self.description())?;
        setting.serialize_field("variable", &self.is_global().then(|| self.variable()))?;
        setting.serialize_field("flag", &self.is_global().then(|| format!("--{}", self.flag())))?;
        setting.end()
    }
}

pub(super) const fn setting(name: &'static str, default: fn() -> Option<Value>, help: &'static str) -> ConfigSetting {
    ConfigSetting { name, default, form: None, is_secret: false, is_required: false, help }
}

/// The default of a setting that is not set.
pub(super) fn unset() -> Option<Value> {
    None
}

pub(super) fn value(default: impl Serialize) -> Option<Value> {
    Value::try_from(default).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_file_is_a_setting_or_a_table_that_contains_settings() {
        let named = |name: &'static str| setting(name, unset, "");
        assert!(named("pools.*.limits.records").is_named(&["pools", "demo", "limits", "records"]));
        assert!(!named("pools.*.limits.records").is_named(&["pools", "demo", "limits"]));
        assert!(named("pools.*.limits.records").is_inside(&["pools", "demo"]));
        assert!(!named("listen").is_inside(&["listen"]));
        assert_eq!(named("store.cache_mib").variable(), "DRIFTLESS_STORE_CACHE_MIB");
        assert_eq!(named("store.cache_mib").flag(), "store-cache-mib");
    }
}
