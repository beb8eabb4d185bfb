//! Every person's phone is disconnected and every laptop writes at once: how long until each phone is woken, exactly once.

use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;
use driftless_standin::ApnsEnvironment;

use crate::context::{TestRun, value};
use crate::fleet::FleetEventKind;
use crate::people::{self, CONNECTIONS};
use crate::push_gateway::APP;
use crate::scenario::PushFlood;

/// No wake may follow within this time after the last one: it would wake a phone twice.
const QUIET: Duration = Duration::from_secs(5);

pub fn execute(run: &mut TestRun, flood: &PushFlood) -> Result<(), String> {
    let (gateway, _runtime) = run.gateway.take().ok_or("this scenario needs a push gateway")?;
    let tokens: Vec<_> = (0..flood.persons).map(|_| gateway.new_apns_token(APP, ApnsEnvironment::Production)).collect();
    let body = |number: u64| serde_json::json!({"provider": "apns", "app": APP, "token": tokens[number as usize]}).to_string();
    people::create(run, "flood", 0..u64::from(flood.persons), CONNECTIONS, Some(&body))?;
    // The first device of each person is the phone, which stays disconnected.
    let mut fleet = run.fleet("flood", flood.persons * 2, 2)?;
    let laptops = || (0..flood.persons).map(|person| person * 2 + 1);
    run.connect_devices(&mut fleet, laptops())?;
    let mut events = Vec::new();
    run.start_phase("waking phones", u64::from(flood.persons));
    let (cpu, began) = (run.server_cpu(), Instant::now());
    for laptop in laptops() {
        fleet.put(laptop, "theme", value(&mut run.rng, 20));
    }
    let (mut written, mut last_write, mut last_wake, mut woken) = (0, began, began, 0);
    run.report.rate_of = "wakes";
    while (woken < u64::from(flood.persons) || last_wake.elapsed() < QUIET) && began.elapsed() < Duration::from_secs(flood.limit_s) {
        fleet.poll_events(Duration::from_millis(10), &mut events)?;
        for event in events.drain(..) {
            if let FleetEventKind::Received(ServerMessage::Written { .. }) = event.kind {
                written += 1;
                last_write = event.at;
            }
        }
        let accepted = gateway.counts().accepted;
        if accepted > woken {
            run.sampler.add_done(accepted - woken);
            (woken, last_wake) = (accepted, Instant::now());
        }
        run.progress(woken);
    }
    let spent = run.server_cpu() - cpu;
    let persons = f64::from(flood.persons);
    let report = &mut run.report;
    report.figure("written_s", last_write.saturating_duration_since(began).as_secs_f64(), "s", "until all writes were acknowledged");
    report.figure(
        "woken_s",
        last_wake.saturating_duration_since(began).as_secs_f64(),
        "s",
        "until all phones were woken, the grace period included",
    );
    report.figure(
        "wakes_per_s",
        woken as f64 / last_wake.saturating_duration_since(began).as_secs_f64(),
        "1/s",
        "from the first write to the last wake",
    );
    report.figure("not_written", persons - f64::from(written), "writes", "writes that were not acknowledged");
    report.figure("wakes_each", woken as f64 / persons, "wakes", "per phone; must be one");
    report.figure("wake_cpu_us", spent.as_secs_f64() * 1e6 / persons, "us", "the server's CPU per wake, with its write");
    Ok(())
}
