//! Who held how much when the most was granted, kept exactly at constant cost.
//!
//! A peak is a point in time; each name's figure of that time is saved when it first changes
//! afterwards.

/// Names told apart; consumers with later ones share one entry.
const NAMES_MAX: usize = 32;

/// Granted bytes by consumer name, now and at the peak.
#[derive(Debug)]
pub(super) struct PeakByName {
    entries: [Entry; NAMES_MAX],
    names: usize,
    peak: u64,
    /// Counts peaks.
    epoch: u64,
    /// Granted to those who sleep, and in no name's figure yet, when the peak was reached.
    uncollected_at_peak: u64,
}

/// A name's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameIndex(usize);

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: &'static str,
    granted: u64,
    /// What it was when the peak numbered `epoch` was reached.
    at_peak: u64,
    epoch: u64,
}

impl PeakByName {
    pub(super) const fn new() -> Self {
        let entry = Entry { name: "other", granted: 0, at_peak: 0, epoch: 0 };
        Self { entries: [entry; NAMES_MAX], names: 0, peak: 0, epoch: 0, uncollected_at_peak: 0 }
    }

    pub(super) fn index_of(&mut self, name: &'static str) -> NameIndex {
        if let Some(known) = self.entries[..self.names].iter().position(|entry| entry.name == name)
        {
            return NameIndex(known);
        }
        if self.names < NAMES_MAX - 1 {
            self.entries[self.names].name = name;
            self.names += 1;
        } else {
            // The last entry is for all that find no place.
            self.names = NAMES_MAX;
        }
        NameIndex(self.names - 1)
    }

    /// Counts a grant; see [`PeakByName::reached`] for the sums afterwards.
    pub(super) fn add(&mut self, index: NameIndex, bytes: u64, granted: u64, uncollected: u64) {
        self.change(index, |now| now.saturating_add(bytes));
        self.reached(granted, uncollected);
    }

    /// `granted` is the sum over all names, of what is exported and of what is uncollected.
    pub(super) const fn reached(&mut self, granted: u64, uncollected: u64) {
        if granted > self.peak {
            self.peak = granted;
            self.epoch += 1;
            self.uncollected_at_peak = uncollected;
        }
    }

    pub(super) fn sub(&mut self, index: NameIndex, bytes: u64) {
        self.change(index, |now| now.saturating_sub(bytes));
    }

    fn change(&mut self, index: NameIndex, change: impl FnOnce(u64) -> u64) {
        let entry = &mut self.entries[index.0];
        if entry.epoch != self.epoch {
            entry.epoch = self.epoch;
            entry.at_peak = entry.granted;
        }
        entry.granted = change(entry.granted);
    }

    /// The most that was ever granted at once.
    pub(super) const fn peak(&self) -> u64 {
        self.peak
    }

    /// Who held it, largest first.
    pub(super) fn breakdown(&self) -> Vec<(&'static str, u64)> {
        let named = self.entries[..self.names].iter().map(|entry| {
            let changed_since = entry.epoch == self.epoch;
            (entry.name, if changed_since { entry.at_peak } else { entry.granted })
        });
        let mut held: Vec<_> = named.collect();
        // What no name held was with buffers: counted without a lock, it is known as the rest only.
        let named: u64 = held.iter().map(|(_, bytes)| bytes).sum();
        let rest = self.peak.saturating_sub(named);
        held.push(("exported", rest.saturating_sub(self.uncollected_at_peak)));
        held.push(("granted to waiters", rest.min(self.uncollected_at_peak)));
        held.retain(|(_, bytes)| *bytes > 0);
        held.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_who_held_the_peak() {
        let mut peak = PeakByName::new();
        let (writer, reader) = (peak.index_of("writer"), peak.index_of("reader"));
        assert_eq!(peak.index_of("writer"), writer);
        peak.add(writer, 10, 10, 0);
        peak.add(reader, 5, 15, 0);
        peak.sub(writer, 10);
        peak.add(reader, 4, 9, 0);
        assert_eq!((peak.peak(), peak.breakdown()), (15, vec![("writer", 10), ("reader", 5)]));
        peak.add(writer, 8, 20, 0);
        peak.sub(reader, 9);
        let held = vec![("reader", 9), ("writer", 8), ("exported", 3)];
        assert_eq!((peak.peak(), peak.breakdown()), (20, held));
        peak.reached(30, 7);
        peak.add(reader, 5, 28, 2);
        let held = vec![("exported", 15), ("writer", 8), ("granted to waiters", 7)];
        assert_eq!((peak.peak(), peak.breakdown()), (30, held));
    }

    #[test]
    fn names_without_a_place_share_one() {
        let mut peak = PeakByName::new();
        let names: Vec<&'static str> = vec![
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t", "u", "v", "w", "x", "y", "z", "1", "2", "3", "4", "5", "6", "7",
        ];
        let places: Vec<NameIndex> = names.iter().map(|name| peak.index_of(name)).collect();
        assert_eq!(places[31], places[32]);
        peak.add(places[31], 1, 1, 0);
        peak.add(places[32], 1, 2, 0);
        assert_eq!(peak.breakdown(), vec![("other", 2)]);
        assert_eq!(peak.index_of("a"), places[0]);
    }
}
