//! The task of a device: connects, carries messages between the socket and the machine, waits, connects again.
//!
//! While a session is open it waits for these, in this order: the socket (both directions), a command of the handle, a renewed token,
//! the heartbeat, and the time to ask again for what was unavailable. The socket comes first so that what has arrived counts before
//! the time that it took. In every phase commands are heard; when there can be no more of them the task ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driftless_protocol::{Advice, RefusalCode, ServerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::ages::Age;
use super::event::Sink;
use super::machine::Machine;
use super::renewal::Renewal;
use super::{Command, Event};
use crate::connection::Turn;
use crate::{Backoff, Beat, Connection, End, Heartbeat, SendError, Settings, Welcome};

/// Messages are queued until this many bytes wait for the socket, then they leave together.
const BATCH_BYTES: usize = 64 * 1024;

/// While this many messages besides patches wait for the socket, no command is taken.
const QUEUED: usize = 256;

/// After this the server is asked again for what it could not do: a store that is busy should not be asked all the time.
const RETRY: Duration = Duration::from_secs(3);

/// A server may ask for this much patience, in milliseconds, and no more.
const LONGEST_GIVEN_MS: u64 = 60 * 60 * 1_000;

/// Where a device stands.
enum Phase {
    /// It connects.
    Connect,
    /// It has a session.
    Live(Box<(Connection, Welcome)>),
    /// It connects after this time.
    Wait(Duration),
    /// It was told to stay away, or gave up.
    Rest,
    /// It ends.
    Over,
}

/// What a command asks of the phase.
enum Wish {
    Stay,
    Connect,
    Leave(Phase, Option<oneshot::Sender<()>>),
}

pub(crate) struct Driver {
    settings: Settings,
    machine: Machine,
    commands: mpsc::Receiver<Command>,
    events: Sink,
    backoff: Backoff,
}

impl Driver {
    pub(crate) fn new(settings: Settings, commands: mpsc::Receiver<Command>, events: Sink, age: Age) -> Driver {
        let machine = Machine::new(settings.device.clone(), age);
        Driver { settings, machine, commands, events, backoff: Backoff::new() }
    }

    /// Lives until the handle is gone.
    pub(crate) async fn run(mut self) {
        let mut phase = Phase::Connect;
        loop {
            phase = match phase {
                Phase::Connect => self.connect().await,
                Phase::Live(session) => self.live(session.0, session.1).await,
                Phase::Wait(time) => self.wait(time).await,
                Phase::Rest => self.rest().await,
                Phase::Over => return,
            }
        }
    }

