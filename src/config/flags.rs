//! The settings as command line flags.

use std::fmt;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::settings::{ConfigSetting, SETTINGS};

/// The settings that were given as flags, with their text.
#[derive(Clone, Default)]
pub struct Flags(pub(super) Vec<(&'static ConfigSetting, String)>);

impl fmt::Debug for Flags {
    /// Names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(setting, _)| setting.name)).finish()
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        Ok(Flags(given(matches, global_settings())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        with_flags(command, global_settings())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

/// The same for commands that only open the store: `data` and the settings of `[store]`.
#[derive(Clone, Debug, Default)]
pub struct StoreFlags(Flags);

impl From<StoreFlags> for Flags {
    fn from(flags: StoreFlags) -> Flags {
        flags.0
    }
}

impl clap::FromArgMatches for StoreFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<StoreFlags, clap::Error> {
        Ok(StoreFlags(Flags(given(matches, store_settings()))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = StoreFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for StoreFlags {
    fn augment_args(command: Command) -> Command {
        with_flags(command, store_settings())
    }

    fn augment_args_for_update(command: Command) -> Command {
        StoreFlags::augment_args(command)
    }
}

fn with_flags(command: Command, settings: impl Iterator<Item = &'static ConfigSetting>) -> Command {
    settings.fold(command, |command, setting| {
        let value = setting.name.rsplit(['.', '_']).next().unwrap_or(setting.name).to_ascii_uppercase();
        command.arg(Arg::new(setting.flag()).long(setting.flag()).value_name(value).help(help(setting)).action(ArgAction::Set))
    })
}

/// What the setting does, with the name of its variable and its default.
fn help(setting: &ConfigSetting) -> String {
    let default =
        setting.default_value().map(|default| format!(" [default: {}]", default.to_string().trim_matches('"'))).unwrap_or_default();
    format!("{} [env: {}]{default}", setting.description(), setting.variable())
}

fn given(matches: &ArgMatches, settings: impl Iterator<Item = &'static ConfigSetting>) -> Vec<(&'static ConfigSetting, String)> {
    settings.filter_map(|setting| matches.get_one::<String>(&setting.flag()).map(|text| (setting, text.clone()))).collect()
}

fn store_settings() -> impl Iterator<Item = &'static ConfigSetting> {
    global_settings().filter(|setting| setting.name == "data" || setting.name.starts_with("store."))
}

fn global_settings() -> impl Iterator<Item = &'static ConfigSetting> {
    SETTINGS.iter().filter(|setting| setting.is_global())
}
