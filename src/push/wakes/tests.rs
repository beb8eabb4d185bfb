//! Stories about one identity, with a hand-moved clock: what is known of it comes from a small world that does what the store does.

use driftless_protocol::{DeviceId, PushTarget};

use super::*;
use crate::push::Whom;
use crate::store::{DeadToken, Identity};

/// A moment of 2026.
const START_MS: u64 = 1_790_000_000_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * HOUR_MS;

struct World {
    now_ms: u64,
    round: WakeRound,
    settings: WakeSettings,
    held: Option<Held>,
    sent: Vec<(String, Sending)>,
}

fn name(text: &str) -> DatasetName {
    DatasetName::new(text).expect("a name")
}

fn device(text: &str) -> DeviceId {
    DeviceId::new(text).expect("a device")
}

impl World {
    /// An identity with these registered devices, of a provider.
    fn of(provider: Provider, devices: &[&str]) -> World {
        let sleeper = |id: &&str| WakeTarget {
            device: device(id),
            provider,
            target: Some(PushTarget::Fcm((*id).to_owned())),
            dead: None,
            app: "app".to_owned(),
            datasets: None,
            shown: false,
            registered_ms: START_MS - DAY_MS,
            seen_ms: START_MS - DAY_MS,
            acknowledged: Vec::new(),
            woken: Vec::new(),
            budget: PushBudget::default(),
        };
        let round = WakeRound {
            identity: Identity::from("local:1"),
            pool: "demo".to_owned(),
            debts: Vec::new(),
            targets: devices.iter().map(sleeper).collect(),
        };
        World { now_ms: START_MS, round, settings: WakeSettings::default(), held: None, sent: Vec::new() }
    }

    fn pass(&mut self, ms: u64) -> &mut World {
        self.now_ms += ms;
        self
    }

    fn write(&mut self, dataset: &str, writer: &str) -> &mut World {
        let now_ms = self.now_ms;
        match self.round.debts.iter_mut().find(|owed| owed.dataset == name(dataset)) {
            Some(owed) => {
                if owed.writer != device(writer) {
                    owed.others_version = owed.version;
                }
                (owed.writer, owed.version, owed.changed_ms) = (device(writer), owed.version + 1, now_ms);
                owed.first_ms = if owed.first_ms == 0 { now_ms } else { owed.first_ms };
            }
            None => {
                let (dataset, writer) = (name(dataset), device(writer));
                self.round.debts.push(Debt { dataset, version: 1, writer, others_version: 0, first_ms: now_ms, changed_ms: now_ms });
                self.round.targets.iter_mut().for_each(|sleeper| {
                    sleeper.acknowledged.push(0);
                    sleeper.woken.push(0);
                });
            }
        }
        self
    }

    fn sleeper(&mut self, id: &str) -> &mut WakeTarget {
        self.round.targets.iter_mut().find(|sleeper| sleeper.device == device(id)).expect("a device")
    }

    fn acknowledge(&mut self, id: &str, version: u64) -> &mut World {
        self.sleeper(id).acknowledged.iter_mut().for_each(|acknowledged| *acknowledged = version);
        self
    }

    /// What is to be done for a device.
    fn step(&self, id: &str) -> Step {
        let sleeper = self.round.targets.iter().find(|sleeper| sleeper.device == device(id)).expect("a device");
        decide(&self.round, sleeper, &self.settings, self.held.as_ref(), self.now_ms)
    }

    fn reason(&self, id: &str) -> Reason {
        match self.step(id) {
            Step::Rest(reason) | Step::Wait(_, reason) => reason,
            Step::Send(sending) => panic!("it is woken: {sending:?}"),
        }
    }

