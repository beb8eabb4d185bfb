//! The sessions of an attacking account, and the loop that keeps each of them busy with a mix of messages.

use std::time::{Duration, Instant};

use driftless_protocol::{Codec, DatasetName, ServerMessage};

use super::message_maker::MessageMaker;
use super::signals::AttackSignals;
use crate::attack_mix::{AttackMix, MAX_SESSIONS};
use crate::context::TestRun;
use crate::fleet::{Fleet, FleetEvent, FleetEventKind};
use crate::machine;

/// The longest wait of one poll: an attack is stopped within this time.
const WAIT: Duration = Duration::from_millis(10);

/// How long sessions may take to open before the attack begins with those that are open.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// Messages without an answer that a session sends between two polls.
const MAX_UNANSWERED: u32 = 16;

/// What an attack sent, and what came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MixCounts {
    pub messages: u64,
    pub bytes: u64,
    /// Sessions that the server ended.
    pub ended: u64,
}

/// The sessions of a mix, all disconnected. `person` is the account.
pub fn mix_fleet(run: &TestRun, mix: &AttackMix, person: &str) -> Result<Fleet, String> {
    if !(1..=MAX_SESSIONS).contains(&mix.sessions) {
        return Err(format!("the mix {} has {} sessions; allowed are 1 to {MAX_SESSIONS}", mix.name, mix.sessions));
    }
    let (signer, person) = (run.server.signer.clone(), person.to_owned());
    run.fleet_with("attacker", mix.sessions, mix.sessions, |config| {
        config.codec = if mix.json { Codec::Json } else { Codec::MsgPack };
        config.dataset = DatasetName::new("settings").unwrap_or_else(|_| unreachable!("it is a name"));
        config.sign = Box::new(move |_| signer.sign(&person));
        config.reconnects = true;
        config.acknowledges = false;
    })
}

/// What makes the mix's messages. `person` is the account.
pub fn mix_maker(run: &TestRun, mix: &AttackMix, person: &str) -> Result<MessageMaker, String> {
    MessageMaker::new(mix, |bytes| run.server.signer.sign_long(person, bytes))
}

/// Attacks until it is stopped.
pub fn attack_with_mix(mut fleet: Fleet, mix: &AttackMix, maker: MessageMaker, signals: &AttackSignals) -> Result<MixCounts, String> {
    machine::lower_thread_priority();
    (0..mix.sessions).for_each(|device| fleet.connect(device));
    let (began, mut events) = (Instant::now(), Vec::new());
    while fleet.open() < mix.sessions as usize && began.elapsed() < OPENING_TIMEOUT && !signals.must_stop() {
        fleet.poll_events(WAIT, &mut events)?;
        events.clear();
    }
    let not_reading = mix.sessions * mix.not_reading_percent / 100;
    let mut attack = MixAttack { maker, waiting: vec![0; mix.sessions as usize], counts: MixCounts::default(), not_reading, fleet };
    let before = attack.fleet.sent_bytes;
    while !signals.must_stop() {
        for device in 0..mix.sessions {
            // Large messages take long to encode, so one round of all sessions may be longer than the attack.
            if signals.must_stop() {
                break;
            }
            attack.send(device, mix.window)?;
        }
        attack.fleet.poll_events(WAIT, &mut events)?;
        events.drain(..).for_each(|event| attack.handle(&event));
        // From here on each session has sent something.
        signals.begin();
    }
    attack.counts.bytes = attack.fleet.sent_bytes - before;
    Ok(attack.counts)
}

struct MixAttack {
    fleet: Fleet,
    maker: MessageMaker,
    /// Answers that each session waits for.
    waiting: Vec<u32>,
    counts: MixCounts,
    /// The first sessions send and never read.
    not_reading: u32,
}

impl MixAttack {
    fn send(&mut self, device: u32, window: u32) -> Result<(), String> {
        if device < self.not_reading {
            self.fleet.stop_reading(device);
        } else if !self.fleet.is_open(device) {
            return Ok(());
        }
        let mut unanswered = 0;
        // What a socket does not accept is kept in this process, so a session sends no more then.
        while self.fleet.has_sent_all(device) && self.fleet.is_connected(device) && unanswered < MAX_UNANSWERED {
            // A session that does not read waits for nothing.
            if device >= self.not_reading && self.waiting[device as usize] >= window.max(1) {
                break;
            }
            let (kind, message) = self.maker.next_message(device, &mut self.fleet)?;
            self.fleet.send_message(device, &message);
            self.counts.messages += 1;
            match kind.is_answered() && device >= self.not_reading {
                true => self.waiting[device as usize] += 1,
                false => unanswered += 1,
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: &FleetEvent) {
        let waiting = &mut self.waiting[event.device as usize];
        match &event.kind {
            FleetEventKind::Received(ServerMessage::Changes { more: true, .. }) => {}
            FleetEventKind::Received(message) => {
                if let ServerMessage::Written { version, .. } = message {
                    self.maker.set_version(event.device, *version);
                }
                *waiting = waiting.saturating_sub(1);
            }
            FleetEventKind::Ended { .. } => {
                *waiting = 0;
                self.counts.ended += 1;
            }
            FleetEventKind::Open { .. } => *waiting = 0,
        }
    }
}
