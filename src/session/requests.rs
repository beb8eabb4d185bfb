//! What a device asks, one request at a time. A request that cannot be granted is refused by itself.

use driftless_protocol::{ClientMessage, DatasetName, Position, RefusalCode, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Denied;
use super::desk::{Desk, End};
use super::door::Renewal;
use super::driver::{Driver, Pending};
use super::following::Following;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    pub(super) async fn request(&mut self, message: ClientMessage) -> Result<(), End> {
        match message {
            ClientMessage::Ping => self.say(&ServerMessage::Pong).await,
            ClientMessage::Hello { .. } => {
                self.refuse(None, None, RefusalCode::HelloAgain, "this session has had its hello".to_owned()).await
            }
            ClientMessage::Renew { token } => self.renew(&token).await,
            ClientMessage::List => {
                let datasets = self.desk.inner.sync.list(&self.desk.who).await?;
                self.say(&ServerMessage::Datasets { datasets }).await
            }
            ClientMessage::Open { dataset, position } => self.open(dataset, position).await,
            ClientMessage::Close { dataset } => self.close(dataset).await,
            ClientMessage::Ack { dataset, version } => self.ack(dataset, version).await,
            ClientMessage::Write { id, dataset, changes } => {
                let Desk { inner, who, mailbox, .. } = &self.desk;
                let answer = inner.sync.write(who, dataset.clone(), id, changes, mailbox.session()).await?;
                self.patches.push_back(Pending { id, dataset, answer });
                Ok(())
            }
        }
    }

    async fn renew(&mut self, token: &str) -> Result<(), End> {
        let why = match Box::pin(self.desk.inner.door.renew(token, &self.desk.who)).await {
            Ok(Renewal::Until(expires_s)) => {
                let now = self.desk.inner.now();
                self.desk.machine.renewed(now, expires_s);
                return self.say(&ServerMessage::Renew { expires_in_s: self.desk.machine.expires_in_s(now) }).await;
            }
            Ok(Renewal::OtherIdentity) => (RefusalCode::OtherIdentity, "the token leads to another identity".to_owned()),
            Err(Denied::Unavailable) => (RefusalCode::Unavailable, Denied::Unavailable.to_string()),
            Err(Denied::Token(refusal)) if refusal.is_temporary() => (RefusalCode::Unavailable, refusal.to_string()),
            Err(denied) => (RefusalCode::TokenRefused, denied.to_string()),
        };
        self.refuse(None, None, why.0, why.1).await
    }

    async fn open(&mut self, dataset: DatasetName, position: Option<Position>) -> Result<(), End> {
        let Desk { inner, who, mailbox, .. } = &self.desk;
        let known = self.followings.iter().position(|following| *following.dataset() == dataset);
        if known.is_none() && self.followings.len() >= who.pool.limits.datasets {
            let message = format!("a session has at most {} datasets open", who.pool.limits.datasets);
            return self.refuse(None, Some(dataset.to_string()), RefusalCode::TooManyDatasets, message).await;
        }
        // Followed first, read then: nothing can be published in between unseen.
        let feed = inner.hub.follow(who.identity.as_str(), &dataset, mailbox);
        let start = inner.sync.start(who, &dataset, position).await?;
        let following = Following::new(feed, start);
        match known {
            Some(at) => self.followings[at] = following,
            None => {
                // Most sessions have one dataset open.
                self.followings.reserve_exact(1);
                self.followings.push(following);
            }
        }
        Ok(())
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
        Ok(self.desk.inner.sync.note_ack(&self.desk.who, dataset, version).await?)
    }

    async fn refuse_not_open(&mut self, dataset: &DatasetName) -> Result<(), End> {
        self.refuse(None, Some(dataset.to_string()), RefusalCode::NotOpen, format!("{dataset} is not open in this session")).await
    }

    pub(super) async fn refuse(&mut self, id: Option<u64>, dataset: Option<String>, code: RefusalCode, message: String) -> Result<(), End> {
        self.desk.inner.metrics.refused(code.as_str());
        self.say(&ServerMessage::Refused { id, dataset, code, message }).await
    }
}
