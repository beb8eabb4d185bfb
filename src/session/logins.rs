//! Tells a live session of a change to its identity's logins: one was linked, or tokens are refused.

use driftless_protocol::{CloseCode, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::context::SessionEnd;
use super::live::LiveSession;

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    /// Sends the linked logins. Ends the session if its own token is refused: the device connects again with a new one. If the store cannot
    /// say, the device has to sign in again, too.
    pub(super) async fn send_linked_logins(&mut self) -> Result<(), SessionEnd> {
        let (services, token) = (self.context.services, self.context.token.clone());
        let Ok(logins) = services.sync.logins_state(&self.context.who, token).await else {
            return Err(CloseCode::ServerError.into());
        };
        if let Some(until_s) = logins.refused_until_s {
            return Err(SessionEnd::Close((&services.authenticator.token_revoked(until_s)).into()));
        }
        match logins.linked.is_empty() {
            true => Ok(()),
            false => self.send(&ServerMessage::Linked { logins: logins.linked }).await,
        }
    }
}
