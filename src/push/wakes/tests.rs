//! Rounds of one identity under a clock that the test moves. `WakeWorld` keeps debts, acknowledgements and budgets as the store does.

use driftless_protocol::{DeviceId, Provider, PushTarget};

use super::settings::{BucketLimits, MICROS_PER_WAKE};
use super::*;
use crate::push::{FailureCause, FaultScope};
use crate::store::{DeadToken, Identity, TokenBucket, TokenLoss};

/// A time in 2026.
const START_MS: u64 = 1_790_000_000_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * HOUR_MS;

struct WakeWorld {
    now_ms: u64,
    round: WakeRound,
    settings: WakeSettings,
    hold: Option<Hold>,
    sent: Vec<(String, DueWake)>,
}

fn dataset_name(text: &str) -> DatasetName {
    DatasetName::new(text).expect("a name")
}

fn device(text: &str) -> DeviceId {
    DeviceId::new(text).expect("a device")
}

impl WakeWorld {
    /// An identity with these devices, registered with one provider.
    fn of(provider: Provider, devices: &[&str]) -> WakeWorld {
        let target = |id: &&str| WakeTarget {
            device: device(id),
            provider,
            target: Some(PushTarget::Fcm((*id).to_owned())),
            dead: None,
            app: "app".to_owned(),
            datasets: None,
            cognito_pool: None,
            shown: false,
            registered_ms: START_MS - DAY_MS,
            seen_ms: START_MS - DAY_MS,
            debts: Vec::new(),
            budget: PushBudget::default(),
        };
        let round = WakeRound {
            identity: Identity::from("local:1"),
            pool: "demo".to_owned(),
            debts: Vec::new(),
            targets: devices.iter().map(target).collect(),
        };
        WakeWorld { now_ms: START_MS, round, settings: WakeSettings::default(), hold: None, sent: Vec::new() }
    }

    fn advance(&mut self, ms: u64) -> &mut WakeWorld {
        self.now_ms += ms;
        self
    }

    fn write(&mut self, dataset: &str, writer: &str) -> &mut WakeWorld {
        let now_ms = self.now_ms;
        match self.round.debts.iter_mut().find(|debt| debt.dataset == dataset_name(dataset)) {
            Some(debt) => {
                if debt.writer != device(writer) {
                    debt.others_version = debt.version;
                }
                (debt.writer, debt.version, debt.changed_ms) = (device(writer), debt.version + 1, now_ms);
                debt.first_ms = if debt.first_ms == 0 { now_ms } else { debt.first_ms };
            }
            None => {
                let (dataset, writer) = (dataset_name(dataset), device(writer));
                self.round.debts.push(Debt { dataset, version: 1, writer, others_version: 0, first_ms: now_ms, changed_ms: now_ms });
            }
        }
        self.update_targets();
        self
    }

    /// Gives each target the round's debts as they are now; its progress stays.
    fn update_targets(&mut self) {
        for target in &mut self.round.targets {
            for debt in &self.round.debts {
                match target.debts.iter_mut().find(|known| known.debt.dataset == debt.dataset) {
                    Some(known) => known.debt = debt.clone(),
                    None => target.debts.push(TargetDebt { debt: debt.clone(), acknowledged: 0, woken: 0 }),
                }
            }
        }
    }

    fn target_mut(&mut self, id: &str) -> &mut WakeTarget {
        self.round.targets.iter_mut().find(|target| target.device == device(id)).expect("a device")
    }

    fn acknowledge(&mut self, id: &str, version: u64) -> &mut WakeWorld {
        self.target_mut(id).debts.iter_mut().for_each(|target_debt| target_debt.acknowledged = version);
        self
    }

    fn decision(&self, id: &str) -> WakeDecision {
        let target = self.round.targets.iter().find(|target| target.device == device(id)).expect("a device");
        decide(target, &self.settings, self.hold.as_ref(), self.now_ms)
    }

    fn reason(&self, id: &str) -> NoWakeReason {
        match self.decision(id) {
            WakeDecision::Skip(reason) | WakeDecision::Wait(_, reason) => reason,
            WakeDecision::Send(due) => panic!("the device is woken: {due:?}"),
        }
    }

