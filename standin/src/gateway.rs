//! The handle to a running stand-in gateway.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftless_protocol::{Provider, WebPushSubscription};
use rcgen::PublicKeyData;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::access_tokens::AccessTokens;
use super::apns_tokens::ApnsTokenChecker;
use super::clock::AdjustableClock;
use super::connection;
use super::connection_registry::{ConnectionRegistry, ProcessingMode};
use super::credentials::{self, SenderCredentials};
use super::device_registry::{DeviceRegistry, RegisteredDevice};
use super::fault::ConnectionFault;
use super::listener::ReopenableListener;
use super::push_log::{GatewayCounts, PushLog};
use super::random::{random_bytes, random_text};
use super::received_push::ReceivedPush;
use super::request::ListenerKind;
use super::scripted_response::ScriptedResponse;
use super::state::GatewayState;
use super::temp_folder::TempFolder;
use super::vapid::VapidChecker;
use super::webpush;
use super::webpush_decryption::SubscriptionKeys;

/// The pause after a failed accept. The process is then out of file descriptors, and no event tells when one is free again.
const ACCEPT_RETRY_MS: u64 = 10;

/// A running gateway. Clones share it; it stops when the last clone is dropped.
#[derive(Clone)]
pub struct StandInGateway {
    running: Arc<RunningGateway>,
}

/// The ports to listen on; 0 is any.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenPorts {
    /// Apple's production environment, Google and Web Push.
    pub main: u16,
    /// Apple's sandbox.
    pub sandbox: u16,
    /// Google's token endpoint, over plain HTTP.
    pub tokens: u16,
}

/// One of Apple's two environments. A token of one is invalid in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApnsEnvironment {
    /// For apps from the App Store.
    Production,
    /// For development builds.
    Sandbox,
}

struct RunningGateway {
    state: Arc<GatewayState>,
    listeners: [(ListenerKind, Arc<ReopenableListener>); 3],
    runtime: Handle,
    /// The tasks that accept. Each owns the connections that it accepted.
    accept_tasks: Mutex<JoinSet<()>>,
    /// Deleted last, if the folder is the gateway's own.
    _temp_folder: Option<TempFolder>,
}

impl StandInGateway {
    /// Starts a gateway on any ports, with its credentials in a temporary folder that it deletes when it is dropped.
    pub async fn start() -> io::Result<StandInGateway> {
        let temp_folder = TempFolder::new()?;
        let folder = temp_folder.0.clone();
        StandInGateway::launch(&folder, ListenPorts::default(), Some(temp_folder))
    }

    /// Starts a gateway with the credentials in this folder, and creates those that are missing.
    pub async fn start_in(folder: &Path, ports: ListenPorts) -> io::Result<StandInGateway> {
        StandInGateway::launch(folder, ports, None)
    }

    fn launch(folder: &Path, ports: ListenPorts, temp_folder: Option<TempFolder>) -> io::Result<StandInGateway> {
        let ports = [ports.main, ports.sandbox, ports.tokens];
        let [main, sandbox, tokens] = ports.map(|port| ReopenableListener::bind(port).map(Arc::new));
        let listeners = [(ListenerKind::Main, main?), (ListenerKind::Sandbox, sandbox?), (ListenerKind::TokenEndpoint, tokens?)];
        let [url, _, token_uri] = listeners.each_ref().map(|(kind, listener)| address(*kind, listener));
        let (credentials, keys) = credentials::open(folder, &token_uri)?;
        let state = Arc::new(GatewayState {
            vapid: VapidChecker::new(keys.vapid_public, url.clone()),
            apns_tokens: ApnsTokenChecker::new(credentials.apns_key_id, credentials.apns_team_id, keys.apns_public),
            access_tokens: AccessTokens::new(keys.google_account, keys.google_public, token_uri),
            url,
            credentials,
            tls_acceptor: keys.tls_acceptor,
            clock: AdjustableClock::default(),
            devices: DeviceRegistry::default(),
            log: PushLog::default(),
            connections: ConnectionRegistry::default(),
        });
        let mut accept_tasks = JoinSet::new();
        for (kind, listener) in &listeners {
            accept_tasks.spawn(accept(*kind, listener.clone(), state.clone()));
        }
        let runtime = Handle::current();
        let running = RunningGateway { state, listeners, runtime, accept_tasks: Mutex::new(accept_tasks), _temp_folder: temp_folder };
        Ok(StandInGateway { running: Arc::new(running) })
    }

