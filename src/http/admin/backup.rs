//! The backup, streamed while the server goes on.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use crate::admin::BackupStream;
use crate::http::error::HttpError;
use crate::http::state::HttpState;
use crate::http::stream::{AbortReason, ChunkSource, streamed_response};
use crate::store::BackupRefused;

pub(super) async fn backup(State(state): State<HttpState>) -> Result<Response, HttpError> {
    match state.admin.backup().await? {
        Err(BackupRefused::Busy | BackupRefused::TooSlow) => {
            Err(HttpError::NotPossible("another backup is running, and only one may run at a time; retry when it is done".to_owned()))
        }
        Ok(backup) => Ok(streamed_response("application/octet-stream", backup)),
    }
}

impl ChunkSource for BackupStream {
    async fn next(&mut self) -> Result<Option<Bytes>, AbortReason> {
        match BackupStream::next(self).await {
            Ok(Ok(part)) => Ok(part.map(Bytes::from)),
            Ok(Err(BackupRefused::TooSlow | BackupRefused::Busy)) => {
                Err("the client reads the backup more slowly than the server writes, or the store failed")
            }
            Err(_) => Err("the store cannot be read"),
        }
    }
}