    /// Runs a round in which every wake gets this verdict; returns how many were sent.
    fn run_round(&mut self, verdict: &Verdict) -> usize {
        let before = self.sent.len();
        for at in 0..self.round.targets.len() {
            let target = self.round.targets[at].clone();
            let WakeDecision::Send(due) = decide(&target, &self.settings, self.hold.as_ref(), self.now_ms) else { continue };
            let result = wake_result(&target, &due, verdict, &self.settings, self.now_ms, 0);
            let target = &mut self.round.targets[at];
            target.budget = result.budget;
            for (dataset, version) in result.woken {
                target.debts.iter_mut().find(|target_debt| target_debt.debt.dataset == dataset).expect("owed").woken = version;
            }
            if let TokenDisposition::MarkDead { reason, .. } = result.disposition {
                (target.target, target.dead) = (None, Some(DeadToken { at_ms: self.now_ms, reason, loss: TokenLoss::Dead }));
            }
            self.sent.push((target.device.to_string(), due));
        }
        let (settings, now_ms) = (self.settings, self.now_ms);
        self.round.debts.iter_mut().filter(|debt| settings.is_past_grace(debt, now_ms)).for_each(|debt| debt.first_ms = 0);
        self.update_targets();
        self.sent.len() - before
    }

    fn run_accepted_round(&mut self) -> usize {
        self.run_round(&Verdict::Accepted { id: None })
    }

    /// The time until the next date; `None`: no device is owed anything.
    fn next_ms(&self) -> Option<u64> {
        let dates = next_dates(&self.round, &self.settings, |_| self.hold.clone(), self.now_ms);
        dates.into_iter().filter_map(|(_, at_ms)| at_ms).min().map(|at_ms| at_ms - self.now_ms)
    }
}

#[test]
fn an_offline_phone_gets_one_wake_after_the_grace_and_the_writer_none() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone", "laptop"]);
    world.write("settings", "laptop");
    assert_eq!(world.decision("phone"), WakeDecision::Wait(START_MS + 3_000, NoWakeReason::Grace));
    assert_eq!(world.next_ms(), Some(3_000));
    assert_eq!(world.reason("laptop"), NoWakeReason::Writer);
    world.advance(2_999);
    assert_eq!(world.run_accepted_round(), 0);
    world.write("settings", "laptop").advance(3_000);
    assert_eq!(world.run_accepted_round(), 1);
    assert_eq!(world.sent[0].0, "phone");
    assert_eq!((world.reason("phone"), world.next_ms()), (NoWakeReason::Woken, None));
}

#[test]
fn ten_writes_in_a_second_are_one_wake_for_the_newest_version() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    (0..10).for_each(|_| _ = world.write("settings", "laptop").advance(100));
    world.advance(2_000);
    assert_eq!(world.run_accepted_round(), 1);
    assert_eq!((world.sent[0].1.version, world.sent[0].1.since_ms), (10, START_MS));
}

#[test]
fn an_acknowledgement_pays_and_an_older_one_does_not() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").write("settings", "laptop").acknowledge("phone", 1).advance(3_000);
    assert!(matches!(world.decision("phone"), WakeDecision::Send(_)));
    world.acknowledge("phone", 2);
    assert_eq!((world.reason("phone"), world.next_ms()), (NoWakeReason::Paid, None));
}

#[test]
fn the_last_writer_is_woken_for_an_earlier_version_of_another_device() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone", "laptop"]);
    world.write("settings", "phone").write("settings", "laptop").advance(3_000);
    assert!(matches!(world.decision("laptop"), WakeDecision::Send(_)), "the laptop has not seen version 1");
    world.acknowledge("laptop", 1);
    assert_eq!(world.reason("laptop"), NoWakeReason::Writer);
}

#[test]
fn one_wake_covers_several_datasets_and_names_the_newest() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").advance(10).write("notes", "laptop").advance(3_000);
    assert_eq!(world.run_accepted_round(), 1);
    assert_eq!(world.sent[0].1.dataset, dataset_name("notes"));
    assert_eq!(world.sent[0].1.covers.len(), 2);
    assert_eq!(world.next_ms(), None);
}

#[test]
fn a_device_that_connects_is_not_woken_unless_it_acknowledges_nothing_for_a_grace() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").advance(2_900);
    world.target_mut("phone").seen_ms = START_MS + 2_900;
    world.advance(200);
    assert_eq!(world.decision("phone"), WakeDecision::Wait(START_MS + 5_900, NoWakeReason::Connected));
    world.advance(2_800);
    assert_eq!(world.run_accepted_round(), 1, "a half-dead socket is woken after the grace");
}

