//! What `driftless config` prints.

use std::fmt;

use super::settings::SETTINGS;

/// Every setting with its default and its help text, as a configuration file that can be used as it is. The tables of pools are commented
/// out, as they need a name.
pub struct ExampleConfig;

impl fmt::Display for ExampleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Driftless: all settings with their defaults.")?;
        writeln!(f, "# A setting outside of [pools] is also a flag (--store-cache-mib 512) and an environment variable")?;
        writeln!(f, "# (DRIFTLESS_STORE_CACHE_MIB=512). Flags take precedence over the environment, the environment over this file.")?;
        let mut table = "";
        for setting in SETTINGS.iter() {
            let (parent, name) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
            if parent == table {
                writeln!(f)?;
            } else {
                table = parent;
                write_table(f, parent)?;
            }
            writeln!(f, "# {}", setting.description())?;
            let name = if name == "*" { "NAME" } else { name };
            match (setting.default_value(), setting.is_global()) {
                (None, _) => writeln!(f, "#{name} =")?,
                (Some(default), true) => writeln!(f, "{name} = {default}")?,
                (Some(default), false) => writeln!(f, "#{name} = {default}")?,
            }
        }
        Ok(())
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, table: &str) -> fmt::Result {
    // `pools.*.issuers.*` is an array of tables, `pools.*.limits` a table.
    let (header, is_array) = match table.strip_prefix("pools.*.").and_then(|rest| rest.strip_suffix(".*")) {
        Some(array) => (format!("pools.NAME.{array}"), true),
        None => (table.replace('*', "NAME"), false),
    };
    match (is_array, table.contains('*')) {
        (true, _) => writeln!(f, "\n#[[{header}]]"),
        (false, true) => writeln!(f, "\n#[{header}]"),
        (false, false) => writeln!(f, "\n[{header}]"),
    }
}
