//! The task of a device: connects, passes messages between the socket and the device's state, waits, connects again.
//!
//! While a session is open the task waits for these, in this order: the socket (both directions), a command of the handle, a renewed token,
//! the heartbeat, and the time to repeat deferred requests. The socket comes first so that a message that has arrived counts before a timeout.
//! The task receives commands in every phase; it ends when all handles are dropped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driftless_protocol::{Advice, ServerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::command::DeviceCommand;
use super::event::{Event, EventSender};
use super::generation::HistoryGeneration;
use super::state::DeviceState;
use super::token_renewal::TokenRenewal;
use crate::connection::SocketEvent;
use crate::{Backoff, Connection, DisconnectReason, Heartbeat, HeartbeatAction, SendError, Settings, Welcome};

/// The task passes messages to the socket until this many bytes wait there; they leave in one write.
const BATCH_BYTES: usize = 64 * 1024;

/// While this many messages besides patches wait for the socket, the task receives no command.
const MAX_QUEUED_MESSAGES: usize = 256;

/// How long the task waits before it repeats requests that the server could not answer: a busy store must not be asked in a loop.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);

/// The longest wait before a reconnect, in milliseconds, that a server may ask for.
const MAX_RECONNECT_AFTER_MS: u64 = 60 * 60 * 1_000;

enum ConnectionPhase {
    Connecting,
    Connected(Box<(Connection, Welcome)>),
    /// The task reconnects after this time.
    BackingOff(Duration),
    /// The app went offline, or the device gave up.
    Offline,
    Ended,
}

/// What a command does to the phase.
enum CommandEffect {
    Stay,
    Connect,
    /// Closes the socket, enters the phase, and confirms.
    Disconnect(ConnectionPhase, Option<oneshot::Sender<()>>),
}

pub(crate) struct DeviceTask {
    settings: Settings,
    state: DeviceState,
    commands: mpsc::Receiver<DeviceCommand>,
    events: EventSender,
    backoff: Backoff,
}

impl DeviceTask {
    pub(crate) fn new(
        settings: Settings,
        commands: mpsc::Receiver<DeviceCommand>,
        events: EventSender,
        generation: HistoryGeneration,
    ) -> DeviceTask {
        let state = DeviceState::new(settings.device.clone(), generation);
        DeviceTask { settings, state, commands, events, backoff: Backoff::new() }
    }

    /// Runs until all handles are dropped, or the app shuts the device down.
    pub(crate) async fn run(mut self) {
        let mut phase = ConnectionPhase::Connecting;
        loop {
            phase = match phase {
                ConnectionPhase::Connecting => self.connect().await,
                ConnectionPhase::Connected(session) => self.run_session(session.0, session.1).await,
                ConnectionPhase::BackingOff(time) => self.back_off(time).await,
                ConnectionPhase::Offline => self.stay_offline().await,
                ConnectionPhase::Ended => return,
            }
        }
    }

