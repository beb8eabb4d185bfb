//! Creates the people of a workload before it begins: each signs in and writes one record.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::context::TestRun;
use crate::http::{HttpConnection, check_status};

/// Connections that create people, unless a scenario sets another number. As many writes share a flush.
pub const CONNECTIONS: u32 = 64;

/// The first write of each person.
const FIRST_WRITE: &[u8] = br#"{"id":1,"changes":[{"key":"theme","op":"put","value":"dark"}]}"#;

/// Creates the people `PREFIX-NUMBER` with one device each, over `connections` connections with one request at a time.
/// `registration` returns the body that is put to `/v1/push` for a person first.
pub fn create(
    run: &mut TestRun,
    prefix: &str,
    numbers: Range<u64>,
    connections: u32,
    registration: Option<&(dyn Fn(u64) -> String + Sync)>,
) -> Result<(), String> {
    run.start_phase("creating people", numbers.end - numbers.start);
    let (next, created, failed) = (AtomicU64::new(numbers.start), AtomicU64::new(0), AtomicBool::new(false));
    let (address, signer) = (run.server.address, run.server.signer.clone());
    let create_until_done = || -> Result<(), String> {
        let mut http = HttpConnection::connect(address)?;
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            let token = format!("Bearer {}", signer.sign(&format!("{prefix}-{number}")));
            let headers = [("Authorization", token.as_str()), ("Driftless-Device", "device-0"), ("Content-Type", "application/json")];
            if let Some(registration) = registration {
                check_status(http.request("PUT", "/v1/push", &headers, registration(number).as_bytes())?)?;
            }
            check_status(http.request("POST", "/v1/datasets/settings/write", &headers, FIRST_WRITE)?)?;
            created.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let create = || create_until_done().inspect_err(|_| failed.store(true, Ordering::Relaxed));
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(create)).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(20));
            run.progress(created.load(Ordering::Relaxed));
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread that creates people panicked".to_owned())?)
    })
}
