//! One account attacks the server; what a device of somebody else waits for its writes, in turns without and with each attack.

use std::thread;
use std::time::Duration;

use crate::attack::{AttackSignals, PreparedAttack, attack_with_mix, hold_silent_sockets, mix_fleet, mix_maker, prepare_act, write_stock};
use crate::attack_mix::{AttackMix, MixFile};
use crate::bystander::BystanderDevice;
use crate::context::TestRun;
use crate::latency::Latencies;
use crate::machine::Process;
use crate::operator_act::{ActBounds, OperatorAct};
use crate::pairs::PairRatios;
use crate::scenario::Hostile;

/// The account that attacks with messages.
const ACCOUNT: &str = "hostile";

/// Before each pair the server works off what the attack before left. It is quiet when it has used little CPU for this long, while the bystander
/// writes; or after a minute, when what it still does counts as its own.
const SETTLE_STEP: Duration = Duration::from_millis(500);
const SETTLE_STEPS: u32 = 120;

/// The most CPU that a quiet server uses, as a share of a core: the bystander's writes take 1 or 2 %.
const QUIET_CORES: f64 = 0.15;

/// An attack of the scenario.
enum NamedAttack {
    Mix(AttackMix),
    SilentSockets(u32),
    Act(OperatorAct, ActBounds),
}

impl NamedAttack {
    fn name(&self) -> String {
        match self {
            NamedAttack::Mix(mix) => mix.name.clone(),
            NamedAttack::SilentSockets(_) => "silent_sockets".to_owned(),
            NamedAttack::Act(act, _) => act.name().to_owned(),
        }
    }

    /// Makes what the attack needs. `number` is that of the pair.
    fn prepare(&self, run: &mut TestRun, number: u32) -> Result<PreparedAttack, String> {
        Ok(match self {
            NamedAttack::Mix(mix) => {
                let (fleet, maker, mix) = (mix_fleet(run, mix, ACCOUNT)?, mix_maker(run, mix, ACCOUNT)?, mix.clone());
                Box::new(move |signals| attack_with_mix(fleet, &mix, maker, signals).map(|counts| counts.messages))
            }
            NamedAttack::SilentSockets(count) => {
                let (to, count) = (run.server.address, *count);
                Box::new(move |signals| hold_silent_sockets(to, count, signals))
            }
            NamedAttack::Act(act, bounds) => prepare_act(run, *act, bounds, number)?,
        })
    }
}

pub fn execute(run: &mut TestRun, hostile: &Hostile) -> Result<(), String> {
    run.report.rate_of = "bystander's writes";
    let mut attacks: Vec<NamedAttack> = hostile.attacks.iter().cloned().map(NamedAttack::Mix).collect();
    if hostile.silent_sockets > 0 {
        attacks.push(NamedAttack::SilentSockets(hostile.silent_sockets));
    }
    if let Some(bounds) = hostile.act_bounds {
        attacks.extend(hostile.acts.iter().map(|act| NamedAttack::Act(*act, bounds)));
    }
    if hostile.replays_worst {
        attacks.extend(MixFile::worst()?.mixes.into_iter().map(NamedAttack::Mix));
    }
    attacks.retain(|attack| hostile.only.is_empty() || hostile.only.contains(&attack.name()));
    let mut bystander = BystanderDevice::connect(run, Duration::from_millis(hostile.interval_ms))?;
    write_stock(&run.server, ACCOUNT, hostile.stock_records)?;
    for attack in &attacks {
        if let Err(error) = measure(run, &mut bystander, attack, hostile) {
            // The others are measured all the same; no budget holds for this figure.
            eprintln!("{}: {error}", attack.name());
            run.report.figure(&format!("{}_p99_ratio", attack.name()), f64::NAN, "x", &error);
        }
    }
    let report = &mut run.report;
    report.figure("bystander_refused", bystander.refused as f64, "writes", "writes of the bystander that were refused");
    report.figure(
        "bystander_unanswered",
        bystander.unanswered_writes as f64,
        "writes",
        "writes of the bystander without an answer after 30 s",
    );
    report.figure("bystander_ended", bystander.ended as f64, "sessions", "sessions of the bystander that the server ended");
    Ok(())
}

