//! The versions of a dataset that devices still have to receive.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When each version was due to be written, kept until all its readers have received it.
#[derive(Debug, Default)]
pub struct PendingVersions {
    first: u64,
    /// The due time of each version from `first` on, and the number of readers that lack it.
    pending: VecDeque<(Instant, u32)>,
}

impl PendingVersions {
    /// Starts with a dataset at this version.
    pub fn after(version: u64) -> PendingVersions {
        PendingVersions { first: version + 1, pending: VecDeque::new() }
    }

    /// The next version is due at this time, and this number of readers must receive it.
    pub fn expect(&mut self, due: Instant, readers: u32) {
        self.pending.push_back((due, readers));
    }

    /// A reader has received the versions after `from` up to `to`. Calls `took` with the time that each took.
    pub fn received(&mut self, from: u64, to: u64, at: Instant, mut took: impl FnMut(Duration)) {
        for version in from + 1..=to {
            let place = version.checked_sub(self.first).and_then(|place| self.pending.get_mut(usize::try_from(place).ok()?));
            if let Some((due, readers)) = place {
                took(at.saturating_duration_since(*due));
                *readers = readers.saturating_sub(1);
            }
        }
        while self.pending.front().is_some_and(|(_, readers)| *readers == 0) {
            self.pending.pop_front();
            self.first += 1;
        }
    }

    /// The newest version that is due.
    pub fn newest(&self) -> u64 {
        self.first + self.pending.len() as u64 - 1
    }

    /// The number of versions that some reader lacks.
    pub fn count(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_counts_once_for_each_version() {
        let (mut versions, began) = (PendingVersions::after(7), Instant::now());
        let at = |ms: u64| began + Duration::from_millis(ms);
        versions.expect(at(0), 2);
        versions.expect(at(10), 2);
        let mut took = Vec::new();
        versions.received(7, 8, at(3), |time| took.push(time.as_millis()));
        versions.received(7, 9, at(20), |time| took.push(time.as_millis()));
        assert_eq!((took.as_slice(), versions.count()), ([3, 20, 10].as_slice(), 1));
        versions.received(8, 9, at(21), |time| took.push(time.as_millis()));
        assert_eq!((took.last(), versions.count()), (Some(&11), 0));
    }
}