    /// A visit in which every wake is answered like this; how many were sent.
    fn visit(&mut self, verdict: &Verdict) -> usize {
        let before = self.sent.len();
        for at in 0..self.round.targets.len() {
            let sleeper = self.round.targets[at].clone();
            let Step::Send(sending) = decide(&self.round, &sleeper, &self.settings, self.held.as_ref(), self.now_ms) else { continue };
            let settled = settle(&sleeper, &sending, verdict, &self.settings, self.now_ms, 0);
            let known = &mut self.round.targets[at];
            known.budget = settled.budget;
            for (dataset, version) in settled.woken {
                let at = self.round.debts.iter().position(|owed| owed.dataset == dataset).expect("owed");
                known.woken[at] = version;
            }
            if let TokenDisposition::MarkDead { reason, .. } = settled.disposition {
                (known.target, known.dead) = (None, Some(DeadToken { at_ms: self.now_ms, reason }));
            }
            self.sent.push((sleeper.device.to_string(), sending));
        }
        let (settings, now_ms) = (self.settings, self.now_ms);
        self.round.debts.iter_mut().filter(|owed| settings.is_past_grace(owed, now_ms)).for_each(|owed| owed.first_ms = 0);
        self.sent.len() - before
    }

    fn accepted(&mut self) -> usize {
        self.visit(&Verdict::Accepted { id: None })
    }

    /// When the courier comes back, from now; `None`: nobody is owed anything.
    fn next_ms(&self) -> Option<u64> {
        let dates = dates(&self.round, &self.settings, |_| self.held.clone(), self.now_ms);
        dates.into_iter().filter_map(|(_, at_ms)| at_ms).min().map(|at_ms| at_ms - self.now_ms)
    }
}

#[test]
fn a_sleeping_phone_gets_one_wake_after_the_grace_and_the_writer_none() {
    let mut world = World::of(Provider::Fcm, &["phone", "laptop"]);
    world.write("settings", "laptop");
    assert_eq!(world.step("phone"), Step::Wait(START_MS + 3_000, Reason::Grace));
    assert_eq!(world.next_ms(), Some(3_000));
    assert_eq!(world.reason("laptop"), Reason::Writer);
    world.pass(2_999);
    assert_eq!(world.accepted(), 0);
    world.write("settings", "laptop").pass(3_000);
    assert_eq!(world.accepted(), 1);
    assert_eq!(world.sent[0].0, "phone");
    assert_eq!((world.reason("phone"), world.next_ms()), (Reason::Woken, None));
}

#[test]
fn ten_writes_in_a_second_are_one_wake_for_the_newest_version() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    (0..10).for_each(|_| _ = world.write("settings", "laptop").pass(100));
    world.pass(2_000);
    assert_eq!(world.accepted(), 1);
    assert_eq!((world.sent[0].1.version, world.sent[0].1.since_ms), (10, START_MS));
}

#[test]
fn an_acknowledgement_pays_and_an_older_one_does_not() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").write("settings", "laptop").acknowledge("phone", 1).pass(3_000);
    assert!(matches!(world.step("phone"), Step::Send(_)));
    world.acknowledge("phone", 2);
    assert_eq!((world.reason("phone"), world.next_ms()), (Reason::Paid, None));
}

#[test]
fn who_wrote_last_is_woken_for_what_another_wrote_before() {
    let mut world = World::of(Provider::Fcm, &["phone", "laptop"]);
    world.write("settings", "phone").write("settings", "laptop").pass(3_000);
    assert!(matches!(world.step("laptop"), Step::Send(_)), "the laptop has not seen version 1");
    world.acknowledge("laptop", 1);
    assert_eq!(world.reason("laptop"), Reason::Writer);
}

#[test]
fn one_wake_stands_for_several_datasets_and_names_the_newest() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").pass(10).write("notes", "laptop").pass(3_000);
    assert_eq!(world.accepted(), 1);
    assert_eq!(world.sent[0].1.dataset, name("notes"));
    assert_eq!(world.sent[0].1.pays.len(), 2);
    assert_eq!(world.next_ms(), None);
}

#[test]
fn a_device_that_comes_in_is_not_woken_unless_it_acknowledges_nothing_for_a_grace() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").pass(2_900);
    world.sleeper("phone").seen_ms = START_MS + 2_900;
    world.pass(200);
    assert_eq!(world.step("phone"), Step::Wait(START_MS + 5_900, Reason::Connected));
    world.pass(2_800);
    assert_eq!(world.accepted(), 1, "a half-dead socket is woken after the grace");
}

