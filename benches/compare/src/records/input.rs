//! The records written: a recipe, so that Java makes the same ones (`spark/RecordsHarness.java`).
//!
//! 104 bytes each: two integers, the length of a payload and a payload of 84 bytes that compresses by half. They
//! come from a pool of 2^20, over and over, so that making them is not in the time; no block sees one twice.

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 104;
/// Records that differ.
const POOL_RECORDS: usize = 1 << 20;
/// Records of a call.
const CALL_RECORDS: usize = 8192;
/// What half of a payload is: one of so many phrases.
const PHRASES: usize = 64;
const HALF_BYTES: usize = 42;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The records and where each goes.
#[derive(Debug)]
pub(crate) struct Input {
    pool: Vec<u8>,
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    lengths: Vec<u32>,
}

/// The records of one call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) base: &'a [u8],
    pub(crate) offsets: &'a [u64],
    pub(crate) lengths: &'a [u32],
    pub(crate) partitions: &'a [u32],
}

impl Input {
    /// `rows` records; their partitions are the high halves of a random stream modulo `partitions`.
    pub(crate) fn new(rows: usize, partitions: u32) -> Self {
        let mut random = SplitMix(42);
        let of_record = |_| ((random.next() >> 32) % u64::from(partitions)) as u32;
        Self {
            pool: pool(rows.min(POOL_RECORDS)),
            partitions: (0..rows).map(of_record).collect(),
            offsets: (0..CALL_RECORDS).map(|record| (record * RECORD_BYTES) as u64).collect(),
            lengths: vec![RECORD_BYTES as u32; CALL_RECORDS],
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.partitions.len()
    }

    /// All records in order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        // A call ends with the pool; both are powers of two, or there is one round.
        let bases = self.pool.chunks(CALL_RECORDS * RECORD_BYTES).cycle();
        self.partitions.chunks(CALL_RECORDS).zip(bases).map(|(partitions, base)| Call {
            base: &base[..partitions.len() * RECORD_BYTES],
            offsets: &self.offsets[..partitions.len()],
            lengths: &self.lengths[..partitions.len()],
            partitions,
        })
    }
}

/// What the records of all partitions come to: blind to their order within one.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    all: u64,
    partition: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, record: &[u8]) {
        let words = record.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        self.partition = self.partition.wrapping_add(words.fold(0, turn));
    }

    pub(crate) fn end_partition(&mut self) {
        self.all = turn(self.all, std::mem::take(&mut self.partition));
    }

    pub(crate) fn value(&self) -> u64 {
        self.all
    }
}

fn turn(digest: u64, word: u64) -> u64 {
    (digest.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER)
}

/// So many records, one after another.
pub(crate) fn pool(records: usize) -> Vec<u8> {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = SplitMix(7);
    let mut text =
        || -> [u8; HALF_BYTES] { std::array::from_fn(|_| BASE64[(random.next() >> 58) as usize]) };
    let phrases: Vec<_> = (0..PHRASES).map(|_| text()).collect();
    let mut pool = Vec::with_capacity(records * RECORD_BYTES);
    for record in 0..records as u64 {
        pool.extend((record.wrapping_mul(MULTIPLIER) >> 1).to_le_bytes());
        pool.extend(record.to_le_bytes());
        pool.extend(84u32.to_le_bytes());
        pool.extend(text());
        pool.extend(phrases[(record.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 58) as usize]);
    }
    pool
}

/// A random stream.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(MULTIPLIER);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}