#[test]
fn a_round_does_not_end_the_grace_of_a_later_write() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").advance(2_900).write("notes", "laptop");
    world.target_mut("phone").debts[0].acknowledged = 1;
    world.advance(100);
    assert_eq!((world.run_accepted_round(), world.reason("phone")), (0, NoWakeReason::Grace), "the grace of the notes began 100 ms ago");
    assert_eq!(world.next_ms(), Some(2_900));
    world.advance(2_900);
    assert_eq!(world.run_accepted_round(), 1);
}

#[test]
fn silent_wakes_are_limited_to_three_an_hour() {
    for provider in [Provider::Apns, Provider::ApnsSandbox, Provider::Fcm] {
        let mut world = WakeWorld::of(provider, &["phone"]);
        world.write("settings", "laptop").advance(3_000);
        assert_eq!(world.run_accepted_round(), 1);
        world.write("settings", "laptop").advance(3_000);
        let next_ms = world.next_ms().expect("a date");
        assert_eq!((world.reason("phone"), next_ms), (NoWakeReason::Budget, 20 * MINUTE_MS - 3_000), "{provider}");
        world.advance(next_ms - 1);
        assert_eq!(world.run_accepted_round(), 0);
        world.advance(1);
        assert_eq!(world.run_accepted_round(), 1);
        let day = (0..24 * 60).map(|_| world.write("settings", "laptop").advance(MINUTE_MS).run_accepted_round()).sum::<usize>();
        assert_eq!(day, 72);
    }
}

#[test]
fn a_device_that_allows_it_gets_a_shown_wake_when_the_silent_budget_is_used_up() {
    let mut world = WakeWorld::of(Provider::Apns, &["phone"]);
    world.target_mut("phone").shown = true;
    let wake = |world: &mut WakeWorld| {
        world.write("settings", "laptop").advance(3_000).run_accepted_round();
        world.sent.last().map(|(_, due)| due.shown)
    };
    assert_eq!(wake(&mut world), Some(false));
    assert_eq!(wake(&mut world), Some(true));
    world.write("settings", "laptop").advance(3_000);
    assert_eq!((world.run_accepted_round(), world.reason("phone")), (0, NoWakeReason::Budget));
    world.settings.shown_per_hour = 0;
    world.settings.apple_per_hour = 0;
    assert_eq!(world.decision("phone"), WakeDecision::Skip(NoWakeReason::Budget), "without any budget nothing is rescheduled");
}

#[test]
fn a_bucket_refills_up_to_its_burst() {
    let limits = BucketLimits { per_hour: 3, burst: 2 };
    let spent = limits.spend(limits.spend(TokenBucket::default(), START_MS), START_MS);
    assert_eq!(limits.next_wake_ms(spent, START_MS), Some(START_MS + 20 * MINUTE_MS));
    let again = limits.spend(spent, START_MS + 10 * HOUR_MS);
    assert_eq!(again.missing_micro, MICROS_PER_WAKE);
    assert!(limits.next_wake_ms(spent, START_MS - DAY_MS) <= Some(START_MS - DAY_MS + 20 * MINUTE_MS), "the clock was set back");
}

#[test]
fn a_device_that_cannot_be_woken_reschedules_nothing() {
    let mut world = WakeWorld::of(Provider::Fcm, &["stale", "dead", "other"]);
    world.target_mut("stale").seen_ms = START_MS - 31 * DAY_MS;
    world.target_mut("dead").target = None;
    world.target_mut("dead").dead = Some(DeadToken { at_ms: START_MS, reason: "UNREGISTERED".to_owned(), loss: TokenLoss::Dead });
    world.target_mut("other").datasets = Some(vec![dataset_name("notes")]);
    world.write("settings", "laptop").advance(3_000);
    assert_eq!(world.reason("stale"), NoWakeReason::Stale);
    assert_eq!(world.reason("dead"), NoWakeReason::NoToken("UNREGISTERED".to_owned()));
    assert_eq!(world.reason("other"), NoWakeReason::NotWanted);
    assert_eq!(world.next_ms(), None);
}

#[test]
fn a_debt_ends_at_its_stated_expiry() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").advance(7 * DAY_MS - 1);
    assert!(matches!(world.decision("phone"), WakeDecision::Send(_)));
    world.advance(1);
    assert_eq!((world.reason("phone"), world.next_ms()), (NoWakeReason::Expired, None));
}

#[test]
fn failures_back_off_and_never_end_a_debt() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").advance(3_000);
    let later = Verdict::later("UNAVAILABLE", FaultScope::Device);
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(world.run_round(&later), 1);
        waits.push(world.next_ms().expect("still owed"));
        world.advance(waits[waits.len() - 1]);
    }
    assert!(waits.is_sorted() && waits[0] == FIRST_RETRY_MS / 2 && waits[11] == MAX_RETRY_MS / 2, "{waits:?}");
    assert_eq!(world.run_accepted_round(), 1);
    assert_eq!(world.target_mut("phone").budget.failures, 0);
}

