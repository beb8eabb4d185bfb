//! Prepares acts on large accounts as attacks.

use super::signals::PreparedAttack;
use super::{history_acts, identity_acts};
use crate::context::TestRun;
use crate::operator_act::{ActBounds, OperatorAct};

/// Makes what an act needs. `number` is that of the phase: an account can be erased only once.
pub fn prepare_act(run: &mut TestRun, act: OperatorAct, bounds: &ActBounds, number: u32) -> Result<PreparedAttack, String> {
    match act {
        OperatorAct::Link | OperatorAct::Merge | OperatorAct::Erase | OperatorAct::Export => {
            identity_acts::prepare(run, act, bounds, number)
        }
        OperatorAct::Restore | OperatorAct::Compare | OperatorAct::Version | OperatorAct::Backup => history_acts::prepare(run, act, bounds),
    }
}
