//! Bytes of several kinds.

use crate::records;

/// Bytes to be compressed.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

const VALUES: usize = 4 << 20;

impl Input {
    /// All kinds.
    pub(crate) fn all() -> Vec<Self> {
        let mut random = records::SplitMix::new(42);
        let mut below = |n: u64| (random.next() >> 32) % n;
        let dates = (0..VALUES).flat_map(|_| (8000 + below(2526) as i32).to_le_bytes()).collect();
        let mut key = 0;
        let keys = (0..VALUES).flat_map(|_| {
            key += i64::from(below(4) == 0);
            key.to_le_bytes()
        });
        let keys = keys.collect();
        let lengths = (0..VALUES).flat_map(|_| (10 + below(34) as u32).to_le_bytes()).collect();
        let mut words = Vec::new();
        while words.len() < 4 * VALUES {
            words.extend_from_slice(WORDS[below(WORDS.len() as u64) as usize].as_bytes());
            words.push(b' ');
        }
        let source = include_bytes!("../../Cargo.lock").repeat(100);
        vec![
            Self { name: "records, as a block of a partition has them", bytes: records() },
            Self { name: "dates (int32)", bytes: dates },
            Self { name: "rising keys (int64)", bytes: keys },
            Self { name: "lengths (int32)", bytes: lengths },
            Self { name: "words", bytes: words },
            Self { name: "a lock file", bytes: source },
        ]
    }
}

/// Every 200th, then every 200th from the second on, and so forth.
fn records() -> Vec<u8> {
    let pool = records::pool(1 << 18);
    let records: Vec<_> = pool.chunks(records::RECORD_BYTES).collect();
    (0..200)
        .flat_map(|first| records.iter().skip(first).step_by(200))
        .copied()
        .flatten()
        .copied()
        .collect()
}

const WORDS: [&str; 32] = [
    "furiously",
    "carefully",
    "quickly",
    "blithely",
    "slyly",
    "even",
    "final",
    "ironic",
    "regular",
    "special",
    "express",
    "pending",
    "bold",
    "silent",
    "unusual",
    "accounts",
    "deposits",
    "packages",
    "requests",
    "instructions",
    "theodolites",
    "foxes",
    "pinto",
    "beans",
    "sleep",
    "haggle",
    "nag",
    "wake",
    "cajole",
    "among",
    "above",
    "the",
];