#[test]
fn a_wait_that_the_gateway_asks_for_is_honoured() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.write("settings", "laptop").advance(3_000);
    world.run_round(&Verdict::later_after("429", Some(90_000), FaultScope::Device));
    assert_eq!((world.reason("phone"), world.next_ms()), (NoWakeReason::BackOff, Some(90_000)));
}

#[test]
fn a_refusal_of_the_app_waits_for_the_operator_and_drops_no_token() {
    let mut world = WakeWorld::of(Provider::Apns, &["phone"]);
    world.write("settings", "laptop").advance(3_000);
    world.run_round(&Verdict::refused("BadTopic", RefusalCause::App));
    world.hold = Some(Hold { until_ms: world.now_ms + 300_000, why: "BadTopic".to_owned() });
    assert_eq!((world.reason("phone"), world.next_ms()), (NoWakeReason::Stopped("BadTopic".to_owned()), Some(300_000)));
    world.hold = None;
    assert_eq!(world.run_accepted_round(), 1, "resumed");
}

#[test]
fn every_verdict_has_a_meaning_for_the_debt_and_the_token() {
    let why = || "why".to_owned();
    let dead = |since_ms| Verdict::Dead { failure: FailureCause::TokenDead, reason: why(), since_ms };
    let later = |scope| Verdict::later_after(why(), Some(7), scope);
    let refused = |cause| Verdict::refused(why(), cause);
    // The verdict; whether the debt is paid, the token is dead, and a wake of the bucket is spent.
    let table = [
        (Verdict::Accepted { id: None }, true, false, true),
        (dead(None), false, true, false),
        (dead(Some(START_MS)), false, true, false),
        (Verdict::OtherEnvironment { reason: why() }, false, true, false),
        (later(FaultScope::Device), false, false, false),
        (later(FaultScope::App), false, false, false),
        (refused(RefusalCause::Payload), false, false, false),
        (refused(RefusalCause::App), false, false, false),
        (refused(RefusalCause::Mismatch), false, false, false),
    ];
    for (verdict, is_paid, is_dead, is_spent) in table {
        let mut world = WakeWorld::of(Provider::Apns, &["phone"]);
        world.write("settings", "laptop").advance(3_000);
        assert_eq!(world.run_round(&verdict), 1);
        let WakeTarget { debts, target, budget, .. } = world.target_mut("phone").clone();
        assert_eq!((debts[0].woken == 1, target.is_none(), budget.silent.missing_micro > 0), (is_paid, is_dead, is_spent));
    }
}

#[test]
fn a_clock_that_jumps_neither_loses_a_wake_nor_delays_it_for_long() {
    let mut world = WakeWorld::of(Provider::Fcm, &["phone"]);
    world.now_ms += DAY_MS;
    world.write("settings", "laptop");
    world.now_ms -= DAY_MS;
    assert!(matches!(world.decision("phone"), WakeDecision::Send(_)), "the debt's grace would end tomorrow");
    world.run_accepted_round();
    world.target_mut("phone").budget.not_before_ms = START_MS + 3 * DAY_MS;
    world.target_mut("phone").seen_ms = START_MS + DAY_MS;
    world.target_mut("phone").budget.silent = TokenBucket { missing_micro: MICROS_PER_WAKE, at_ms: START_MS + 300 * DAY_MS };
    world.write("settings", "laptop").advance(HOUR_MS);
    assert!(matches!(world.decision("phone"), WakeDecision::Send(_)));
}

#[test]
fn a_gateway_that_asks_for_no_wait_gets_the_back_off() {
    for asked_ms in [0, 1, FIRST_RETRY_MS - 1] {
        assert!(retry_wait_ms(Some(asked_ms), 0, 0) >= FIRST_RETRY_MS / 2, "{asked_ms}");
        assert!(retry_wait_ms(Some(asked_ms), 9, 0) > retry_wait_ms(Some(asked_ms), 1, u32::MAX), "it grows with the failures");
    }
    assert_eq!(retry_wait_ms(Some(MINUTE_MS), 9, 0), MINUTE_MS, "a wait that means something is kept");
    assert_eq!(retry_wait_ms(Some(u64::MAX), 0, 0), MAX_GATEWAY_WAIT_MS);
}
