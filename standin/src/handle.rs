//! The handle to a running gateway.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftless_protocol::{Provider, Subscription};
use rcgen::PublicKeyData;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::access_tokens::AccessTokens;
use super::answer::Answer;
use super::call::Door;
use super::clock::Clock;
use super::connection;
use super::credentials::{self, Credentials};
use super::directory::{Device, Directory};
use super::ledger::{Counts, Ledger};
use super::lines::{Lines, Mode};
use super::port::Port;
use super::provider_tokens::ProviderTokens;
use super::push::{Push, chance, chance_text};
use super::scratch::Scratch;
use super::sealing::Keys;
use super::shared::Shared;
use super::trouble::Trouble;
use super::vapid::Vapid;
use super::webpush;

/// How long a port rests after it could not accept: the process has no descriptors left, and nobody says when it has.
const REST_MS: u64 = 10;

/// A running gateway. Clones are the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct Gateway {
    running: Arc<Running>,
}

/// Which ports to listen on; 0 is any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Apple's production, Google's and a browser's.
    pub main: u16,
    /// Apple's sandbox.
    pub sandbox: u16,
    /// Google's token endpoint, over plain HTTP.
    pub tokens: u16,
}

/// One of Apple's two: a token of one is nothing to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// For apps from the store.
    Production,
    /// For builds that a developer signed.
    Sandbox,
}

struct Running {
    shared: Arc<Shared>,
    ports: [(Door, Arc<Port>); 3],
    runtime: Handle,
    /// What accepts; each owns the connections that it accepted.
    tasks: Mutex<JoinSet<()>>,
    /// Goes last, if the folder is the gateway's own.
    _scratch: Option<Scratch>,
}

impl Gateway {
    /// Starts one on any ports, with its credentials in a folder of its own that goes with it.
    pub async fn start() -> io::Result<Gateway> {
        let scratch = Scratch::new()?;
        let folder = scratch.0.clone();
        Gateway::launch(&folder, Ports::default(), Some(scratch))
    }

    /// Starts one with its credentials in this folder: those that are there, or new ones.
    pub async fn start_in(folder: &Path, ports: Ports) -> io::Result<Gateway> {
        Gateway::launch(folder, ports, None)
    }

    fn launch(folder: &Path, ports: Ports, scratch: Option<Scratch>) -> io::Result<Gateway> {
        let [main, sandbox, tokens] = [ports.main, ports.sandbox, ports.tokens].map(|port| Port::bind(port).map(Arc::new));
        let ports = [(Door::Main, main?), (Door::Sandbox, sandbox?), (Door::Tokens, tokens?)];
        let [url, _, token_uri] = ports.each_ref().map(|(door, port)| address(*door, port));
        let (credentials, checks) = credentials::open(folder, &token_uri)?;
        let vapid_public = checks.vapid_public;
        let shared = Arc::new(Shared {
            vapid: Vapid::new(vapid_public, url.clone()),
            provider_tokens: ProviderTokens::new(credentials.apns_key_id, credentials.apns_team_id, checks.apns_public),
            access_tokens: AccessTokens::new(checks.google_account, checks.google_public, token_uri),
            url,
            credentials,
            acceptor: checks.acceptor,
            clock: Clock::default(),
            directory: Directory::default(),
            ledger: Ledger::default(),
            lines: Lines::default(),
        });
        let mut tasks = JoinSet::new();
        for (door, port) in &ports {
            tasks.spawn(accept(*door, port.clone(), shared.clone()));
        }
        let running = Running { shared, ports, runtime: Handle::current(), tasks: Mutex::new(tasks), _scratch: scratch };
        Ok(Gateway { running: Arc::new(running) })
    }

    /// Ends it: nobody listens any more, and every connection ends without a word. What it remembers can still be asked.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// `https://localhost:...`: Apple's production, Google's, and the origin of subscriptions.
    pub fn url(&self) -> String {
        self.shared().url.clone()
    }

