//! Tells a live session of a change to its identity's logins: one was linked, or tokens are refused.

use driftless_protocol::{CloseCode, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};

use super::closing::Closing;
use super::context::SessionEnd;
use super::live::LiveSession;

impl<S: AsyncRead + AsyncWrite + Unpin> LiveSession<'_, S> {
    /// Sends the linked logins. Ends the session if its token may be one that is refused: the device connects again with a new one. If the
    /// store cannot say, the device has to sign in again, too.
    pub(super) async fn send_linked_logins(&mut self) -> Result<(), SessionEnd> {
        let Ok(logins) = self.context.services.sync.logins_state(&self.context.who).await else {
            return Err(CloseCode::ServerError.into());
        };
        if logins.refuses(self.context.token_issued_s) {
            let cause = "an operator has refused the earlier tokens of this identity's logins; get a new one";
            return Err(SessionEnd::Close(Closing::because(CloseCode::TokenRefused, cause)));
        }
        match logins.linked.is_empty() {
            true => Ok(()),
            false => self.send(&ServerMessage::Linked { logins: logins.linked }).await,
        }
    }
}
