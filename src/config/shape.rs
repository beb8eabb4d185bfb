//! Checks the names and the values of a configuration file, each by itself, and brings values into the notation that the server reads.

use driftless_protocol::DatasetName;
use toml::{Table, Value};

use super::error::ConfigProblem;
use super::key_path::KeyPath;
use super::names::{self, ConfigPlace};
use super::origins::ValueOrigins;
use super::settings::{ConfigSetting, found, found_list};

/// Checks the tables of a file from the top.
pub(super) fn check(table: &mut Table, origins: &ValueOrigins) -> Vec<ConfigProblem> {
    let mut checker = ShapeChecker { origins, problems: Vec::new() };
    checker.table(table, &KeyPath::default());
    checker.problems
}

/// A value in the server's notation, or what is wrong with it.
pub(super) fn normalize(setting: &ConfigSetting, path: &KeyPath, value: Value) -> Result<Value, String> {
    let form = setting.form();
    form.normalized(value.clone()).ok_or_else(|| {
        if let Some(why) = form.fault_of_entry(&value) {
            return format!("{path}: {why}");
        }
        let (expected, found, hint) = (form.expected(), form.found(&value, setting.is_secret), form.hint(&value));
        format!("{path} must be {expected}, not {found}{hint}")
    })
}

struct ShapeChecker<'a> {
    origins: &'a ValueOrigins,
    problems: Vec<ConfigProblem>,
}

impl ShapeChecker<'_> {
    fn table(&mut self, table: &mut Table, path: &KeyPath) {
        for (name, value) in table {
            let path = path.name(name);
            match names::place(&path) {
                None => self.problem(&path, names::unknown(&path)),
                Some(ConfigPlace::Setting(setting)) => self.value(value, setting, &path),
                Some(ConfigPlace::Table) => match value {
                    Value::Table(table) => self.table(table, &path),
                    other => self.problem(&path, format!("{path} must be a table, [{path}], not {}", found(other, false))),
                },
                Some(ConfigPlace::Tables) => self.tables(value, &path),
            }
        }
    }

    fn tables(&mut self, value: &mut Value, path: &KeyPath) {
        match value {
            Value::Array(entries) if entries.iter().all(Value::is_table) => {
                for (at, entry) in entries.iter_mut().enumerate() {
                    let (Value::Table(table), entry) = (entry, path.entry(at)) else { continue };
                    self.table(table, &entry);
                    for name in names::required(path).filter(|name| !table.contains_key(*name)) {
                        self.problem(&entry, format!("{path} has no {name}, which every entry needs"));
                    }
                }
            }
            Value::Array(entries) => {
                let found = found_list(entries, Value::is_table);
                self.problem(path, format!("{path} must be a list of tables, [[{path}]], not {found}"));
            }
            Value::Table(_) => self.problem(path, format!("{path} is a list: write [[{path}]] with two brackets")),
            other => self.problem(path, format!("{path} must be a list of tables, [[{path}]], not {}", found(other, false))),
        }
    }

    fn value(&mut self, value: &mut Value, setting: &ConfigSetting, path: &KeyPath) {
        let is_dataset = setting.name == "pools.*.datasets.*";
        if let Some(Err(why)) = is_dataset.then(|| DatasetName::new(path.last())) {
            self.problem(path, format!("{path}: no name of a dataset: {why}"));
        }
        match normalize(setting, path, value.clone()) {
            Ok(normalized) => *value = normalized,
            Err(why) => self.problem(path, why),
        }
    }

    fn problem(&mut self, path: &KeyPath, text: String) {
        self.problems.push(self.origins.problem(path, text));
    }
}
