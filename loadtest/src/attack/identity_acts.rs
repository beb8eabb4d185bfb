//! Accounts that have as many datasets and devices as they may, and acts on all of an account.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::signals::{AttackSignals, PreparedAttack};
use crate::context::TestRun;
use crate::machine;
use crate::operator_act::{ActBounds, OperatorAct};
use crate::operator_connection::{OperatorConnection, UserConnection};
use crate::server::ServerUnderTest;

/// Connections that create accounts, with one request at a time each.
const CONNECTIONS: usize = 16;

/// How often an act without further accounts looks whether it is over.
const STOP_INTERVAL: Duration = Duration::from_millis(10);

/// An account of a phase, and one to join it with.
struct AccountPair {
    names: [String; 2],
    identities: [String; 2],
}

pub fn prepare(run: &mut TestRun, act: OperatorAct, bounds: &ActBounds, number: u32) -> Result<PreparedAttack, String> {
    run.start_phase("creating large accounts", u64::from(bounds.accounts));
    let names = |account| ["a", "b"].map(|side| format!("{}-{number}-{account}-{side}", act.name()));
    let is_joined = matches!(act, OperatorAct::Link | OperatorAct::Merge);
    let names: Vec<[String; 2]> = (0..bounds.accounts).map(names).collect();
    let persons: Vec<&str> =
        names.iter().flat_map(|[first, second]| [Some(first.as_str()), is_joined.then_some(second.as_str())]).flatten().collect();
    create_accounts(&run.server, &persons, bounds)?;
    let mut user = UserConnection::connect(&run.server)?;
    let mut pair = |names: [String; 2]| -> Result<AccountPair, String> {
        let second = if is_joined { user.identity(&names[1])? } else { String::new() };
        Ok(AccountPair { identities: [user.identity(&names[0])?, second], names })
    };
    let accounts = names.into_iter().map(&mut pair).collect::<Result<Vec<_>, _>>()?;
    let operator = OperatorConnection::connect(run.server.address)?;
    let signer = run.server.signer.clone();
    Ok(Box::new(move |signals| run_on_accounts(act, &accounts, operator, user, |person| signer.sign(person), signals)))
}

fn run_on_accounts(
    act: OperatorAct,
    accounts: &[AccountPair],
    mut operator: OperatorConnection,
    mut user: UserConnection,
    sign: impl Fn(&str) -> String,
    signals: &AttackSignals,
) -> Result<u64, String> {
    machine::lower_thread_priority();
    signals.begin();
    let mut done = 0;
    while !signals.must_stop() {
        // Each account is acted on once, except that it can be exported again and again.
        let Some(AccountPair { names, identities: [first, second] }) = accounts.get(match act {
            OperatorAct::Export => done % accounts.len().max(1),
            _ => done,
        }) else {
            thread::sleep(STOP_INTERVAL);
            continue;
        };
        match act {
            OperatorAct::Link => {
                let body = serde_json::json!({ "token": sign(&names[1]) }).to_string();
                user.request(&names[0], "device-0", "POST", "/v1/identity/link", &body)?
            }
            OperatorAct::Merge => {
                let body = serde_json::json!({ "into": second }).to_string();
                operator.request("POST", &format!("/identities/{first}/merge"), &body)?
            }
            OperatorAct::Erase => operator.request("DELETE", &format!("/identities/{first}"), "")?,
            _ => operator.request("GET", &format!("/identities/{first}/export"), "")?,
        };
        done += 1;
    }
    Ok(done as u64)
}

/// Creates accounts with all their datasets, each written by another device in turn.
fn create_accounts(server: &ServerUnderTest, persons: &[&str], bounds: &ActBounds) -> Result<(), String> {
    let writes = persons.len() * bounds.datasets as usize;
    let next = AtomicUsize::new(0);
    let create_until_done = |_| -> Result<(), String> {
        let mut user = UserConnection::connect(server)?;
        loop {
            let write = next.fetch_add(1, Ordering::Relaxed);
            if write >= writes {
                return Ok(());
            }
            let (person, dataset) = (persons[write / bounds.datasets as usize], write as u32 % bounds.datasets);
            let device = format!("device-{}", dataset % bounds.devices.max(1));
            let body =
                format!(r#"{{"id":{},"changes":[{{"key":"theme","op":"put","value":"{person}"}}]}}"#, dataset / bounds.devices.max(1) + 1);
            user.request(person, &device, "POST", &format!("/v1/datasets/d{dataset}/write"), &body)?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || create_until_done(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread that creates accounts panicked".to_owned())?)
    })
}
