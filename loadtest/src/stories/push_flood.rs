//! Everybody's phone sleeps, and everybody's laptop writes at once: how long until all are woken, each once.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;
use driftless_standin::{ApnsEnvironment, StandInGateway};
use tokio::runtime::Runtime;
use toml::{Table, Value};

use crate::fleet::What;
use crate::makers::{self, MAKERS};
use crate::run::{Run, value};
use crate::scenario::{Load, PushFlood};

const APP: &str = "com.example.load";

/// After the last wake nothing more may come: somebody would be woken twice.
const QUIET: Duration = Duration::from_secs(5);

/// The stand-in for a push gateway, if a scenario needs one. It lives in this process.
pub struct Gateways {
    gateway: Option<(StandInGateway, Runtime)>,
}

impl Gateways {
    /// The gateways that a scenario needs.
    pub fn start(load: &Load) -> Result<Gateways, String> {
        let Load::PushFlood(_) = load else { return Ok(Gateways { gateway: None }) };
        let fail = |error: std::io::Error| format!("the stand-in gateway cannot be started: {error}");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(fail)?;
        let gateway = runtime.block_on(StandInGateway::start()).map_err(fail)?;
        gateway.set_kept_pushes(0);
        Ok(Gateways { gateway: Some((gateway, runtime)) })
    }

    /// A server's settings, with these gateways.
    pub fn settings(&self, settings: &Table) -> Result<Table, String> {
        let mut settings = settings.clone();
        let Some((gateway, _)) = &self.gateway else { return Ok(settings) };
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
        let pool = pools.as_table_mut().ok_or("pools is no table")?.entry("load").or_insert_with(|| Value::Table(Table::new()));
        pool.as_table_mut().ok_or("pools.load is no table")?.insert("push".to_owned(), Value::Table(push));
        Ok(settings)
    }
}

pub fn tell(run: &mut Run, flood: &PushFlood) -> Result<(), String> {
    let (gateway, _runtime) = run.gateways.gateway.take().ok_or("this scenario has a gateway")?;
    let tokens: Vec<_> = (0..flood.persons).map(|_| gateway.new_apns_token(APP, ApnsEnvironment::Production)).collect();
    let body = |number: u64| serde_json::json!({"provider": "apns", "app": APP, "token": tokens[number as usize]}).to_string();
    makers::make(run, "flood", 0..u64::from(flood.persons), MAKERS, Some(&body))?;
    // The first device of each is the phone that sleeps.
    let mut fleet = run.fleet("flood", flood.persons * 2, 2)?;
    let laptops = || (0..flood.persons).map(|person| person * 2 + 1);
    run.open_some(&mut fleet, laptops())?;
    let mut news = Vec::new();
    run.begin("phones are woken", u64::from(flood.persons));
    let (cpu, began) = (run.server_cpu(), Instant::now());
    for laptop in laptops() {
        fleet.put(laptop, "theme", value(&mut run.chance, 20));
    }
    let (mut written, mut last_write, mut last_wake, mut woken) = (0, began, began, 0);
    run.report.rate_says = "wakes";
    while (woken < u64::from(flood.persons) || last_wake.elapsed() < QUIET) && began.elapsed() < Duration::from_secs(flood.limit_s) {
        fleet.turn(Duration::from_millis(10), &mut news)?;
        for one in news.drain(..) {
            if let What::Says(ServerMessage::Written { .. }) = one.what {
                written += 1;
                last_write = one.at;
            }
        }
        let accepted = gateway.counts().accepted;
        if accepted > woken {
            run.watch.done(accepted - woken);
            (woken, last_wake) = (accepted, Instant::now());
        }
        run.progress(woken);
    }
    let spent = run.server_cpu() - cpu;
    let persons = f64::from(flood.persons);
    let report = &mut run.report;
    report.figure("written_s", last_write.saturating_duration_since(began).as_secs_f64(), "s", "until all were written");
    report.figure("woken_s", last_wake.saturating_duration_since(began).as_secs_f64(), "s", "until all were woken, the grace included");
    report.figure(
        "wakes_per_s",
        woken as f64 / last_wake.saturating_duration_since(began).as_secs_f64(),
        "1/s",
        "from the first write to the last wake",
    );
    report.figure("not_written", persons - f64::from(written), "writes", "that were not acknowledged");
    report.figure("wakes_each", woken as f64 / persons, "wakes", "of each phone: one");
    report.figure("wake_cpu_us", spent.as_secs_f64() * 1e6 / persons, "us", "the server's CPU for each, with its write");
    Ok(())
}
