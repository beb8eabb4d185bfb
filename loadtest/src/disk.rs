//! The disk's own limit, in the same run: nothing can be faster than appending the same bytes to one file and waiting for them.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::times::Times;

/// The file begins anew when it has this many bytes: it should not fill the disk.
const FILE_BYTES: u64 = 1 << 30;

/// A file that groups are appended to.
pub struct Disk {
    file: File,
    written: u64,
    bytes: Vec<u8>,
}

impl Disk {
    /// A new file in a folder.
    pub fn new(folder: &Path) -> Result<Disk, String> {
        let path = folder.join("disk");
        let file = File::create(&path).map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        // Not all the same, in case something below compresses.
        let bytes = (0..4_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Ok(Disk { file, written: 0, bytes })
    }

    /// Appends groups of so many bytes for so long, each waited for; the times, and how many a second.
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

    /// Appends so many groups at a rate, each waited for; the times.
    pub fn pace(&mut self, group_bytes: usize, rate: f64, groups: u32, times: &mut Times) -> Result<(), String> {
        let begun = Instant::now();
        for number in 0..groups {
            std::thread::sleep((begun + Duration::from_secs_f64(f64::from(number) / rate)).saturating_duration_since(Instant::now()));
            let start = Instant::now();
            self.group(group_bytes.clamp(1, self.bytes.len())).map_err(|error| format!("the disk cannot be measured: {error}"))?;
            times.add(start.elapsed());
        }
        Ok(())
    }

    fn group(&mut self, bytes: usize) -> std::io::Result<()> {
        self.file.write_all(&self.bytes[..bytes])?;
        self.file.sync_data()?;
        self.written += bytes as u64;
        if self.written > FILE_BYTES {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.written = 0;
        }
        Ok(())
    }
}