#[test]
fn a_visit_takes_the_grace_from_nothing_that_was_just_written() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").pass(2_900).write("notes", "laptop");
    world.sleeper("phone").acknowledged[0] = 1;
    world.pass(100);
    assert_eq!((world.accepted(), world.reason("phone")), (0, Reason::Grace), "it has had 100 ms for the notes");
    assert_eq!(world.next_ms(), Some(2_900));
    world.pass(2_900);
    assert_eq!(world.accepted(), 1);
}

#[test]
fn silent_wakes_come_out_of_a_bucket_of_three_an_hour() {
    for provider in [Provider::Apns, Provider::ApnsSandbox, Provider::Fcm] {
        let mut world = World::of(provider, &["phone"]);
        world.write("settings", "laptop").pass(3_000);
        assert_eq!(world.accepted(), 1);
        world.write("settings", "laptop").pass(3_000);
        let next_ms = world.next_ms().expect("a date");
        assert_eq!((world.reason("phone"), next_ms), (Reason::Budget, 20 * MINUTE_MS - 3_000), "{provider}");
        world.pass(next_ms - 1);
        assert_eq!(world.accepted(), 0);
        world.pass(1);
        assert_eq!(world.accepted(), 1);
        let day = (0..24 * 60).map(|_| world.write("settings", "laptop").pass(MINUTE_MS).accepted()).sum::<usize>();
        assert_eq!(day, 72);
    }
}

#[test]
fn after_the_silent_wakes_an_app_that_allows_it_shows_one() {
    let mut world = World::of(Provider::Apns, &["phone"]);
    world.sleeper("phone").shown = true;
    let wake = |world: &mut World| {
        world.write("settings", "laptop").pass(3_000).accepted();
        world.sent.last().map(|(_, sending)| sending.shown)
    };
    assert_eq!(wake(&mut world), Some(false));
    assert_eq!(wake(&mut world), Some(true));
    world.write("settings", "laptop").pass(3_000);
    assert_eq!((world.accepted(), world.reason("phone")), (0, Reason::Budget));
    world.settings.shown_per_hour = 0;
    world.settings.apple_per_hour = 0;
    assert_eq!(world.step("phone"), Step::Rest(Reason::Budget), "an app that sends none waits for nothing");
}

#[test]
fn buckets_are_full_again_and_no_fuller() {
    let budget = Budget { per_hour: 3, burst: 2 };
    let taken = budget.take(budget.take(TokenBucket::default(), START_MS), START_MS);
    assert_eq!(budget.next_ms(taken, START_MS), Some(START_MS + 20 * MINUTE_MS));
    let again = budget.take(taken, START_MS + 10 * HOUR_MS);
    assert_eq!(again.missing_micro, WAKE);
    assert!(budget.next_ms(taken, START_MS - DAY_MS) <= Some(START_MS - DAY_MS + 20 * MINUTE_MS), "a clock that was set back");
}

#[test]
fn a_device_that_is_stale_dead_or_registered_for_others_holds_nobody_up() {
    let mut world = World::of(Provider::Fcm, &["stale", "dead", "other"]);
    world.sleeper("stale").seen_ms = START_MS - 31 * DAY_MS;
    world.sleeper("dead").target = None;
    world.sleeper("dead").dead = Some(DeadToken { at_ms: START_MS, reason: "UNREGISTERED".to_owned() });
    world.sleeper("other").datasets = Some(vec![name("notes")]);
    world.write("settings", "laptop").pass(3_000);
    assert_eq!(world.reason("stale"), Reason::Stale);
    assert_eq!(world.reason("dead"), Reason::NoToken("UNREGISTERED".to_owned()));
    assert_eq!(world.reason("other"), Reason::NotWanted);
    assert_eq!(world.next_ms(), None);
}

#[test]
fn a_debt_ends_at_its_stated_expiry() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").pass(7 * DAY_MS - 1);
    assert!(matches!(world.step("phone"), Step::Send(_)));
    world.pass(1);
    assert_eq!((world.reason("phone"), world.next_ms()), (Reason::Expired, None));
}

