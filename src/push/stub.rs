//! STUB, replaced on merge.
#![allow(missing_docs, dead_code)]
use driftless_protocol::{DatasetName, Provider, PushTarget};
pub struct Wake {
    pub pool: String,
    pub identity: String,
    pub dataset: DatasetName,
    pub version: u64,
    pub shown: Option<Shown>,
    pub expires_unix_s: u64,
}
#[derive(Clone)]
pub struct Shown {
    pub title: String,
    pub text: String,
}
pub enum Verdict {
    Accepted { id: Option<String> },
    Dead { reason: String, since_ms: Option<u64> },
    OtherEnvironment { reason: String },
    Later { reason: String, after_ms: Option<u64>, whom: Whom },
    Refused { reason: String, fault: Fault },
}
pub enum Whom {
    Device,
    App,
}
pub enum Fault {
    Payload,
    App,
    Sender,
}
#[derive(Clone)]
pub struct Office;
impl Office {
    pub fn knows(&self, _: Provider, _: &str) -> bool {
        true
    }
    pub fn check(&self, _: &PushTarget, _: &str) -> Result<(), String> {
        Ok(())
    }
    pub async fn send(&self, _: &PushTarget, _: &str, _: &Wake) -> Verdict {
        Verdict::Accepted { id: None }
    }
    pub async fn send_anywhere(&self, t: &PushTarget, a: &str, w: &Wake) -> (Verdict, Option<PushTarget>) {
        (self.send(t, a, w).await, None)
    }
    pub fn shown(&self) -> Shown {
        Shown { title: String::new(), text: String::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
#[derive(Debug)]
pub struct ConfigError;
impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stub")
    }
}
impl Office {
    pub fn new(_: &Config) -> Result<Office, ConfigError> {
        Ok(Office)
    }
}