    /// Closes the listeners and every connection, without GOAWAY. Pushes, violations and counters can still be read.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// `https://localhost:...`: Apple's production environment, Google, and the origin of subscriptions.
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    /// `https://localhost:...`: Apple's sandbox.
    pub fn sandbox_url(&self) -> String {
        let (kind, listener) = &self.running.listeners[1];
        address(*kind, listener)
    }

    /// `http://127.0.0.1:.../token`: Google's token endpoint, as the service account's file names it.
    pub fn token_uri(&self) -> String {
        let (kind, listener) = &self.running.listeners[2];
        address(*kind, listener)
    }

    /// The ports that the gateway listens on. Another gateway can be started on them after this one has stopped.
    pub fn ports(&self) -> ListenPorts {
        let [main, sandbox, tokens] = self.running.listeners.each_ref().map(|(_, listener)| listener.address.port());
        ListenPorts { main, sandbox, tokens }
    }

    /// The credentials for a sender.
    pub fn credentials(&self) -> &SenderCredentials {
        &self.state().credentials
    }

    /// Registers a new Apple device token. The app's name is its bundle id, which is also its topic.
    pub fn new_apns_token(&self, app: &str, environment: ApnsEnvironment) -> String {
        let token = random_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let provider = match environment {
            ApnsEnvironment::Production => Provider::Apns,
            ApnsEnvironment::Sandbox => Provider::ApnsSandbox,
        };
        self.register_token(provider, &token, app);
        token
    }

    /// Registers a new Google registration token.
    pub fn new_fcm_token(&self, app: &str) -> String {
        let token = format!("{}:APA91b{}", random_text::<16>(), random_text::<100>());
        self.register_token(Provider::Fcm, &token, app);
        token
    }

    /// Registers an existing Apple or Google token.
    pub fn register_token(&self, provider: Provider, token: &str, app: &str) {
        self.state().devices.add(token, RegisteredDevice::new(provider, app, None));
    }

    /// Creates a subscription whose messages the gateway decrypts.
    pub fn new_subscription(&self) -> WebPushSubscription {
        let keys = SubscriptionKeys::new(random_bytes()).expect("a key on P-256 is made");
        let [p256dh, auth] = [keys.public.as_slice(), &keys.auth].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        WebPushSubscription { endpoint: self.new_endpoint(Some(Arc::new(keys))), p256dh, auth }
    }

    /// Creates a subscription for the caller's public key and secret (both in base64url). The gateway cannot decrypt its messages.
    pub fn subscribe(&self, p256dh: &str, auth: &str) -> WebPushSubscription {
        WebPushSubscription { endpoint: self.new_endpoint(None), p256dh: p256dh.to_owned(), auth: auth.to_owned() }
    }

    fn new_endpoint(&self, keys: Option<Arc<SubscriptionKeys>>) -> String {
        let id = random_text::<32>();
        self.state().devices.add(&id, RegisteredDevice::new(Provider::Webpush, "", keys));
        format!("{}{}{id}", self.state().url, webpush::PATH)
    }

    /// Unregisters a token or an endpoint, as if the app had been removed from the device: Apple responds 410, Google UNREGISTERED, a
    /// browser's push service 410.
    pub fn unregister(&self, token: &str) {
        self.state().devices.mark_unregistered(registry_key(token), self.state().clock.now_ms());
    }

    /// Appends responses to the script of a token or an endpoint. Each valid push consumes one; when the script is exhausted, the default
    /// response applies. [`StandInGateway::token_uri`] as the token scripts the responses of the token endpoint.
    pub fn script(&self, token: &str, responses: impl IntoIterator<Item = ScriptedResponse>) {
        self.state().devices.add_script(registry_key(token), responses);
    }

    /// Removes a token's script, [`ScriptedResponse::Always`] included.
    pub fn clear_script(&self, token: &str) {
        self.state().devices.clear_script(registry_key(token));
    }

    /// Sets the response for all tokens without a script, and for the token endpoint. It is [`ScriptedResponse::Accept`] at first.
    pub fn set_default_response(&self, response: ScriptedResponse) {
        self.state().devices.set_default_response(response);
    }

    /// Injects a fault into all connections.
    pub fn inject_fault(&self, fault: ConnectionFault) {
        let connections = &self.state().connections;
        match fault {
            ConnectionFault::StreamLimit(streams) => connections.limit_streams(streams),
            ConnectionFault::GoAway => connections.for_each(|control| control.go_away()),
            ConnectionFault::GoAwayAt(last_stream) => connections.for_each(|control| control.go_away_at(last_stream)),
            ConnectionFault::CloseConnections => connections.for_each(|control| control.close()),
            ConnectionFault::PauseRequests => connections.set_mode(ProcessingMode::Paused),
            ConnectionFault::FreezeIo => connections.set_mode(ProcessingMode::Frozen),
            ConnectionFault::RefuseConnections => self.running.listeners.iter().for_each(|(_, listener)| listener.close()),
            ConnectionFault::Resume => {
                connections.set_mode(ProcessingMode::Running);
                self.running.reopen_listeners();
            }
        }
    }

