//! The connections to one gateway: few, long-lived, and opened only when they are needed.
//!
//! - A request takes the first connection with room; when none has any, one more is opened, up to [`Pace::lanes`], one at a time.
//! - A connection that says GOAWAY is left at once: what is under way on it may end, and everything else goes elsewhere.
//! - What was surely not processed is sent again, [`TRIES`] times in all; what may have been, never.
//! - At most [`Pace::places`] requests wait or are in flight; more are turned away at once, and their caller comes again later.
//! - After a failure to connect nobody tries for a while; requests that have no connection fail at once, not one by one.
//! - Each connection's task lives in [`Lanes`] and ends with it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tracing::warn;

use super::answer::{Answer, Lost};
use super::connect::Connect;
use super::lane::{Failed, Keeper, Lane, News, Outcome};
use super::pace::Pace;

/// How often a request is sent at most while gateways refuse to process it.
const TRIES: usize = 3;

/// All connections to one gateway. Cheap to clone; with the last clone they end.
#[derive(Clone)]
pub(super) struct Lanes {
    yard: Arc<Yard>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// What the connections' tasks share with those who send.
struct Yard {
    gateway: String,
    connect: Connect,
    pace: Pace,
    places: Semaphore,
    state: Mutex<State>,
    /// A connection may have room, or there is none to wait for.
    moved: Notify,
}

#[derive(Default)]
struct State {
    lanes: Vec<Lane>,
    opening: bool,
    /// Connections in a row that could not be opened, or ended without an answer.
    failures: u32,
    not_before: Option<Instant>,
}

/// A place on a connection, given back when dropped.
struct Ticket {
    lane: Lane,
    yard: Arc<Yard>,
    outcome: Outcome,
}

impl Lanes {
    /// To the gateway of this name, for logs.
    pub(super) fn new(gateway: &str, connect: Connect, pace: Pace) -> Lanes {
        let (places, state) = (Semaphore::new(pace.places), Mutex::default());
        let yard = Yard { gateway: gateway.to_owned(), connect, pace, places, state, moved: Notify::new() };
        Lanes { yard: Arc::new(yard), tasks: Arc::default() }
    }

    /// Sends a request. Whoever calls bounds the time; a dropped call frees its place.
    pub(super) async fn send(&self, request: &Request<Bytes>) -> Result<Answer, Lost> {
        let Ok(_place) = self.yard.places.try_acquire() else {
            return Err(Lost::NotSent("too_many_waiting".to_owned()));
        };
        for _ in 0..TRIES {
            let mut ticket = self.ticket().await?;
            match ticket.lane.send(request.clone()).await {
                Ok(answer) => {
                    ticket.outcome = Outcome::Answered;
                    return Ok(answer);
                }
                Err(Failed::NotProcessed) => ticket.outcome = Outcome::NotProcessed,
                Err(Failed::Unknown(why)) => return Err(Lost::Unknown(why.to_owned())),
            }
        }
        Err(Lost::NotSent("not_processed".to_owned()))
    }

    /// Waits for a place on a connection.
    async fn ticket(&self) -> Result<Ticket, Lost> {
        loop {
            let mut moved = std::pin::pin!(self.yard.moved.notified());
            // From here on nothing that moves is missed.
            moved.as_mut().enable();
            if let Some(ticket) = self.claim()? {
                return Ok(ticket);
            }
            moved.await;
        }
    }

    /// A place now; or none yet, and a connection is being opened if one may be.
    fn claim(&self) -> Result<Option<Ticket>, Lost> {
        let mut state = self.yard.locked();
        if let Some(lane) = state.lanes.iter().find(|lane| lane.has_room(&self.yard.pace)) {
            lane.enter();
            return Ok(Some(Ticket { lane: lane.clone(), yard: self.yard.clone(), outcome: Outcome::Unanswered }));
        }
        if state.opening || state.lanes.len() >= self.yard.pace.lanes {
            return Ok(None);
        }
        let pausing = state.not_before.is_some_and(|until| Instant::now() < until);
        match (pausing, state.lanes.is_empty()) {
            (true, true) => Err(Lost::NotSent("unreachable".to_owned())),
            (true, false) => Ok(None),
            (false, _) => {
                state.opening = true;
                drop(state);
                self.open();
                Ok(None)
            }
        }
    }

    fn open(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are let go, so that there are never more than connections.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(life(self.yard.clone()));
    }
}

/// A connection from its opening to its end.
async fn life(yard: Arc<Yard>) {
    let opening = Opening(&yard);
    match tokio::time::timeout(yard.pace.connect_within, open(&yard)).await {
        Err(_) => warn!(gateway = yard.gateway, "cannot connect: it takes too long"),
        Ok(Err(error)) => warn!(gateway = yard.gateway, %error, "cannot connect"),
        Ok(Ok((lane, keeper))) => {
            opening.done(&lane);
            keep(&yard, &lane, keeper).await;
        }
    }
}

async fn open(yard: &Yard) -> io::Result<(Lane, Keeper)> {
    Lane::open((yard.connect)().await?, yard.pace).await
}

async fn keep(yard: &Yard, lane: &Lane, mut keeper: Keeper) {
    loop {
        match keeper.news().await {
            News::Limit => yard.moved.notify_waiters(),
            News::Leaving => yard.leave(lane),
            News::Idle if yard.leave_if_idle(lane) => return,
            News::Idle => {}
            News::Over => return yard.ended(lane),
        }
    }
}

/// While it is held a connection is being opened. Dropped before it is done, it counts as a failure, whatever happened.
struct Opening<'a>(&'a Yard);

impl Opening<'_> {
    fn done(self, lane: &Lane) {
        let mut state = self.0.locked();
        state.opening = false;
        state.lanes.push(lane.clone());
        drop(state);
        self.0.moved.notify_waiters();
        std::mem::forget(self);
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut state = self.0.locked();
        state.opening = false;
        self.0.failed(&mut state);
        drop(state);
        self.0.moved.notify_waiters();
    }
}

impl Yard {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, state: &mut State) {
        state.failures = state.failures.saturating_add(1);
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        state.not_before = Some(Instant::now() + self.pace.pause(state.failures, chance));
    }

    fn leave(&self, lane: &Lane) {
        lane.leave();
        self.locked().lanes.retain(|one| !one.is(lane));
        self.moved.notify_waiters();
    }

    /// Nobody enters while the lock is held.
    fn leave_if_idle(&self, lane: &Lane) -> bool {
        let mut state = self.locked();
        let idle = lane.is_idle();
        if idle {
            state.lanes.retain(|one| !one.is(lane));
        }
        idle
    }

    /// A gateway that takes connections and answers nothing is not asked at full speed.
    fn ended(&self, lane: &Lane) {
        lane.leave();
        let mut state = self.locked();
        state.lanes.retain(|one| !one.is(lane));
        match lane.has_answered() {
            true => (state.failures, state.not_before) = (0, None),
            false => self.failed(&mut state),
        }
        drop(state);
        self.moved.notify_waiters();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.lane.exit(self.outcome);
        self.yard.moved.notify_one();
    }
}
