//! Large acts on an account's data, at their bounds: most are an operator's, and linking is the user's own.

use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAct {
    /// A guest's account becomes part of another one, by the user's second login.
    Link,
    /// An account is merged into another one.
    Merge,
    Erase,
    Export,
    /// A dataset's earlier version is restored.
    Restore,
    /// Two versions of a dataset are compared.
    Compare,
    /// An earlier version of a dataset is read.
    Version,
    /// The whole store is backed up.
    Backup,
}

impl OperatorAct {
    pub fn name(self) -> &'static str {
        match self {
            OperatorAct::Link => "link",
            OperatorAct::Merge => "merge",
            OperatorAct::Erase => "erase",
            OperatorAct::Export => "export",
            OperatorAct::Restore => "restore",
            OperatorAct::Compare => "compare",
            OperatorAct::Version => "version",
            OperatorAct::Backup => "backup",
        }
    }
}

/// How large the data is that is acted on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActBounds {
    /// Datasets of an account.
    pub datasets: u32,
    /// Devices of an account.
    pub devices: u32,
    /// Accounts that one phase links, merges or erases, one after the other.
    pub accounts: u32,
    /// Records of the dataset whose history is used.
    pub records: u32,
    /// Bytes of each of its values.
    pub value_bytes: u32,
}