    /// Advances the gateway's clock, so that tokens age.
    pub fn advance_clock(&self, by: Duration) {
        self.state().clock.advance(by);
    }

    /// Forgets Apple's provider tokens, so that the next one is not rejected for following the previous one too soon.
    pub fn forget_provider_tokens(&self) {
        self.state().apns_tokens.forget();
    }

    /// Replaces the team's signing key. Returns the new key's file, PKCS #8 in PEM.
    pub fn rotate_apns_key(&self, key_id: &str) -> io::Result<PathBuf> {
        let file = self.credentials().folder.join(format!("{key_id}.p8"));
        let public = credentials::open_p256_key(&file)?;
        self.state().apns_tokens.rotate(key_id, public.der_bytes().to_vec());
        Ok(file)
    }

    /// Revokes Google's access tokens. Requests with them are rejected, but not recorded as violations.
    pub fn revoke_access_tokens(&self) {
        self.state().access_tokens.revoke_all();
    }

    /// Sets the lifetime of the access tokens that are issued from now on. It is an hour at first.
    pub fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.state().access_tokens.set_lifetime_s(lifetime.as_secs());
    }

    /// Sets how many of the newest accepted pushes are kept; 100,000 at first. With 0 they are only counted, and nothing is decrypted.
    pub fn set_kept_pushes(&self, pushes: usize) {
        self.state().log.set_capacity(pushes);
    }

    /// The accepted pushes that are kept, the oldest first.
    pub fn pushes(&self) -> Vec<ReceivedPush> {
        self.state().log.pushes(|_| true)
    }

    /// The kept pushes to a token or an endpoint, the oldest first.
    pub fn pushes_to(&self, token: &str) -> Vec<ReceivedPush> {
        self.state().log.pushes(|one| one == registry_key(token))
    }

    /// Waits, without a time limit, until at least `count` pushes were accepted for a token or an endpoint, and returns them.
    pub async fn wait_for_pushes(&self, token: &str, count: usize) -> Vec<ReceivedPush> {
        loop {
            let mut accepted = std::pin::pin!(self.state().log.push_accepted.notified());
            accepted.as_mut().enable();
            if self.state().devices.accepted_count(registry_key(token)) >= count {
                return self.pushes_to(token);
            }
            accepted.await;
        }
    }

    /// What the senders did wrong, in words; the newest 1,000.
    pub fn violations(&self) -> Vec<String> {
        self.state().log.violations()
    }

    /// The gateway's counters.
    pub fn counts(&self) -> GatewayCounts {
        let state = self.state();
        let (provider_tokens, vapid_tokens) = (state.apns_tokens.accepted_count(), state.vapid.accepted_count());
        GatewayCounts { provider_tokens, vapid_tokens, ..state.log.counts() }
    }

    fn state(&self) -> &GatewayState {
        &self.running.state
    }
}

/// The key of a token or an endpoint in the device registry.
fn registry_key(token: &str) -> &str {
    token.rsplit_once('/').map_or(token, |(_, id)| id)
}

fn address(kind: ListenerKind, listener: &ReopenableListener) -> String {
    match kind {
        ListenerKind::Main | ListenerKind::Sandbox => format!("https://localhost:{}", listener.address.port()),
        ListenerKind::TokenEndpoint => format!("http://{}/token", listener.address),
    }
}

/// Accepts connections, and owns their tasks.
async fn accept(kind: ListenerKind, listener: Arc<ReopenableListener>, state: Arc<GatewayState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    match kind {
                        ListenerKind::Main | ListenerKind::Sandbox => connections.spawn(connection::serve_tls(stream, state.clone(), kind)),
                        ListenerKind::TokenEndpoint => connections.spawn(connection::serve_plain(stream, state.clone())),
                    };
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await,
            }
        }
    }
}

impl RunningGateway {
    fn stop(&self) {
        self.listeners.iter().for_each(|(_, listener)| listener.close());
        self.accept_tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn reopen_listeners(&self) {
        let _runtime = self.runtime.enter();
        for (_, listener) in &self.listeners {
            if let Err(error) = listener.reopen() {
                self.state.log.record_violation(format!("cannot listen on {} again: {error}", listener.address));
            }
        }
    }
}

impl Drop for RunningGateway {
    fn drop(&mut self) {
        self.stop();
    }
}
