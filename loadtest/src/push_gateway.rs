//! The stand-in push gateway of a scenario that needs one. It runs in this process.

use driftless_standin::StandInGateway;
use tokio::runtime::Runtime;
use toml::{Table, Value};

use crate::scenario::Workload;

/// The app that the phones register for.
pub const APP: &str = "com.example.load";

/// The gateway and its runtime, or nothing if the scenario sends no pushes.
pub struct ScenarioGateway {
    running: Option<(StandInGateway, Runtime)>,
}

impl ScenarioGateway {
    pub fn start(workload: &Workload) -> Result<ScenarioGateway, String> {
        let Workload::PushFlood(_) = workload else { return Ok(ScenarioGateway { running: None }) };
        let fail = |error: std::io::Error| format!("cannot start the stand-in gateway: {error}");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(fail)?;
        let gateway = runtime.block_on(StandInGateway::start()).map_err(fail)?;
        gateway.set_kept_pushes(0);
        Ok(ScenarioGateway { running: Some((gateway, runtime)) })
    }

    /// Takes the gateway out. The caller must keep the runtime for as long as it uses the gateway.
    pub fn take(&mut self) -> Option<(StandInGateway, Runtime)> {
        self.running.take()
    }

    /// Adds the gateway to a server's settings.
    pub fn add_to_settings(&self, settings: &Table) -> Result<Table, String> {
        let mut settings = settings.clone();
        let Some((gateway, _)) = &self.running else { return Ok(settings) };
        let credentials = gateway.credentials();
        let text = |value: String| Value::String(value);
        let apns = Table::from_iter([
            ("app".to_owned(), text(APP.to_owned())),
            ("server".to_owned(), text(gateway.url())),
            ("sandbox_server".to_owned(), text(gateway.sandbox_url())),
            ("key_file".to_owned(), text(credentials.apns_key.display().to_string())),
            ("key_id".to_owned(), text(credentials.apns_key_id.to_string())),
            ("team_id".to_owned(), text(credentials.apns_team_id.to_string())),
            ("authority_file".to_owned(), text(credentials.authority.display().to_string())),
        ]);
        let push = Table::from_iter([("apns".to_owned(), Value::Array(vec![Value::Table(apns)]))]);
        let pools = settings.entry("pools").or_insert_with(|| Value::Table(Table::new()));
        let pool = pools.as_table_mut().ok_or("pools is not a table")?.entry("load").or_insert_with(|| Value::Table(Table::new()));
        pool.as_table_mut().ok_or("pools.load is not a table")?.insert("push".to_owned(), Value::Table(push));
        Ok(settings)
    }
}
