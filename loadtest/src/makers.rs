//! People who are made before a story begins: each signs in and writes one record, over a few kept connections.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::http::Http;
use crate::run::Run;

/// Connections that make people, unless a scenario says otherwise: so many writes share a flush.
pub const MAKERS: u32 = 64;

/// The one record of each.
const BODY: &[u8] = br#"{"id":1,"changes":[{"key":"theme","op":"put","value":"dark"}]}"#;

/// Makes the people of a crowd from one number up to another, with one device each. They are asked for over `makers` connections, each one
/// after the other. Then, if something is to be registered for each, its body is put to `/v1/push`.
pub fn make(
    run: &mut Run,
    crowd: &str,
    people: std::ops::Range<u64>,
    makers: u32,
    push: Option<&(dyn Fn(u64) -> String + Sync)>,
) -> Result<(), String> {
    run.begin("people are made", people.end - people.start);
    let (next, made, failed) = (AtomicU64::new(people.start), AtomicU64::new(0), AtomicBool::new(false));
    let (address, signer) = (run.server.address, run.server.signer.clone());
    let one = || -> Result<(), String> {
        let mut http = Http::connect(address)?;
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= people.end {
                return Ok(());
            }
            let token = format!("Bearer {}", signer.mint(&format!("{crowd}-{number}")));
            let headers = [("Authorization", token.as_str()), ("Driftless-Device", "device-0"), ("Content-Type", "application/json")];
            if let Some(push) = push {
                granted(http.ask("PUT", "/v1/push", &headers, push(number).as_bytes())?)?;
            }
            granted(http.ask("POST", "/v1/datasets/settings/write", &headers, BODY)?)?;
            made.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..makers).map(|_| scope.spawn(|| one().inspect_err(|_| failed.store(true, Ordering::Relaxed)))).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(20));
            run.progress(made.load(Ordering::Relaxed));
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a maker of people failed".to_owned())?)
    })
}

fn granted(answer: crate::http::Answer) -> Result<(), String> {
    match answer.status {
        200..300 => Ok(()),
        status => Err(format!("the server refuses with {status}: {}", String::from_utf8_lossy(&answer.body))),
    }
}