fn measure(run: &mut TestRun, bystander: &mut BystanderDevice, attack: &NamedAttack, hostile: &Hostile) -> Result<(), String> {
    let phase = Duration::from_millis(hostile.phase_ms);
    let (mut all_quiet, mut all_attacked, mut p50, mut p99) =
        (Latencies::default(), Latencies::default(), PairRatios::default(), PairRatios::default());
    let (mut done, mut peak) = (0, 0);
    for number in 0..hostile.pairs {
        let prepared = attack.prepare(run, number)?;
        eprintln!("{}: pair {} of {}", attack.name(), number + 1, hostile.pairs);
        let (mut quiet, mut attacked) = (Latencies::default(), Latencies::default());
        settle(run, bystander)?;
        bystander.write_for(run, phase, &mut quiet)?;
        if let Some(server) = run.server.process() {
            server.reset_peak();
        }
        done += beside(run, bystander, prepared, phase, &mut attacked)?;
        peak = peak.max(run.server.process().map_or(0, Process::peak_bytes));
        p50.add(attacked.percentile_us(50.0), quiet.percentile_us(50.0));
        p99.add(attacked.percentile_us(99.0), quiet.percentile_us(99.0));
        all_quiet.merge(&quiet);
        all_attacked.merge(&attacked);
    }
    let (name, report) = (attack.name(), &mut run.report);
    let seconds = phase.as_secs_f64() * f64::from(hostile.pairs);
    let quiet = |percent| all_quiet.percentile_us(percent) / 1000.0;
    let says = format!("bystander's p99, attacked relative to quiet, median of the pairs ({})", p99.spread());
    report.figure(&format!("{name}_p99_ratio"), p99.median(), "x", &says);
    report.figure(&format!("{name}_p50_ratio"), p50.median(), "x", &format!("the same at the p50 ({})", p50.spread()));
    let says = format!("bystander's p99 of all pairs; quiet {:.1}; longest {:.1}", quiet(99.0), all_attacked.max_us() / 1000.0);
    report.figure(&format!("{name}_p99_ms"), all_attacked.percentile_us(99.0) / 1000.0, "ms", &says);
    let says = format!("the same, p50; quiet {:.2}", quiet(50.0));
    report.figure(&format!("{name}_p50_ms"), all_attacked.percentile_us(50.0) / 1000.0, "ms", &says);
    report.figure(&format!("{name}_per_s"), done as f64 / seconds, "1/s", "what the attacker did");
    report.figure(&format!("{name}_peak_mib"), peak as f64 / f64::from(1 << 20), "MiB", "the server's peak memory meanwhile");
    Ok(())
}

/// The bystander writes until the server has nothing else to do.
fn settle(run: &mut TestRun, bystander: &mut BystanderDevice) -> Result<(), String> {
    for _ in 0..SETTLE_STEPS {
        let before = run.server_cpu();
        bystander.write_for(run, SETTLE_STEP, &mut Latencies::default())?;
        if (run.server_cpu() - before).as_secs_f64() < QUIET_CORES * SETTLE_STEP.as_secs_f64() {
            break;
        }
    }
    Ok(())
}

/// The bystander writes while the attack goes on. Returns how much the attacker did.
fn beside(
    run: &mut TestRun,
    bystander: &mut BystanderDevice,
    attack: PreparedAttack,
    phase: Duration,
    attacked: &mut Latencies,
) -> Result<u64, String> {
    let signals = AttackSignals::default();
    thread::scope(|scope| {
        let signals = &signals;
        let attacker = scope.spawn(move || attack(signals));
        let written = bystander
            .write_until(run, &mut Latencies::default(), || signals.has_begun() || attacker.is_finished())
            .and_then(|()| bystander.write_for(run, phase, attacked));
        signals.stop();
        let done = attacker.join().map_err(|_| "the attacking thread panicked".to_owned())?;
        written.and(done)
    })
}
