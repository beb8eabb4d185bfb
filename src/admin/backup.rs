//! A backup of the whole store, read part by part while the server runs.

use std::collections::VecDeque;

use tracing::{info, warn};

use super::Admin;
use crate::committer::{Committer, JobOwner, Unavailable};
use crate::logging::AUDIT;
use crate::store::{BackupHeader, BackupPart, BackupRefused, BackupRow, BackupTicket, BackupWriter, StoreError};

/// Bytes of rows after which a chunk of the file ends: encoding them keeps a worker for about a millisecond.
const CHUNK_BYTES: usize = 512 * 1024;

/// A backup in progress. Dropping it ends the backup.
pub struct BackupStream {
    committer: Committer,
    ticket: BackupTicket,
    encoder: BackupWriter,
    next: NextChunk,
    /// Rows that were read and are not encoded yet.
    rows: VecDeque<BackupRow>,
}

enum NextChunk {
    Header(BackupHeader),
    Rows,
    /// The rows that are left are the last.
    LastRows,
    Nothing,
}

impl Admin {
    /// Begins a backup. Only one runs at a time.
    pub async fn backup(&self) -> Result<Result<BackupStream, BackupRefused>, Unavailable> {
        let begun = self.committer.transact(JobOwner::Store, |group, now_ms| Ok((group.begin_backup(now_ms)?, Vec::new()))).await?;
        if begun.is_ok() {
            info!(target: AUDIT, "backup begun");
        }
        Ok(begun.map(|(ticket, header)| BackupStream {
            committer: self.committer.clone(),
            ticket,
            encoder: BackupWriter::default(),
            next: NextChunk::Header(header),
            rows: VecDeque::new(),
        }))
    }
}

impl BackupStream {
    /// The next chunk of the file; `None` after the last one.
    pub async fn next(&mut self) -> Result<Result<Option<Vec<u8>>, BackupRefused>, Unavailable> {
        while self.rows.is_empty() && matches!(self.next, NextChunk::Rows) {
            let ticket = self.ticket.clone();
            let part = self.committer.transact(JobOwner::Store, move |group, _| Ok((group.continue_backup(&ticket)?, Vec::new()))).await?;
            let BackupPart { rows, last } = match part {
                Ok(part) => part,
                Err(refused) => return Ok(Err(refused)),
            };
            self.rows = rows.into();
            self.next = if last { NextChunk::LastRows } else { NextChunk::Rows };
        }
        self.encode().map(Ok).map_err(|error| {
            warn!(%error, "backup cannot be encoded");
            Unavailable::Now
        })
    }

    fn encode(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if let NextChunk::Header(header) = &self.next {
            let bytes = self.encoder.begin(header)?;
            self.next = NextChunk::Rows;
            return Ok(Some(bytes));
        }
        if !self.rows.is_empty() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while bytes < CHUNK_BYTES
                && let Some((key, row)) = self.rows.pop_front()
            {
                bytes += key.len() + row.as_ref().map_or(0, Vec::len);
                some.push((key, row));
            }
            return self.encoder.rows(&some).map(Some);
        }
        match std::mem::replace(&mut self.next, NextChunk::Nothing) {
            NextChunk::Nothing => Ok(None),
            _ => self.encoder.end().map(Some),
        }
    }
}
