//! Reads the bytes of an object, which may stand in many files, piece by piece.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use futures_util::Stream;

use super::blob_folder::BlobFolder;

/// Bytes that are read at a time: what a download holds in memory, beside what its connection has not sent yet.
const CHUNK_BYTES: u64 = 256 << 10;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlobRange {
    pub blob: String,
    pub start: u64,
    pub bytes: u64,
}

/// The parts of files that have a range of an object, whose files with their sizes are these.
pub(super) fn ranges(files: impl IntoIterator<Item = (String, u64)>, wanted: &Range<u64>) -> Vec<BlobRange> {
    let mut at = 0;
    let mut found = Vec::new();
    for (blob, bytes) in files {
        let (start, end) = (wanted.start.max(at), wanted.end.min(at + bytes));
        if start < end {
            found.push(BlobRange { blob, start: start - at, bytes: end - start });
        }
        at += bytes;
    }
    found
}

struct OpenReader {
    folder: BlobFolder,
    /// What is left, the last first.
    left: Vec<BlobRange>,
    current: Option<(File, u64)>,
}

impl OpenReader {
    /// Opens the first file now: an object that is deleted meanwhile is still read to the end of that file.
    fn open_next(&mut self) -> io::Result<()> {
        self.current = match self.left.pop() {
            None => None,
            Some(BlobRange { blob, start, bytes }) => {
                let mut file = self.folder.read(&blob)?;
                file.seek(SeekFrom::Start(start))?;
                Some((file, bytes))
            }
        };
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.current.as_ref().is_some_and(|(_, left)| *left == 0) {
            self.open_next()?;
        }
        let Some((file, left)) = &mut self.current else { return Ok(None) };
        let mut chunk = vec![0; usize::try_from(CHUNK_BYTES.min(*left)).unwrap_or_default()];
        file.read_exact(&mut chunk)?;
        *left -= chunk.len() as u64;
        Ok(Some(chunk.into()))
    }
}

/// The bytes of these parts of files.
pub(super) async fn read(
    folder: BlobFolder,
    mut left: Vec<BlobRange>,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static> {
    left.reverse();
    let opened = tokio::task::spawn_blocking(move || {
        let mut reader = OpenReader { folder, left, current: None };
        reader.open_next().map(|()| reader)
    });
    let reader = opened.await.map_err(io::Error::other)??;
    Ok(futures_util::stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let read = tokio::task::spawn_blocking(move || (reader.next(), reader)).await;
        match read {
            Ok((Ok(None), _)) => None,
            Ok((Ok(Some(chunk)), reader)) => Some((Ok(chunk), Some(reader))),
            Ok((Err(error), _)) => Some((Err(error), None)),
            Err(error) => Some((Err(io::Error::other(error)), None)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_out_of_the_files_that_have_it() {
        let files = || [("a".to_owned(), 5), ("b".to_owned(), 0), ("c".to_owned(), 10)];
        let cut = |range: Range<u64>| -> Vec<(String, u64, u64)> {
            ranges(files(), &range).into_iter().map(|BlobRange { blob, start, bytes }| (blob, start, bytes)).collect()
        };
        assert_eq!(cut(0..15), [("a".to_owned(), 0, 5), ("c".to_owned(), 0, 10)]);
        assert_eq!(cut(4..6), [("a".to_owned(), 4, 1), ("c".to_owned(), 0, 1)]);
        assert_eq!(cut(14..99), [("c".to_owned(), 9, 1)]);
        assert_eq!(cut(3..3), []);
    }
}
