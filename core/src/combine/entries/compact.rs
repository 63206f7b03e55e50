//! Moving entries together, over those that were replaced.

use super::super::entry::{Header, Place};
use super::Entries;

impl Entries {
    /// Slides entries towards the first area over those that were replaced, and gives back the areas
    /// that this leaves without any. All places change. Needs no memory: every entry fits into any
    /// area, so none moves beyond where it was.
    pub(in super::super) fn compact(&mut self) {
        let (mut to_area, mut to) = (0, 0);
        for from_area in 0..self.shared.len() {
            let mut from = 0;
            while from < self.shared[from_area].used {
                let Some(area) = self.shared[from_area].area.as_ref() else {
                    break;
                };
                let header = Header::read(&area[from..]);
                let bytes = header.bytes();
                if !header.is_dead {
                    let room = self.shared[to_area].area.as_ref().map_or(0, |area| area.len());
                    if to_area < from_area && room - to < bytes {
                        self.shared[to_area].used = to;
                        (to_area, to) = (to_area + 1, 0);
                    }
                    if (from_area, from) != (to_area, to) {
                        self.slide((from_area, from), (to_area, to), bytes);
                    }
                    to += bytes;
                }
                from += bytes;
            }
        }
        self.shared[to_area].used = to;
        while self.shared.len() > to_area + 1 {
            drop(self.shared.pop());
        }
        self.open = to_area;
        self.used_bytes = self.shared.iter().map(|shared| shared.used).sum();
        self.dead_bytes = 0;
    }

    /// Copies an entry towards the start, maybe over a part of itself.
    fn slide(&mut self, (from_area, from): (usize, usize), to: (usize, usize), bytes: usize) {
        let (to_area, to) = to;
        if from_area == to_area {
            if let Some(area) = self.shared[from_area].area.as_mut() {
                area.copy_within(from..from + bytes, to);
            }
            return;
        }
        let source = Place::Shared { area: from_area, offset: from };
        let target = Place::Shared { area: to_area, offset: to };
        if let Some((source, target)) = self.pair_mut(source, target) {
            target[..bytes].copy_from_slice(&source[..bytes]);
        }
    }
}