    /// `https://localhost:...`: Apple's sandbox.
    pub fn sandbox_url(&self) -> String {
        let (door, port) = &self.running.ports[1];
        address(*door, port)
    }

    /// `http://127.0.0.1:.../token`: Google's token endpoint, as the service account names it.
    pub fn token_uri(&self) -> String {
        let (door, port) = &self.running.ports[2];
        address(*door, port)
    }

    /// The ports that it listens on: to start another one in its place.
    pub fn ports(&self) -> Ports {
        let [main, sandbox, tokens] = self.running.ports.each_ref().map(|(_, port)| port.address.port());
        Ports { main, sandbox, tokens }
    }

    /// What a sender needs.
    pub fn credentials(&self) -> &Credentials {
        &self.shared().credentials
    }

    /// A new device token for an app, whose topic is its bundle id.
    pub fn apns_token(&self, app: &str, environment: Environment) -> String {
        let token = chance::<32>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let provider = match environment {
            Environment::Production => Provider::Apns,
            Environment::Sandbox => Provider::ApnsSandbox,
        };
        self.adopt(provider, &token, app);
        token
    }

    /// A new registration token.
    pub fn fcm_token(&self, app: &str) -> String {
        let token = format!("{}:APA91b{}", chance_text::<16>(), chance_text::<100>());
        self.adopt(Provider::Fcm, &token, app);
        token
    }

    /// Knows a token of Apple's or Google's that was made elsewhere.
    pub fn adopt(&self, provider: Provider, token: &str, app: &str) {
        self.shared().directory.add(token, Device::new(provider, app, None));
    }

    /// A new subscription, whose messages the gateway opens.
    pub fn subscription(&self) -> Subscription {
        let keys = Keys::new(chance()).expect("a key on P-256 is made");
        let [p256dh, auth] = [keys.public.as_slice(), &keys.auth].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Subscription { endpoint: self.endpoint(Some(Arc::new(keys))), p256dh, auth }
    }

    /// A new subscription with keys that are elsewhere (both in base64url): its messages stay sealed.
    pub fn subscribe(&self, p256dh: &str, auth: &str) -> Subscription {
        Subscription { endpoint: self.endpoint(None), p256dh: p256dh.to_owned(), auth: auth.to_owned() }
    }

    fn endpoint(&self, keys: Option<Arc<Keys>>) -> String {
        let id = chance_text::<32>();
        self.shared().directory.add(&id, Device::new(Provider::Webpush, "", keys));
        format!("{}{}{id}", self.shared().url, webpush::PATH)
    }

    /// The app is gone from the device: Apple's 410, Google's UNREGISTERED, a push service's 410. A token, or an endpoint.
    pub fn unregister(&self, token: &str) {
        self.shared().directory.remove(name(token), self.shared().clock.now_ms());
    }

    /// Adds answers for a token or an endpoint: each is used up by one push that is in order, then [`Gateway::answer_all`] holds.
    /// With [`Gateway::token_uri`] they are for senders that ask for an access token.
    pub fn script(&self, token: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared().directory.script(name(token), answers);
    }

    /// Forgets a token's script, [`Answer::Always`] too.
    pub fn unscript(&self, token: &str) {
        self.shared().directory.unscript(name(token));
    }

    /// What is said, from now on, to whoever has no script, at the token endpoint too; [`Answer::Accept`] at first.
    pub fn answer_all(&self, answer: Answer) {
        self.shared().directory.otherwise(answer);
    }

    /// Does this to all connections.
    pub fn script_server(&self, trouble: Trouble) {
        let lines = &self.shared().lines;
        match trouble {
            Trouble::StreamLimit(streams) => lines.limit_streams(streams),
            Trouble::GoAway => lines.each(|control| control.go_away()),
            Trouble::GoAwayAt(last_stream) => lines.each(|control| control.go_away_at(last_stream)),
            Trouble::Close => lines.each(|control| control.cut()),
            Trouble::Pause => lines.set(Mode::Paused),
            Trouble::Freeze => lines.set(Mode::Frozen),
            Trouble::Refuse => self.running.ports.iter().for_each(|(_, port)| port.shut()),
            Trouble::Resume => {
                lines.set(Mode::Running);
                self.running.open();
            }
        }
    }

