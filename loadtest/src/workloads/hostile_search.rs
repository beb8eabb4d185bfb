//! Searches for what an attacking account can do worst: random mixes of messages, each for a short while, judged by the work that the server
//! does for them, as it counts that itself, and not by time: the bytes that the writer and the readers worked on, and memory.
//!
//! The worst mixes that earlier searches found are tried first. The worst of this search are written to a file, in the same form.

use std::thread;
use std::time::Duration;

use crate::attack::{AttackSignals, MixCounts, attack_with_mix, mix_fleet, mix_maker, random_mix, write_stock};
use crate::attack_mix::{AttackMix, MixFile};
use crate::context::TestRun;
use crate::machine::{self, Process};
use crate::operator_connection::{OperatorConnection, UserConnection};
use crate::scenario::HostileSearch;

/// How often the thread that measures looks whether the attack has begun.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// After so many mixes the worst so far are written to the file.
const KEPT_EVERY: usize = 25;

/// What the server did for a mix.
struct MixCost {
    mix: AttackMix,
    /// In the order of [`JUDGES`].
    costs: [f64; JUDGES.len()],
}

/// The name, the unit and the meaning of each figure that mixes are judged by.
const JUDGES: [(&str, &str, &str); 6] = [
    ("writer_bytes_per_message", "bytes", "work of the thread that decides writes, per message"),
    ("writer_bytes_per_group", "bytes", "the same per group: what others wait for"),
    ("writer_bytes_per_byte", "bytes", "the same per byte that the attacker sent"),
    ("reader_bytes_per_message", "bytes", "work of the threads that read, per message"),
    ("reader_bytes_per_byte", "bytes", "the same per byte that the attacker sent"),
    ("memory_mib", "MiB", "growth of the server's memory, at its peak"),
];

pub fn execute(run: &mut TestRun, search: &HostileSearch) -> Result<(), String> {
    let known = MixFile::worst()?.mixes;
    let random = (search.first_seed..search.first_seed.saturating_add(search.mixes)).map(random_mix);
    let all: Vec<AttackMix> = known.into_iter().chain(random).collect();
    run.start_phase("mixes of messages", all.len() as u64);
    let (mut costs, mut ended) = (Vec::with_capacity(all.len()), 0);
    for (number, mix) in all.into_iter().enumerate() {
        let name = mix.name.clone();
        let (cost, counts) = judge(run, mix, number, search).map_err(|error| format!("{name}: {error}"))?;
        ended += counts.ended;
        run.sampler.add_done(counts.messages);
        run.progress(number as u64 + 1);
        costs.push(cost);
        // A search takes long: what it has found is kept if it is ended.
        if (number + 1).is_multiple_of(KEPT_EVERY) {
            eprintln!("{} mixes tried", number + 1);
            keep_worst(&costs, search.kept)?;
        }
    }
    for (judge, (name, unit, says)) in JUDGES.into_iter().enumerate() {
        let worst = costs.iter().max_by(|a, b| a.costs[judge].total_cmp(&b.costs[judge])).ok_or("no mix was tried")?;
        run.report.figure(&format!("worst_{name}"), worst.costs[judge], unit, &format!("{says}: {}", worst.mix.name));
    }
    run.report.figure("tried", costs.len() as f64, "mixes", "after each of which the server still answered");
    run.report.figure("ended", ended as f64, "sessions", "sessions of the attacker that the server ended");
    for cost in keep_worst(&costs, search.kept)? {
        let costs: Vec<String> = JUDGES.iter().zip(cost.costs).map(|((name, ..), cost)| format!("{name} {cost:.1}")).collect();
        eprintln!("{}: {}", cost.mix.name, costs.join(", "));
    }
    Ok(())
}

/// Writes the worst mixes so far to a file, and returns them.
fn keep_worst(costs: &[MixCost], count: usize) -> Result<Vec<&MixCost>, String> {
    let (file, worst) = (machine::target_folder().join("worst_mixes.toml"), worst(costs, count));
    let kept = MixFile { mixes: worst.iter().map(|cost| cost.mix.clone()).collect() };
    kept.write(&file, "the worst mixes of messages that hostile_search has found")?;
    Ok(worst)
}

