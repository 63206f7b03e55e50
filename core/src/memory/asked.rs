//! Who was asked for memory already, so that nobody is asked in vain twice for one request.
//!
//! The list is the asking thread's own: a host that takes back in the middle of a request asks the
//! same consumers for itself, and a mark on them would be the last asker's alone. It lies on the
//! stack, for nothing may be allocated here.

/// Consumers or tasks, known by where they lie.
pub(super) struct Asked {
    places: [usize; ASKED_MAX],
    count: usize,
}

/// Whoever asks that many in vain stops asking.
const ASKED_MAX: usize = 256;

impl Asked {
    pub(super) const fn nobody() -> Self {
        Self { places: [0; ASKED_MAX], count: 0 }
    }

    pub(super) const fn add(&mut self, place: usize) {
        if self.count < ASKED_MAX {
            self.places[self.count] = place;
            self.count += 1;
        }
    }

    /// Whether it was asked, or nobody is to be asked any more.
    pub(super) fn has(&self, place: usize) -> bool {
        self.count == ASKED_MAX || self.places[..self.count].contains(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_ends() {
        let mut asked = Asked::nobody();
        let times = (1..=2 * ASKED_MAX).find(|place| {
            asked.add(*place);
            assert!(asked.has(*place));
            asked.has(usize::MAX)
        });
        assert_eq!(times, Some(ASKED_MAX));
        asked.add(usize::MAX);
    }
}
