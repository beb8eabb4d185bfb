//! What a device asks, one request at a time. A request that cannot be granted is refused by itself.

use driftless_protocol::{Change, ClientMessage, DatasetName, Op, Position, RefusalCode, Registration, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::desk::{End, SessionContext};
use super::door::RenewalOutcome;
use super::driver::{Driver, Pending};
use super::following::Following;
use crate::committer::Unavailable;
use crate::sync::{RegisterError, WriteRequest};

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    pub(super) async fn request(&mut self, message: ClientMessage) -> Result<(), End> {
        match message {
            ClientMessage::Ping => self.say(&ServerMessage::Pong).await,
            ClientMessage::Register(registration) => self.register(registration).await,
            ClientMessage::Unregister => match self.desk.inner.sync.unregister(&self.desk.who).await {
                Ok(()) => self.say(&ServerMessage::Unregistered).await,
                Err(why) => self.refuse_unavailable(None, None, why).await,
            },
            ClientMessage::Hello { .. } => {
                self.refuse(None, None, RefusalCode::HelloAgain, "this session has had its hello".to_owned()).await
            }
            ClientMessage::Renew { token } => self.renew(&token).await,
            ClientMessage::List => match self.desk.inner.sync.list(&self.desk.who).await {
                Ok(datasets) => self.say(&ServerMessage::Datasets { datasets }).await,
                Err(why) => self.refuse_unavailable(None, None, why).await,
            },
            ClientMessage::Open { dataset, position } => self.open(dataset, position).await,
            ClientMessage::Close { dataset } => self.close(dataset).await,
            ClientMessage::Ack { dataset, version } => self.ack(dataset, version).await,
            ClientMessage::Write { id, dataset, changes, offer } => {
                let SessionContext { inner, who, mailbox, .. } = &self.desk;
                let load = load(&changes);
                match inner.sync.write(who, dataset.clone(), WriteRequest { id, changes, offer }, mailbox.session()).await {
                    Ok(answer) => {
                        self.patches.push_back(Pending { id, dataset, answer, load });
                        Ok(())
                    }
                    Err(why) => self.refuse_unavailable(Some(id), Some(dataset), why).await,
                }
            }
        }
    }

    async fn register(&mut self, registration: Registration) -> Result<(), End> {
        let (provider, app) = (registration.target.provider(), registration.app.clone());
        match self.desk.inner.sync.register(&self.desk.who, registration).await {
            Ok(()) => self.say(&ServerMessage::Registered { provider, app }).await,
            Err(RegisterError::RegistrationRejected(why)) => {
                let (code, message) = why.refusal();
                self.refuse(None, None, code, message).await
            }
            Err(RegisterError::Unavailable(why)) => self.refuse_unavailable(None, None, why).await,
        }
    }

    async fn renew(&mut self, token: &str) -> Result<(), End> {
        let why = match Box::pin(self.desk.inner.door.renew(token, &self.desk.who)).await {
            Ok(RenewalOutcome::Until(expires_s)) => {
                let now = self.desk.inner.now();
                self.desk.machine.renewed(now, expires_s);
                // A session of weeks is no stale device.
                let _ = self.desk.inner.sync.greet(&self.desk.who).await;
                return self.say(&ServerMessage::Renew { expires_in_s: self.desk.machine.expires_in_s(now) }).await;
            }
            Ok(RenewalOutcome::OtherIdentity) => (RefusalCode::OtherIdentity, "the token leads to another identity".to_owned()),
            Err(denied) => (RefusalCode::TokenRefused, denied.to_string()),
        };
        self.desk.machine.not_renewed(self.desk.inner.now());
        self.refuse(None, None, why.0, why.1).await
    }

    async fn open(&mut self, dataset: DatasetName, position: Option<Position>) -> Result<(), End> {
        let SessionContext { inner, who, mailbox, .. } = &self.desk;
        let known = self.followings.iter().position(|following| *following.dataset() == dataset);
        if known.is_none() && self.followings.len() >= who.pool.limits.datasets {
            let message = format!("a session has at most {} datasets open", who.pool.limits.datasets);
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::TooManyDatasets, message).await;
        }
        // Followed first, read then: nothing can be published in between unseen.
        let feed = inner.hub.follow(who.identity.text(), &dataset, mailbox);
        let Ok((start, first)) = inner.sync.open(who, &dataset, position.map(Into::into)).await else {
            if known.is_none() {
                inner.hub.unfollow(who.identity.as_str(), &feed, mailbox);
            }
            return self.refuse_unavailable(None, Some(dataset), Unavailable::Now).await;
        };
        let following = Following::new(feed, start);
        let at = match known {
            Some(at) => {
                self.followings[at] = following;
                at
            }
            None => {
                // Most sessions have one dataset open.
                self.followings.reserve_exact(1);
                self.followings.push(following);
                self.followings.len() - 1
            }
        };
        self.show(at, first).await.map(drop)
    }

    async fn close(&mut self, dataset: DatasetName) -> Result<(), End> {
        let Some(at) = self.followings.iter().position(|following| *following.dataset() == dataset) else {
            return self.refuse_not_open(&dataset).await;
        };
        let following = self.followings.swap_remove(at);
        self.desk.inner.hub.unfollow(self.desk.who.identity.as_str(), following.feed(), &self.desk.mailbox);
        Ok(())
    }

    async fn ack(&mut self, dataset: DatasetName, version: u64) -> Result<(), End> {
        let Some(following) = self.followings.iter().find(|following| *following.dataset() == dataset) else {
            return self.refuse_not_open(&dataset).await;
        };
        if version > following.version() {
            let message = format!("version {version} was not sent yet, {} was", following.version());
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::AheadOfServer, message).await;
        }
        match self.desk.inner.sync.note_ack(&self.desk.who, dataset.clone(), version).await {
            Ok(()) => Ok(()),
            Err(why) => self.refuse_unavailable(None, Some(dataset), why).await,
        }
    }

    async fn refuse_not_open(&mut self, dataset: &DatasetName) -> Result<(), End> {
        self.refuse(None, Some(dataset.to_string()), RefusalCode::NotOpen, format!("{dataset} is not open in this session")).await
    }

    pub(super) async fn refuse_unavailable(&mut self, id: Option<u64>, dataset: Option<DatasetName>, why: Unavailable) -> Result<(), End> {
        let (code, message) = match why {
            Unavailable::Now => {
                (RefusalCode::Unavailable, "the store cannot do it now; ask again after a while, a patch with the same number")
            }
            Unavailable::ReadOnly => (
                RefusalCode::ReadOnly,
                "the store takes no writes now, its disk is full or fails; send it again after a while, with the same number",
            ),
        };
        self.refuse(id, dataset.map(|name| name.to_string()), code, message.to_owned()).await
    }

    pub(super) async fn refuse(&mut self, id: Option<u64>, dataset: Option<String>, code: RefusalCode, message: String) -> Result<(), End> {
        self.desk.inner.metrics.refused(code.as_str());
        self.say(&ServerMessage::Refused { id, dataset, code, message }).await
    }
}

/// What a patch takes of its session's room of 64 patches. Its answer can be large if it can conflict or compute something; then
/// only a few are under way at once, or a peer that does not read would have us hold dozens of large answers.
fn load(changes: &[Change]) -> usize {
    let small = |change: &Change| matches!(change.op, Op::Put | Op::Remove) && change.base.is_none();
    if changes.iter().all(small) { 1 } else { 8 }
}