    async fn connect(&mut self) -> Phase {
        let settings = self.settings.clone();
        let attempt = async move {
            let token = settings.tokens.get().await.map_err(End::NoToken)?;
            Connection::connect(&settings, token).await
        };
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                session = &mut attempt => return match session {
                    Ok(session) => Phase::Live(Box::new(session)),
                    Err(end) => self.ended(end),
                },
                command = heed(&mut self.commands, &mut self.events) => match self.command(command) {
                    Wish::Stay | Wish::Connect => {}
                    Wish::Leave(phase, reply) => return leave(phase, reply),
                },
            }
        }
    }

    async fn wait(&mut self, time: Duration) -> Phase {
        let over = sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Phase::Connect,
                command = heed(&mut self.commands, &mut self.events) => match self.command(command) {
                    Wish::Stay => {}
                    Wish::Connect => return Phase::Connect,
                    Wish::Leave(phase, reply) => return leave(phase, reply),
                },
            }
        }
    }

    async fn rest(&mut self) -> Phase {
        loop {
            let command = heed(&mut self.commands, &mut self.events).await;
            match self.command(command) {
                Wish::Stay => {}
                Wish::Connect => return Phase::Connect,
                Wish::Leave(phase, reply) => return leave(phase, reply),
            }
        }
    }

    async fn live(&mut self, mut connection: Connection, welcome: Welcome) -> Phase {
        let began = Instant::now();
        let now_ms = || began.elapsed().as_millis() as u64;
        let mut heart = Heartbeat::new(welcome.heartbeat_s, 0);
        let mut renewal = Renewal::new(self.settings.tokens.clone());
        let mut retry_at = None;
        if let Err(end) = self.machine.connected(welcome) {
            return self.ended(end);
        }
        let end = loop {
            if self.machine.wants_retry() {
                // Not later for what is held since: else a device that writes without pause would never ask again.
                retry_at.get_or_insert(Instant::now() + RETRY);
            }
            let beat_at_ms = match heart.due(now_ms()) {
                Beat::At(ms) => ms,
                Beat::Lost => break End::Silent,
                Beat::Ping => {
                    heart.pinged(now_ms());
                    self.machine.ping();
                    continue;
                }
            };
            if let Err(end) = self.pass_on(&mut connection) {
                break end;
            }
            tokio::select! {
                biased;
                turn = connection.turn() => match turn {
                    Turn::Flushed => heart.said(now_ms()),
                    Turn::Ended(end) => break end,
                    Turn::Heard(message) => {
                        heart.heard(now_ms());
                        match &message {
                            ServerMessage::Renew { .. } => renewal.heard(Instant::now()),
                            ServerMessage::Refused { code: RefusalCode::TokenRefused | RefusalCode::OtherIdentity, .. } => renewal.refused(),
                            _ => {}
                        }
                        if let Err(end) = self.machine.heard(message, unix_ms()) {
                            break end;
                        }
                    }
                },
                command = heed(&mut self.commands, &mut self.events), if self.machine.queued() < QUEUED => match self.command(command) {
                    Wish::Stay | Wish::Connect => {}
                    Wish::Leave(phase, reply) => {
                        self.machine.disconnected();
                        connection.close().await;
                        return leave(phase, reply);
                    }
                },
                token = renewal.token() => match token {
                    Ok(token) => self.machine.renew(token),
                    Err(why) => tracing::warn!(why, "no fresh token; the session ends when the old one expires"),
                },
                () = sleep_until(began + Duration::from_millis(beat_at_ms)) => {}
                () = sleep_until(retry_at.unwrap_or(began)), if retry_at.is_some() => {
                    retry_at = None;
                    self.machine.retry();
                }
            }
        };
        self.machine.disconnected();
        self.backoff.lasted(now_ms());
        self.ended(end)
    }

    /// Tells the app what happened and the socket what is to be said.
    fn pass_on(&mut self, connection: &mut Connection) -> Result<(), End> {
        while connection.queued_bytes() < BATCH_BYTES {
            let Some(message) = self.machine.next_message() else { break };
            match connection.queue(&message) {
                Ok(()) => {}
                Err(SendError::Ended(end)) => return Err(end),
                Err(why @ SendError::TooLarge { .. }) => self.machine.too_large(&message, why.to_string()),
            }
        }
        self.tell();
        Ok(())
    }

    fn tell(&mut self) {
        self.machine.take_events().into_iter().for_each(|event| self.events.send(event));
    }

    fn ended(&mut self, end: End) -> Phase {
        self.tell();
        tracing::debug!(%end, "no session");
        match end.advice() {
            Advice::GiveUp => {
                self.events.send(Event::Closed { why: end });
                Phase::Rest
            }
            // A token is asked for before every connection, so both mean the same here.
            Advice::Reconnect | Advice::RenewToken => {
                let own_ms = self.backoff.failed(chance());
                let retry_in_ms = end.reconnect_after_ms().map_or(own_ms, |given_ms| given_ms.min(LONGEST_GIVEN_MS));
                self.events.send(Event::Disconnected { why: end, retry_in_ms });
                Phase::Wait(Duration::from_millis(retry_in_ms))
            }
        }
    }

    fn command(&mut self, command: Option<Command>) -> Wish {
        match command {
            Some(Command::Open(dataset)) => self.machine.open(dataset),
            Some(Command::Close(dataset)) => self.machine.close(dataset),
            Some(Command::List(reply)) => self.machine.list(reply),
            Some(Command::Write(patch, made)) => self.machine.write(patch, made),
            Some(Command::Synced(dataset, reply)) => self.machine.synced(&dataset, reply),
            Some(Command::Look(dataset, look)) => self.machine.look(&dataset, look),
            Some(Command::Push(registration)) => self.machine.push(registration),
            Some(Command::Online) => {
                self.backoff.reset();
                return Wish::Connect;
            }
            Some(Command::Offline(reply)) => return Wish::Leave(Phase::Rest, Some(reply)),
            Some(Command::Shutdown(reply)) => return Wish::Leave(Phase::Over, Some(reply)),
            None => return Wish::Leave(Phase::Over, None),
        }
        Wish::Stay
    }
}

/// The next command. Meanwhile an app that missed events and listens again is told so.
async fn heed(commands: &mut mpsc::Receiver<Command>, events: &mut Sink) -> Option<Command> {
    loop {
        tokio::select! {
            command = commands.recv() => return command,
            () = events.catch_up() => {}
        }
    }
}

fn leave(phase: Phase, reply: Option<oneshot::Sender<()>>) -> Phase {
    if let Some(reply) = reply {
        // Whoever asked may have gone.
        let _ = reply.send(());
    }
    phase
}

fn chance() -> u32 {
    // Without chance, half the ceiling: still a wait, no longer a spread.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
