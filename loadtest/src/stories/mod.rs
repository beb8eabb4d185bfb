//! One file for each kind of scenario: what is done, and which figures come of it.

mod burst;
mod catch_up;
mod crowd;
mod grow;
mod herd;
mod hot;
mod idle;
mod push_flood;
mod slow;
mod soak;
mod steady;

pub use push_flood::Gateways;

use crate::run::Run;
use crate::scenario::Load;

/// Does what a scenario names.
pub fn tell(run: &mut Run, load: &Load) -> Result<(), String> {
    match load {
        Load::Idle(idle) => idle::tell(run, idle),
        Load::Steady(steady) => steady::tell(run, steady),
        Load::Burst(burst) => burst::tell(run, burst),
        Load::Herd(herd) => herd::tell(run, herd),
        Load::CatchUp(catch_up) => catch_up::tell(run, catch_up),
        Load::Slow(slow) => slow::tell(run, slow),
        Load::Hot(hot) => hot::tell(run, hot),
        Load::PushFlood(flood) => push_flood::tell(run, flood),
        Load::Grow(grow) => grow::tell(run, grow),
        Load::Crowd(crowd) => crowd::tell(run, crowd),
        Load::Soak(soak) => soak::tell(run, soak),
    }
}
