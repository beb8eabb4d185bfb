//! The arguments of every command: the server, the device and its token.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use driftless_client::{Settings, TlsTrust, TokenSource};
use driftless_protocol::{Codec, DeviceId};

use super::error::ClientError;
use super::trust::trust_file;
use crate::secret_file;

/// The address of `driftless dev`.
const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// These may be before or after the command's name.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectionArgs {
    /// The server's address: http, https, ws or wss [env: DRIFTLESS_URL] [default: http://127.0.0.1:7400]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// This device's id; a second client with the same id replaces the first [default: cli, and cli-watch for watch]
    #[arg(long, global = true, value_name = "ID", value_parser = DeviceId::new)]
    device: Option<DeviceId>,
    /// The device's token; in the environment other users cannot see it [env: DRIFTLESS_TOKEN]
    #[arg(long, global = true, value_name = "JWT")]
    token: Option<String>,
    /// A file that has the token, such as a mounted secret [env: DRIFTLESS_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// A PEM file: the certificates to trust instead of this machine's, such as the server's own [env: DRIFTLESS_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Without a token: the subject of the development token
    #[arg(long, global = true, value_name = "NAME", default_value = "alice")]
    subject: String,
    /// The encoding of messages
    #[arg(long, global = true, default_value = "msgpack")]
    codec: CodecArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CodecArg {
    Msgpack,
    Json,
}

impl ConnectionArgs {
    /// The settings of the device. `device` is its id unless an argument names another.
    pub(super) fn settings<M>(self, device: &str, mint: M) -> Result<Settings, ClientError>
    where
        M: Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    {
        let url = self.url.or_else(|| variable("DRIFTLESS_URL")).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let device = self.device.map_or_else(|| DeviceId::new(device), Ok).map_err(|why| ClientError::Input(why.to_string()))?;
        let tokens = match token(self.token, self.token_file)? {
            Some(token) => TokenSource::fixed(token),
            None => TokenSource::new(move || std::future::ready(mint(&self.subject))),
        };
        let settings = Settings::new(&url, device, tokens).map_err(|why| ClientError::Input(format!("--url {url}: {why}")))?;
        let codec = match self.codec {
            CodecArg::Msgpack => Codec::MsgPack,
            CodecArg::Json => Codec::Json,
        };
        let tls = match self.ca.or_else(|| variable("DRIFTLESS_CA").map(PathBuf::from)) {
            None => TlsTrust::Roots,
            Some(file) => TlsTrust::Custom(Arc::new(trust_file(&file).map_err(ClientError::File)?)),
        };
        Ok(Settings { tls, codec, client: concat!("driftless-cli/", env!("CARGO_PKG_VERSION")).to_owned(), ..settings })
    }
}

/// The token that an argument, a variable or a file has.
fn token(argument: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, ClientError> {
    let file = match (argument, file) {
        (Some(token), _) => return Ok(Some(token)),
        (None, Some(file)) => file,
        (None, None) => match (variable("DRIFTLESS_TOKEN"), variable("DRIFTLESS_TOKEN_FILE")) {
            (Some(_), Some(_)) => return Err(ClientError::Input("set only one of DRIFTLESS_TOKEN and DRIFTLESS_TOKEN_FILE".to_owned())),
            (Some(token), None) => return Ok(Some(token)),
            (None, Some(file)) => PathBuf::from(file),
            (None, None) => return Ok(None),
        },
    };
    secret_file::read(&file).map(Some).map_err(ClientError::File)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
