//! One file for each kind of workload: what the devices do, and which figures are reported.

mod beside;
mod burst;
mod catch_up;
mod crowd;
mod grow;
mod herd;
mod hostile;
mod hostile_search;
mod hot;
mod idle;
mod push_flood;
mod slow;
mod soak;
mod steady;

use crate::context::TestRun;
use crate::scenario::Workload;

/// Runs the workload of a scenario.
pub fn execute(run: &mut TestRun, workload: &Workload) -> Result<(), String> {
    match workload {
        Workload::Idle(idle) => idle::execute(run, idle),
        Workload::Steady(steady) => steady::execute(run, steady),
        Workload::Burst(burst) => burst::execute(run, burst),
        Workload::Herd(herd) => herd::execute(run, herd),
        Workload::CatchUp(catch_up) => catch_up::execute(run, catch_up),
        Workload::Slow(slow) => slow::execute(run, slow),
        Workload::Hot(hot) => hot::execute(run, hot),
        Workload::PushFlood(flood) => push_flood::execute(run, flood),
        Workload::Grow(grow) => grow::execute(run, grow),
        Workload::Crowd(crowd) => crowd::execute(run, crowd),
        Workload::Beside(beside) => beside::execute(run, beside),
        Workload::Hostile(hostile) => hostile::execute(run, hostile),
        Workload::HostileSearch(search) => hostile_search::execute(run, search),
        Workload::Soak(soak) => soak::execute(run, soak),
    }
}
