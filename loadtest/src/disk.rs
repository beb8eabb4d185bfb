//! The disk's own limit, in the same run: nothing can be faster than writing the same bytes to one file and waiting for them. The file has its
//! size before, so that no flush waits for more than the bytes.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::times::Times;

/// Bytes of the file; at its end it is written over from the start.
const FILE_BYTES: u64 = 64 << 20;

/// A file that groups are written to, one behind the other.
pub struct Disk {
    file: File,
    written: u64,
    bytes: Vec<u8>,
}

/// Times of what is written at a rate.
#[derive(Default)]
pub struct Paced {
    /// Of each flush: of one write, as long as the disk keeps up.
    pub flush: Times,
    /// Of each write, from when it was due.
    pub write: Times,
}

impl Disk {
    /// A new file in a folder.
    pub fn new(folder: &Path) -> Result<Disk, String> {
        let path = folder.join("disk");
        let fail = |error: std::io::Error| format!("{} cannot be made: {error}", path.display());
        let mut file = File::create(&path).map_err(fail)?;
        file.write_all(&vec![0; FILE_BYTES as usize]).and_then(|()| file.sync_all()).and_then(|()| file.rewind()).map_err(fail)?;
        // Not all the same, in case something below compresses.
        let bytes = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Ok(Disk { file, written: 0, bytes })
    }

    /// Writes groups of so many bytes for so long, each waited for; the times, and how many a second.
    pub fn append(&mut self, group_bytes: usize, time: Duration, times: &mut Times) -> Result<f64, String> {
        let begun = Instant::now();
        let mut groups = 0;
        while begun.elapsed() < time {
            let start = Instant::now();
            self.group(group_bytes.clamp(1, self.bytes.len())).map_err(|error| format!("the disk cannot be measured: {error}"))?;
            times.add(start.elapsed());
            groups += 1;
        }
        Ok(f64::from(groups) / begun.elapsed().as_secs_f64())
    }

    /// What is written at a rate, as nothing but the disk lets it be: all that is due goes in one group, which is waited for.
    pub fn pace(&mut self, bytes: usize, rate: f64, writes: u32, paced: &mut Paced) -> Result<(), String> {
        let begun = Instant::now();
        let due = |number: u32| begun + Duration::from_secs_f64(f64::from(number) / rate);
        let mut next = 0;
        while next < writes {
            std::thread::sleep(due(next).saturating_duration_since(Instant::now()));
            let start = Instant::now();
            let late = (next..writes).take_while(|number| due(*number) <= start).count().max(1);
            self.group((bytes * late).clamp(1, self.bytes.len())).map_err(|error| format!("the disk cannot be measured: {error}"))?;
            let end = Instant::now();
            paced.flush.add(end - start);
            (0..late).for_each(|_| {
                paced.write.add(end - due(next));
                next += 1;
            });
        }
        Ok(())
    }

    fn group(&mut self, bytes: usize) -> std::io::Result<()> {
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
    fn each_write_counts_once_however_late_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = Disk::new(folder.path()).expect("is made");
        for rate in [100.0, 1e9] {
            let mut paced = Paced::default();
            disk.pace(500, rate, 40, &mut paced).expect("is measured");
            assert_eq!(paced.write.count(), 40);
            assert!((1..=40).contains(&paced.flush.count()) && paced.write.most() >= paced.flush.most());
        }
    }
}