    async fn connect(&mut self) -> ConnectionPhase {
        let settings = self.settings.clone();
        let attempt = async move {
            let token = settings.tokens.get().await.map_err(DisconnectReason::NoToken)?;
            Connection::connect(&settings, token).await
        };
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                session = &mut attempt => return match session {
                    Ok(session) => ConnectionPhase::Connected(Box::new(session)),
                    Err(reason) => self.disconnected(reason),
                },
                command = next_command(&mut self.commands, &mut self.events) => match self.apply(command) {
                    CommandEffect::Stay | CommandEffect::Connect => {}
                    CommandEffect::Disconnect(phase, reply) => return confirm(phase, reply),
                },
            }
        }
    }

    async fn back_off(&mut self, time: Duration) -> ConnectionPhase {
        let elapsed = sleep(time);
        tokio::pin!(elapsed);
        loop {
            tokio::select! {
                () = &mut elapsed => return ConnectionPhase::Connecting,
                command = next_command(&mut self.commands, &mut self.events) => match self.apply(command) {
                    CommandEffect::Stay => {}
                    CommandEffect::Connect => return ConnectionPhase::Connecting,
                    CommandEffect::Disconnect(phase, reply) => return confirm(phase, reply),
                },
            }
        }
    }

    async fn stay_offline(&mut self) -> ConnectionPhase {
        loop {
            let command = next_command(&mut self.commands, &mut self.events).await;
            match self.apply(command) {
                CommandEffect::Stay => {}
                CommandEffect::Connect => return ConnectionPhase::Connecting,
                CommandEffect::Disconnect(phase, reply) => return confirm(phase, reply),
            }
        }
    }

    async fn run_session(&mut self, mut connection: Connection, welcome: Welcome) -> ConnectionPhase {
        let began = Instant::now();
        let now_ms = || began.elapsed().as_millis() as u64;
        let mut heartbeat = Heartbeat::new(welcome.heartbeat_s, 0);
        let mut carried_bytes = connection.carried_bytes();
        let mut renewal = TokenRenewal::new(self.settings.tokens.clone());
        let mut retry_at = None;
        if let Err(reason) = self.state.connected(welcome) {
            return self.disconnected(reason);
        }
        let reason = loop {
            if self.state.take_retry() {
                // A request that is deferred later does not move this time: otherwise a device that writes without pause would never retry.
                retry_at.get_or_insert(Instant::now() + RETRY_INTERVAL);
            }
            if std::mem::replace(&mut carried_bytes, connection.carried_bytes()) != carried_bytes {
                heartbeat.progressed(now_ms());
            }
            let heartbeat_at_ms = match heartbeat.check(now_ms()) {
                HeartbeatAction::WaitUntil(ms) => ms,
                HeartbeatAction::TimedOut => break DisconnectReason::Timeout,
                HeartbeatAction::SendPing => {
                    heartbeat.ping_sent(now_ms());
                    self.state.ping();
                    continue;
                }
            };
            if let Err(reason) = self.flush_queues(&mut connection) {
                break reason;
            }
            tokio::select! {
                biased;
                event = connection.drive() => match event {
                    SocketEvent::Flushed => heartbeat.sent(now_ms()),
                    SocketEvent::Closed(reason) => break reason,
                    SocketEvent::Received(message) => {
                        heartbeat.received(now_ms());
                        if let ServerMessage::Renew { .. } = &message {
                            renewal.requested(Instant::now());
                        }
                        if let Err(reason) = self.state.received(message, unix_ms()) {
                            break reason;
                        }
                    }
                },
                command = next_command(&mut self.commands, &mut self.events), if self.state.queued_messages() < MAX_QUEUED_MESSAGES => match self.apply(command) {
                    CommandEffect::Stay | CommandEffect::Connect => {}
                    CommandEffect::Disconnect(phase, reply) => {
                        self.state.disconnected();
                        connection.close().await;
                        return confirm(phase, reply);
                    }
                },
                token = renewal.next_token() => match token {
                    Ok(token) => self.state.renew(token),
                    Err(why) => {
                        tracing::warn!(why, "token renewal failed, the device tries again");
                        renewal.requested(Instant::now());
                    }
                },
                () = sleep_until(began + Duration::from_millis(heartbeat_at_ms)) => {}
                () = sleep_until(retry_at.unwrap_or(began)), if retry_at.is_some() => {
                    retry_at = None;
                    self.state.retry();
                }
            }
        };
        self.state.disconnected();
        self.backoff.session_ended(now_ms());
        self.disconnected(reason)
    }

    /// Passes queued messages to the socket, and events to the app.
    fn flush_queues(&mut self, connection: &mut Connection) -> Result<(), DisconnectReason> {
        while connection.queued_bytes() < BATCH_BYTES {
            let Some(message) = self.state.next_message() else { break };
            match connection.queue(&message) {
                Ok(()) => {}
                Err(SendError::Disconnected(reason)) => return Err(reason),
                Err(why @ SendError::TooLarge { .. }) => self.state.too_large(&message, why.to_string()),
            }
        }
        self.send_events();
        Ok(())
    }

    fn send_events(&mut self) {
        self.state.take_events().into_iter().for_each(|event| self.events.send(event));
    }

    fn disconnected(&mut self, reason: DisconnectReason) -> ConnectionPhase {
        self.send_events();
        tracing::debug!(%reason, "disconnected");
        match reason.advice() {
            Advice::GiveUp => {
                self.events.send(Event::Closed { why: reason });
                ConnectionPhase::Offline
            }
            // The task asks for a token before every connection, so both mean the same here.
            Advice::Reconnect | Advice::RenewToken => {
                let own_ms = self.backoff.next_wait_ms(random());
                let retry_in_ms = reason.reconnect_after_ms().map_or(own_ms, |given_ms| given_ms.min(MAX_RECONNECT_AFTER_MS));
                self.events.send(Event::Disconnected { why: reason, retry_in_ms });
                ConnectionPhase::BackingOff(Duration::from_millis(retry_in_ms))
            }
        }
    }

    fn apply(&mut self, command: Option<DeviceCommand>) -> CommandEffect {
        match command {
            Some(DeviceCommand::Open(dataset)) => self.state.open(dataset),
            Some(DeviceCommand::Close(dataset)) => self.state.close(dataset),
            Some(DeviceCommand::List(reply)) => self.state.list(reply),
            Some(DeviceCommand::Write(patch, generation)) => self.state.write(patch, generation),
            Some(DeviceCommand::Synced(dataset, reply)) => self.state.synced(&dataset, reply),
            Some(DeviceCommand::Read(dataset, reader)) => self.state.read(&dataset, reader),
            Some(DeviceCommand::Push(registration)) => self.state.set_push(registration),
            Some(DeviceCommand::Online) => {
                self.backoff.reset();
                return CommandEffect::Connect;
            }
            Some(DeviceCommand::Offline(reply)) => return CommandEffect::Disconnect(ConnectionPhase::Offline, Some(reply)),
            Some(DeviceCommand::Shutdown(reply)) => return CommandEffect::Disconnect(ConnectionPhase::Ended, Some(reply)),
            None => return CommandEffect::Disconnect(ConnectionPhase::Ended, None),
        }
        CommandEffect::Stay
    }
}

/// The next command. Meanwhile reports dropped events as soon as the app receives again.
async fn next_command(commands: &mut mpsc::Receiver<DeviceCommand>, events: &mut EventSender) -> Option<DeviceCommand> {
    loop {
        tokio::select! {
            command = commands.recv() => return command,
            () = events.report_dropped() => {}
        }
    }
}

fn confirm(phase: ConnectionPhase, reply: Option<oneshot::Sender<()>>) -> ConnectionPhase {
    if let Some(reply) = reply {
        // The caller may have dropped its future; the send error is ignored.
        let _ = reply.send(());
    }
    phase
}

fn random() -> u32 {
    // Without randomness half the ceiling: devices still back off, but their reconnects are not spread.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