#[test]
fn failures_back_off_and_never_end_a_debt() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").pass(3_000);
    let later = Verdict::Later { reason: "UNAVAILABLE".to_owned(), after_ms: None, whom: Whom::Device };
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(world.visit(&later), 1);
        waits.push(world.next_ms().expect("still owed"));
        world.pass(waits[waits.len() - 1]);
    }
    assert!(waits.is_sorted() && waits[0] == RETRY_MS / 2 && waits[11] == RETRY_MOST_MS / 2, "{waits:?}");
    assert_eq!(world.accepted(), 1);
    assert_eq!(world.sleeper("phone").budget.failures, 0);
}

#[test]
fn what_the_gateway_asks_for_is_obeyed() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").pass(3_000);
    world.visit(&Verdict::Later { reason: "429".to_owned(), after_ms: Some(90_000), whom: Whom::Device });
    assert_eq!((world.reason("phone"), world.next_ms()), (Reason::BackOff, Some(90_000)));
}

#[test]
fn a_refusal_of_the_app_waits_for_its_operator_and_costs_no_token() {
    let mut world = World::of(Provider::Apns, &["phone"]);
    world.write("settings", "laptop").pass(3_000);
    world.visit(&Verdict::Refused { reason: "BadTopic".to_owned(), fault: Fault::App });
    world.held = Some(Held { until_ms: world.now_ms + 300_000, why: "BadTopic".to_owned() });
    assert_eq!((world.reason("phone"), world.next_ms()), (Reason::Stopped("BadTopic".to_owned()), Some(300_000)));
    world.held = None;
    assert_eq!(world.accepted(), 1, "resumed");
}

#[test]
fn every_verdict_has_a_meaning_for_the_debt_and_the_token() {
    let why = || "why".to_owned();
    let dead = |since_ms| Verdict::Dead { reason: why(), since_ms };
    let later = |whom| Verdict::Later { reason: why(), after_ms: Some(7), whom };
    let refused = |fault| Verdict::Refused { reason: why(), fault };
    // Whether the debt is paid, whether the token dies, and whether a wake was taken out of the bucket.
    let table = [
        (Verdict::Accepted { id: None }, true, false, true),
        (dead(None), false, true, false),
        (dead(Some(START_MS)), false, true, false),
        (Verdict::OtherEnvironment { reason: why() }, false, true, false),
        (later(Whom::Device), false, false, false),
        (later(Whom::App), false, false, false),
        (refused(Fault::Payload), false, false, false),
        (refused(Fault::App), false, false, false),
        (refused(Fault::Sender), false, true, false),
    ];
    for (verdict, pays, dies, takes) in table {
        let mut world = World::of(Provider::Apns, &["phone"]);
        world.write("settings", "laptop").pass(3_000);
        assert_eq!(world.visit(&verdict), 1);
        let WakeTarget { woken, target, budget: purse, .. } = world.sleeper("phone").clone();
        assert_eq!((woken[0] == 1, target.is_none(), purse.silent.missing_micro > 0), (pays, dies, takes));
    }
}

#[test]
fn clocks_that_jump_neither_lose_a_wake_nor_hold_it_up_for_long() {
    let mut world = World::of(Provider::Fcm, &["phone"]);
    world.now_ms += DAY_MS;
    world.write("settings", "laptop");
    world.now_ms -= DAY_MS;
    assert!(matches!(world.step("phone"), Step::Send(_)), "a grace that would end tomorrow");
    world.accepted();
    world.sleeper("phone").budget.not_before_ms = START_MS + 3 * DAY_MS;
    world.sleeper("phone").seen_ms = START_MS + DAY_MS;
    world.sleeper("phone").budget.silent = TokenBucket { missing_micro: WAKE, at_ms: START_MS + 300 * DAY_MS };
    world.write("settings", "laptop").pass(HOUR_MS);
    assert!(matches!(world.step("phone"), Step::Send(_)));
}
