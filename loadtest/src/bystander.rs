//! A device of somebody who does nothing wrong: it writes a small record at a fixed rate, and each write's latency counts from when it was due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use driftless_protocol::ServerMessage;

use crate::context::{POLL_WAIT, TestRun, value};
use crate::fleet::{Fleet, FleetEvent, FleetEventKind};
use crate::latency::Latencies;

/// Writes that may be unanswered at once: the numbers of a device's patches must be less than 64 apart.
const MAX_UNANSWERED: usize = 60;

/// How long the last answers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a value.
const VALUE_BYTES: usize = 40;

/// The number of keys that are written in turn.
const KEYS: u64 = 16;

pub struct BystanderDevice {
    fleet: Fleet,
    interval: Duration,
    /// When each unanswered write was due.
    unanswered: VecDeque<Instant>,
    number: u64,
    pub refused: u64,
    /// Writes that were given up.
    pub unanswered_writes: u64,
    /// How often the server ended the device's session.
    pub ended: u64,
}

impl BystanderDevice {
    pub fn connect(run: &mut TestRun, interval: Duration) -> Result<BystanderDevice, String> {
        let mut fleet = run.fleet_with("bystander", 1, 1, |config| config.reconnects = true)?;
        run.connect_all(&mut fleet)?;
        Ok(BystanderDevice { fleet, interval, unanswered: VecDeque::new(), number: 0, refused: 0, unanswered_writes: 0, ended: 0 })
    }

    /// Writes for a time.
    pub fn write_for(&mut self, run: &mut TestRun, time: Duration, latencies: &mut Latencies) -> Result<(), String> {
        let began = Instant::now();
        self.write_until(run, latencies, || began.elapsed() >= time)
    }

    /// Writes until `is_done`, and waits for the last answers.
    pub fn write_until(&mut self, run: &mut TestRun, latencies: &mut Latencies, is_done: impl Fn() -> bool) -> Result<(), String> {
        let (mut due, mut events, mut done_at) = (Instant::now(), Vec::new(), None);
        loop {
            if done_at.is_none() && is_done() {
                done_at = Some(Instant::now());
            }
            match done_at {
                Some(_) if self.unanswered.is_empty() => return Ok(()),
                Some(at) if at.elapsed() > ANSWER_TIMEOUT => return self.give_up(run, latencies),
                Some(_) => {}
                None => self.write_due(run, &mut due),
            }
            let wait = due.saturating_duration_since(Instant::now()).min(POLL_WAIT);
            // A write that may not be sent yet waits for an answer, not for its time.
            let wait = if wait.is_zero() { self.interval } else { wait };
            self.fleet.poll_events(wait, &mut events)?;
            for event in events.drain(..) {
                self.handle(run, event, latencies);
            }
        }
    }

    /// Counts the writes that were not answered with the time that they have taken so far, and opens another session.
    fn give_up(&mut self, run: &mut TestRun, latencies: &mut Latencies) -> Result<(), String> {
        self.unanswered_writes += self.unanswered.len() as u64;
        self.unanswered.drain(..).for_each(|due| latencies.record(due.elapsed()));
        self.fleet.disconnect(0);
        run.connect_all(&mut self.fleet).map(drop)
    }

    fn write_due(&mut self, run: &mut TestRun, due: &mut Instant) {
        while *due <= Instant::now() && self.unanswered.len() < MAX_UNANSWERED && self.fleet.is_open(0) {
            self.number += 1;
            self.fleet.put(0, &format!("k{}", self.number % KEYS), value(&mut run.rng, VALUE_BYTES));
            self.unanswered.push_back(*due);
            *due += self.interval;
        }
    }

    fn handle(&mut self, run: &TestRun, event: FleetEvent, latencies: &mut Latencies) {
        match event.kind {
            FleetEventKind::Received(ServerMessage::Written { .. }) => {
                if let Some(due) = self.unanswered.pop_front() {
                    latencies.record(event.at.saturating_duration_since(due));
                    run.sampler.add_done(1);
                }
            }
            FleetEventKind::Received(ServerMessage::Refused { .. }) => {
                self.refused += 1;
                self.unanswered.pop_front();
            }
            FleetEventKind::Received(_) | FleetEventKind::Open { .. } => {}
            FleetEventKind::Ended { .. } => {
                self.ended += 1;
                // The device would send them again; the time until now counts for each.
                self.unanswered.drain(..).for_each(|due| latencies.record(event.at.saturating_duration_since(due)));
            }
        }
    }
}