/// Attacks with one mix, as an account of its own that is erased afterwards.
fn judge(run: &mut TestRun, mix: AttackMix, number: usize, search: &HostileSearch) -> Result<(MixCost, MixCounts), String> {
    let person = format!("mix-{number}");
    if mix.messages.iter().any(|shape| shape.stock) {
        write_stock(&run.server, &person, search.stock_records)?;
    }
    let server = run.server.process().ok_or("the search needs the server's process: name it with --pid")?;
    let (fleet, maker) = (mix_fleet(run, &mix, &person)?, mix_maker(run, &mix, &person)?);
    let signals = AttackSignals::default();
    let (counts, used) = thread::scope(|scope| -> Result<(MixCounts, WorkDone), String> {
        let attacker = scope.spawn(|| attack_with_mix(fleet, &mix, maker, &signals));
        while !signals.has_begun() && !attacker.is_finished() {
            thread::sleep(LOOK_INTERVAL);
        }
        server.reset_peak();
        let before = WorkDone::now(run, server);
        thread::sleep(Duration::from_millis(search.mix_ms));
        let used = before.and_then(|before| Ok(WorkDone::now(run, server)?.since(&before)));
        signals.stop();
        let counts = attacker.join().map_err(|_| "the attacking thread panicked".to_owned())??;
        Ok((counts, used?))
    })?;
    let identity = UserConnection::connect(&run.server)?.identity(&person)?;
    OperatorConnection::connect(run.server.address)?.request("DELETE", &format!("/identities/{identity}"), "")?;
    let per = |cost: f64, count: f64| cost / count.max(1.0);
    let messages = counts.messages as f64;
    let costs = [
        per(used.writer_bytes, messages),
        per(used.writer_bytes, used.groups),
        per(used.writer_bytes, counts.bytes as f64),
        per(used.reader_bytes, messages),
        per(used.reader_bytes, counts.bytes as f64),
        used.memory_bytes / f64::from(1 << 20),
    ];
    Ok((MixCost { mix, costs }, counts))
}

/// The worst mixes by each judge in turn, until there are enough.
fn worst(costs: &[MixCost], count: usize) -> Vec<&MixCost> {
    let mut found: Vec<&MixCost> = Vec::new();
    let rank = |judge: usize| {
        let mut ranked: Vec<&MixCost> = costs.iter().collect();
        ranked.sort_by(|a, b| b.costs[judge].total_cmp(&a.costs[judge]));
        ranked.into_iter()
    };
    let mut ranked: Vec<_> = (0..JUDGES.len()).map(rank).collect();
    for judge in (0..JUDGES.len()).cycle().take(costs.len() * JUDGES.len()) {
        let is_new = |cost: &&MixCost| found.iter().all(|known| known.mix != cost.mix);
        let next = if found.len() < count { ranked[judge].find(is_new) } else { None };
        found.extend(next);
    }
    found
}

/// What the server has done so far, or since an earlier moment.
struct WorkDone {
    writer_bytes: f64,
    reader_bytes: f64,
    groups: f64,
    memory_bytes: f64,
}

impl WorkDone {
    fn now(run: &TestRun, server: Process) -> Result<WorkDone, String> {
        Ok(WorkDone {
            writer_bytes: run.server.metric("driftless_committer_work_bytes_total")?,
            reader_bytes: run.server.metric("driftless_reader_bytes_total")?,
            groups: run.server.metric("driftless_committer_groups_total")?,
            memory_bytes: server.peak_bytes() as f64,
        })
    }

    fn since(&self, before: &WorkDone) -> WorkDone {
        WorkDone {
            writer_bytes: self.writer_bytes - before.writer_bytes,
            reader_bytes: self.reader_bytes - before.reader_bytes,
            groups: self.groups - before.groups,
            memory_bytes: self.memory_bytes - before.memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_by_each_judge_are_kept_and_none_twice() {
        let cost = |seed: u32, first: f64, last: f64| MixCost { mix: random_mix(seed), costs: [first, 0.0, 0.0, 0.0, 0.0, last] };
        let costs = [cost(1, 9.0, 9.0), cost(2, 8.0, 1.0), cost(3, 1.0, 2.0)];
        let names = |count| worst(&costs, count).into_iter().map(|cost| cost.mix.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(1), ["mix_1"]);
        assert_eq!(names(10).len(), 3);
    }
}
