//! Acts on a dataset with as many records as it may have, each of which was written twice; and the backup of the store that holds it.

use super::signals::{AttackSignals, PreparedAttack};
use crate::context::TestRun;
use crate::machine;
use crate::operator_act::{ActBounds, OperatorAct};
use crate::operator_connection::{OperatorConnection, UserConnection};

/// The account whose dataset is used.
const PERSON: &str = "historian";

/// The dataset.
const DATASET: &str = "long";

/// Changes of a patch: as many as keep it below the bound of a message.
const CHANGES: u32 = 1000;

/// Makes the dataset if it does not exist yet.
pub fn prepare(run: &mut TestRun, act: OperatorAct, bounds: &ActBounds) -> Result<PreparedAttack, String> {
    let mut user = UserConnection::connect(&run.server)?;
    let identity = user.identity(PERSON)?;
    let mut operator = OperatorConnection::connect(run.server.address)?;
    let patches = bounds.records.div_ceil(CHANGES);
    let datasets = user.request(PERSON, "device-0", "GET", "/v1/datasets", "")?;
    if !String::from_utf8_lossy(&datasets).contains(DATASET) {
        run.start_phase("writing a dataset twice", u64::from(2 * patches));
        for patch in 0..2 * patches {
            let body = patch_body(patch, patches, bounds);
            user.request(PERSON, "device-0", "POST", &format!("/v1/datasets/{DATASET}/write"), &body)?;
            run.progress(u64::from(patch) + 1);
        }
    }
    let path = format!("/identities/{identity}/datasets/{DATASET}");
    Ok(Box::new(move |signals: &AttackSignals| {
        machine::lower_thread_priority();
        signals.begin();
        let mut done = 0;
        while !signals.must_stop() {
            match act {
                // In turns the dataset after its first writes and after its second ones: each changes all records.
                OperatorAct::Restore => {
                    let version = if done % 2 == 0 { patches } else { 2 * patches };
                    operator.request("POST", &format!("{path}/restore"), &format!(r#"{{"version":{version}}}"#))?
                }
                OperatorAct::Compare => operator.request("GET", &format!("{path}/compare?first={patches}&second={}", 2 * patches), "")?,
                OperatorAct::Version => operator.request("GET", &format!("{path}/at/{patches}"), "")?,
                _ => operator.request("GET", "/backup", "")?,
            };
            done += 1;
        }
        Ok(done)
    }))
}

fn patch_body(patch: u32, patches: u32, bounds: &ActBounds) -> String {
    let first = patch % patches * CHANGES;
    let value = if patch < patches { "a" } else { "b" }.repeat(bounds.value_bytes as usize);
    let change = |record: u32| format!(r#"{{"key":"k{record}","op":"put","value":"{value}"}}"#);
    let changes: Vec<String> = (first..(first + CHANGES).min(bounds.records)).map(change).collect();
    format!(r#"{{"id":{},"changes":[{}]}}"#, patch + 1, changes.join(","))
}
