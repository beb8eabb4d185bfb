//! The disk's own limit, measured in the same run: no server can be faster than writing the same bytes to one file and flushing them.
//! The file is allocated in advance, so that a flush writes only the bytes and no metadata.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::latency::Latencies;

/// Bytes of the file. At its end, writing starts over.
const FILE_BYTES: u64 = 64 << 20;

/// A file to which groups of bytes are appended.
pub struct DiskProbe {
    file: File,
    written: u64,
    bytes: Vec<u8>,
}

/// Latencies of writes at a fixed rate.
#[derive(Default)]
pub struct PacedWrites {
    /// Of each flush. A flush covers one write as long as the disk keeps up.
    pub flush: Latencies,
    /// Of each write, from the time at which it was due.
    pub write: Latencies,
}

impl DiskProbe {
    /// Creates the file in a folder.
    pub fn new(folder: &Path) -> Result<DiskProbe, String> {
        let path = folder.join("disk");
        let fail = |error: std::io::Error| format!("{} cannot be created: {error}", path.display());
        let mut file = File::create(&path).map_err(fail)?;
        file.write_all(&vec![0; FILE_BYTES as usize]).and_then(|()| file.sync_all()).and_then(|()| file.rewind()).map_err(fail)?;
        // Varying bytes, in case the file system compresses.
        let bytes = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Ok(DiskProbe { file, written: 0, bytes })
    }

    /// Appends groups of this size for this time, and flushes each. Returns groups per second, and adds the latency of each.
    pub fn append(&mut self, group_bytes: usize, time: Duration, latencies: &mut Latencies) -> Result<f64, String> {
        let began = Instant::now();
        let mut groups = 0;
        while began.elapsed() < time {
            let start = Instant::now();
            self.append_group(group_bytes.clamp(1, self.bytes.len()))
                .map_err(|error| format!("cannot write to the disk baseline: {error}"))?;
            latencies.record(start.elapsed());
            groups += 1;
        }
        Ok(f64::from(groups) / began.elapsed().as_secs_f64())
    }

    /// Writes at a fixed rate: all writes that are due go into one group, which is flushed.
    pub fn pace(&mut self, bytes: usize, rate: f64, writes: u32, paced: &mut PacedWrites) -> Result<(), String> {
        let began = Instant::now();
        let due = |number: u32| began + Duration::from_secs_f64(f64::from(number) / rate);
        let mut next = 0;
        while next < writes {
            std::thread::sleep(due(next).saturating_duration_since(Instant::now()));
            let start = Instant::now();
            let late = (next..writes).take_while(|number| due(*number) <= start).count().max(1);
            self.append_group((bytes * late).clamp(1, self.bytes.len()))
                .map_err(|error| format!("cannot write to the disk baseline: {error}"))?;
            let end = Instant::now();
            paced.flush.record(end - start);
            (0..late).for_each(|_| {
                paced.write.record(end - due(next));
                next += 1;
            });
        }
        Ok(())
    }

    fn append_group(&mut self, bytes: usize) -> std::io::Result<()> {
        if self.written + bytes as u64 > FILE_BYTES {
            self.file.rewind()?;
            self.written = 0;
        }
        self.file.write_all(&self.bytes[..bytes])?;
        self.file.sync_data()?;
        self.written += bytes as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_counts_once_even_if_it_is_late() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = DiskProbe::new(folder.path()).expect("is made");
        for rate in [100.0, 1e9] {
            let mut paced = PacedWrites::default();
            disk.pace(500, rate, 40, &mut paced).expect("is measured");
            assert_eq!(paced.write.count(), 40);
            assert!((1..=40).contains(&paced.flush.count()) && paced.write.max_us() >= paced.flush.max_us());
        }
    }
}