    /// Moves the gateway's clock on: tokens age.
    pub fn advance(&self, by: Duration) {
        self.shared().clock.advance(by);
    }

    /// Forgets Apple's provider tokens, as if the sender had not sent for long: the next one is not too soon after the last.
    pub fn forget_provider_tokens(&self) {
        self.shared().provider_tokens.forget();
    }

    /// Apple gives the team another key in the place of the one before; its file, PKCS #8 in PEM.
    pub fn rotate_apns_key(&self, key_id: &str) -> io::Result<PathBuf> {
        let file = self.credentials().folder.join(format!("{key_id}.p8"));
        let public = credentials::key(&file)?;
        self.shared().provider_tokens.rotate(key_id, public.der_bytes().to_vec());
        Ok(file)
    }

    /// Takes back Google's access tokens: they are refused, and nobody complains.
    pub fn revoke_access_tokens(&self) {
        self.shared().access_tokens.revoke();
    }

    /// For how long access tokens hold that are issued from now on; an hour at first.
    pub fn access_tokens_last(&self, lifetime: Duration) {
        self.shared().access_tokens.last(lifetime.as_secs());
    }

    /// How many accepted pushes are kept, the newest; 100,000 at first. With 0 they are only counted, and nothing is decrypted.
    pub fn keep(&self, pushes: usize) {
        self.shared().ledger.keep(pushes);
    }

    /// The accepted pushes that are kept, the oldest first.
    pub fn pushes(&self) -> Vec<Push> {
        self.shared().ledger.pushes(|_| true)
    }

    /// Those of a token or an endpoint.
    pub fn pushes_of(&self, token: &str) -> Vec<Push> {
        self.shared().ledger.pushes(|one| one == name(token))
    }

    /// Waits until so many were accepted for a token or an endpoint, however long that takes.
    pub async fn pushed(&self, token: &str, count: usize) -> Vec<Push> {
        loop {
            let mut news = std::pin::pin!(self.shared().ledger.news.notified());
            news.as_mut().enable();
            if self.shared().directory.accepted_of(name(token)) >= count {
                return self.pushes_of(token);
            }
            news.await;
        }
    }

    /// What Apple, Google or a push service would have refused, in words; the newest 1,000.
    pub fn complaints(&self) -> Vec<String> {
        self.shared().ledger.complaints()
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        let shared = self.shared();
        let (provider_tokens, vapid_tokens) = (shared.provider_tokens.taken(), shared.vapid.taken());
        Counts { provider_tokens, vapid_tokens, ..shared.ledger.counts() }
    }

    fn shared(&self) -> &Shared {
        &self.running.shared
    }
}

/// What the directory calls a token or an endpoint.
fn name(token: &str) -> &str {
    token.rsplit_once('/').map_or(token, |(_, id)| id)
}

fn address(door: Door, port: &Port) -> String {
    match door {
        Door::Main | Door::Sandbox => format!("https://localhost:{}", port.address.port()),
        Door::Tokens => format!("http://{}/token", port.address),
    }
}

/// Accepts connections, and owns them.
async fn accept(door: Door, port: Arc<Port>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = port.accept() => match accepted {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    match door {
                        Door::Main | Door::Sandbox => connections.spawn(connection::secure(stream, shared.clone(), door)),
                        Door::Tokens => connections.spawn(connection::plain(stream, shared.clone())),
                    };
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(REST_MS)).await,
            }
        }
    }
}

impl Running {
    fn stop(&self) {
        self.ports.iter().for_each(|(_, port)| port.shut());
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn open(&self) {
        let _runtime = self.runtime.enter();
        for (_, port) in &self.ports {
            if let Err(error) = port.open() {
                self.shared.ledger.complain(format!("{} cannot be listened on again: {error}", port.address));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
