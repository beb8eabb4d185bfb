//! Which server, and as whom: the flags that every command has.

use std::env;

use clap::ValueEnum;
use driftless_client::{Settings, TokenSource};
use driftless_protocol::{Codec, DeviceId};

use super::Failure;

/// Where `driftless dev` listens.
const URL: &str = "http://127.0.0.1:7400";

/// Flags that may stand before or after the command's name.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Where the server is: http, https, ws or wss [env: DRIFTLESS_URL] [default: http://127.0.0.1:7400]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// This device's id; two at once with the same id take each other's place [default: cli, and cli-watch for watch]
    #[arg(long, global = true, value_name = "ID", value_parser = DeviceId::new)]
    device: Option<DeviceId>,
    /// The token to show; better kept in the environment, where other users cannot see it [env: DRIFTLESS_TOKEN]
    #[arg(long, global = true, value_name = "JWT")]
    token: Option<String>,
    /// Without a token: the person whose development token is made
    #[arg(long, global = true, value_name = "NAME", default_value = "alice")]
    subject: String,
    /// How messages travel
    #[arg(long, global = true, default_value = "msgpack")]
    codec: Encoding,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encoding {
    Msgpack,
    Json,
}

impl Target {
    /// The settings of a device that is called `device` unless a flag says otherwise.
    pub(super) fn settings<M>(self, device: &str, mint: M) -> Result<Settings, Failure>
    where
        M: Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    {
        let url = self.url.or_else(|| variable("DRIFTLESS_URL")).unwrap_or_else(|| URL.to_owned());
        let device = self.device.map_or_else(|| DeviceId::new(device), Ok).map_err(|why| Failure::Input(why.to_string()))?;
        let tokens = match self.token.or_else(|| variable("DRIFTLESS_TOKEN")) {
            Some(token) => TokenSource::fixed(token),
            None => TokenSource::new(move || std::future::ready(mint(&self.subject))),
        };
        let settings = Settings::new(&url, device, tokens).map_err(|why| Failure::Input(format!("--url {url}: {why}")))?;
        let codec = match self.codec {
            Encoding::Msgpack => Codec::MsgPack,
            Encoding::Json => Codec::Json,
        };
        Ok(Settings { codec, client: concat!("driftless-cli/", env!("CARGO_PKG_VERSION")).to_owned(), ..settings })
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
