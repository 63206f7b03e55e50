//! Bounds against Spark's way over plain numbers; samples and ids against what they promise.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;

use super::*;
use crate::column::{ColumnView, Layout};
use crate::key::{SortColumn, SortKey, ViewRows};
use crate::memory::Consumer;
use crate::memory::MemoryLedger;

fn consumer() -> (MemoryLedger, Consumer) {
    let ledger = MemoryLedger::unlimited();
    let consumer = ledger.admit(1, 0).unwrap()[0].consumer("ranges");
    (ledger, consumer)
}

fn views(batch: &RecordBatch) -> (Layout, Vec<ColumnView>) {
    let layout = Layout::try_new(batch.schema()).unwrap();
    let views = layout.views(batch);
    (layout, views)
}

fn numbers(values: &[i64]) -> RecordBatch {
    let values = Int64Array::from(values.to_vec());
    RecordBatch::try_from_iter([("n", Arc::new(values) as _)]).unwrap()
}

/// Ids of the rows of a sample's own input.
fn ids(values: &[i64], partitions: u32, capacity: usize) -> (RangeBounds, Vec<u32>) {
    let (_ledger, consumer) = consumer();
    let batch = numbers(values);
    let (layout, views) = views(&batch);
    let key = SortKey::try_new(&layout, &[SortColumn::ascending(0)]).unwrap();
    let mut sample = RangeSample::try_new(&consumer, capacity, 5).unwrap();
    sample.add(&key, &ViewRows(&views), values.len()).unwrap();
    assert_eq!(sample.rows(), values.len() as u64);
    let bounds = RangeBounds::determine(&consumer, &[sample], partitions).unwrap();
    let mut out = vec![u32::MAX; values.len()];
    bounds.partition_ids(&key, &ViewRows(&views), 0, &mut out).unwrap();
    (bounds, out)
}

/// Spark's determineBounds over plain numbers.
fn naive_bounds(mut candidates: Vec<(i64, f64)>, partitions: u32) -> Vec<i64> {
    candidates.sort_by_key(|(value, _)| *value);
    let sum: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    let step = sum / f64::from(partitions);
    let (mut reached, mut target, mut bounds) = (0.0, step, Vec::new());
    for (value, weight) in candidates {
        if bounds.len() + 1 == partitions as usize {
            break;
        }
        reached += weight;
        if reached >= target && bounds.last().is_none_or(|last| value > *last) {
            bounds.push(value);
            target += step;
        }
    }
    bounds
}

proptest! {
    #[test]
    fn bounds_are_those_of_spark_and_ids_count_them(
        inputs in prop::collection::vec(prop::collection::vec(-20i64..20, 1..60), 1..5),
        partitions in 1u32..12,
    ) {
        let (_ledger, consumer) = consumer();
        let batches: Vec<RecordBatch> = inputs.iter().map(|values| numbers(values)).collect();
        let (layout, _) = views(&batches[0]);
        let key = SortKey::try_new(&layout, &[SortColumn::ascending(0)]).unwrap();
        // Room for every row: the sample is the input, weights are 1.
        let samples: Vec<RangeSample> = batches
            .iter()
            .map(|batch| {
                let mut sample = RangeSample::try_new(&consumer, 60, 1).unwrap();
                sample.add(&key, &ViewRows(&views(batch).1), batch.num_rows()).unwrap();
                sample
            })
            .collect();
        let bounds = RangeBounds::determine(&consumer, &samples, partitions).unwrap();
        let all: Vec<i64> = inputs.concat();
        let expected =
            naive_bounds(all.iter().map(|value| (*value, 1.0)).collect(), partitions);
        prop_assert_eq!(bounds.partitions() as usize, expected.len() + 1);
        let batch = numbers(&all);
        let mut ids = vec![0; all.len()];
        bounds.partition_ids(&key, &ViewRows(&views(&batch).1), 0, &mut ids).unwrap();
        for (value, id) in all.iter().zip(ids) {
            let below = expected.iter().filter(|bound| *bound < value).count();
            prop_assert_eq!(id as usize, below);
        }
    }
}

#[test]
fn a_sample_makes_partitions_of_about_one_size() {
    let values: Vec<i64> = (0..100_000i64).map(|n| n * 7919 % 100_003).collect();
    let (bounds, ids) = ids(&values, 20, 60 * 20);
    assert_eq!(bounds.partitions(), 20);
    let mut counts = vec![0; 20];
    for id in ids {
        counts[id as usize] += 1;
    }
    assert!(counts.iter().all(|count| (2_500..10_000).contains(count)), "{counts:?}");
}

#[test]
fn a_key_that_is_most_of_the_rows_is_one_bound() {
    let values: Vec<i64> = (0..50_000).map(|n| if n % 10 == 0 { n } else { 7 }).collect();
    let (bounds, ids) = ids(&values, 16, 1000);
    let sevens: Vec<u32> =
        values.iter().zip(&ids).filter(|(v, _)| **v == 7).map(|(_, id)| *id).collect();
    assert!(sevens.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(bounds.partitions() > 1 && bounds.partitions() <= 16);
    for place in 1..bounds.partitions() - 1 {
        assert!(bounds.bound(place - 1) < bounds.bound(place));
    }
}

#[test]
fn equal_rows_are_in_one_partition() {
    let (bounds, ids) = ids(&[3; 1000], 8, 100);
    assert_eq!((bounds.partitions(), ids.iter().max()), (2, Some(&0)));
}

#[test]
fn an_input_of_more_rows_weighs_more() {
    let (_ledger, consumer) = consumer();
    let (small, large) = (numbers(&[1_000_000; 10]), numbers(&(0..10_000).collect::<Vec<_>>()));
    let (layout, _) = views(&small);
    let key = SortKey::try_new(&layout, &[SortColumn::ascending(0)]).unwrap();
    let samples: Vec<RangeSample> = [small, large]
        .iter()
        .map(|batch| {
            let mut sample = RangeSample::try_new(&consumer, 10, 3).unwrap();
            sample.add(&key, &ViewRows(&views(batch).1), batch.num_rows()).unwrap();
            sample
        })
        .collect();
    let bounds = RangeBounds::determine(&consumer, &samples, 4).unwrap();
    let mut expected = vec![0; 8];
    let million = numbers(&[1_000_000]);
    let mut id = [0];
    bounds.partition_ids(&key, &ViewRows(&views(&million).1), 0, &mut id).unwrap();
    key.write_cut(&ViewRows(&views(&million).1), 0, &mut expected);
    // Ten rows of ten thousand are no reason for a bound of their own.
    assert!((0..3).all(|place| bounds.bound(place).is_none_or(|b| b < &expected[..])));
    assert_eq!(id[0], bounds.partitions() - 1);
}

#[test]
fn long_keys_are_cut_and_stay_in_order() {
    let (_ledger, consumer) = consumer();
    let text = |n: usize| format!("{}{:04}", "x".repeat(n % 3 * 40), n);
    let texts: StringArray = (0..3000).map(|n| Some(text(n))).collect();
    let batch = RecordBatch::try_from_iter([("t", Arc::new(texts) as _)]).unwrap();
    let (layout, views) = views(&batch);
    for columns in [[SortColumn::ascending(0)], [SortColumn::descending(0)]] {
        let key = SortKey::try_new(&layout, &columns).unwrap();
        let mut sample = RangeSample::try_new(&consumer, 500, 9).unwrap();
        sample.add(&key, &ViewRows(&views), 3000).unwrap();
        let bounds = RangeBounds::determine(&consumer, &[sample], 10).unwrap();
        let mut ids = vec![0; 3000];
        bounds.partition_ids(&key, &ViewRows(&views), 0, &mut ids).unwrap();
        let mut rows: Vec<usize> = (0..3000).collect();
        let views = ViewRows(&views);
        rows.sort_by(|one, other| key.compare((&views, *one), (&views, *other)));
        assert!(rows.windows(2).all(|pair| ids[pair[0]] <= ids[pair[1]]));
    }
}

#[test]
fn nothing_sampled_is_one_partition() {
    let (bounds, _) = ids(&[], 9, 4);
    assert_eq!(bounds.partitions(), 1);
    let (_ledger, consumer) = consumer();
    assert!(RangeBounds::determine(&consumer, &[], 0).is_err());
    assert!(RangeSample::try_new(&consumer, 0, 1).is_err());
}

/// Rows of another sort would go anywhere.
#[test]
fn keys_of_another_form_are_refused() {
    let (_ledger, consumer) = consumer();
    let numbers = numbers(&[5, 1, 3]);
    let texts: StringArray = ["a", "b", "c"].into_iter().map(Some).collect();
    let texts = RecordBatch::try_from_iter([("t", Arc::new(texts) as _)]).unwrap();
    let shorts = arrow_array::Int32Array::from(vec![5, 1, 3]);
    let shorts = RecordBatch::try_from_iter([("n", Arc::new(shorts) as _)]).unwrap();
    let nullable = Int64Array::from(vec![None, Some(1), Some(3)]);
    let nullable = RecordBatch::try_from_iter([("n", Arc::new(nullable) as _)]).unwrap();
    let up = SortColumn::ascending(0);
    let forms = [
        (&numbers, up),
        (&numbers, SortColumn::descending(0)),
        (&shorts, up),
        (&texts, up),
        (&nullable, up),
        (&nullable, SortColumn { nulls_last: true, ..up }),
    ];
    for (at, (batch, column)) in forms.iter().enumerate() {
        let (layout, sampled) = views(batch);
        let key = SortKey::try_new(&layout, &[*column]).unwrap();
        for (other_at, (other, column)) in forms.iter().enumerate() {
            let mut sample = RangeSample::try_new(&consumer, 3, 1).unwrap();
            sample.add(&key, &ViewRows(&sampled), 3).unwrap();
            let (layout, others) = views(other);
            let other = SortKey::try_new(&layout, &[*column]).unwrap();
            let added = sample.add(&other, &ViewRows(&others), 3);
            assert_eq!(added.is_ok(), at == other_at, "{at} {other_at}");
            let mut of_other = RangeSample::try_new(&consumer, 3, 1).unwrap();
            of_other.add(&other, &ViewRows(&others), 3).unwrap();
            let nothing = RangeSample::try_new(&consumer, 3, 1).unwrap();
            let both = RangeBounds::determine(&consumer, &[of_other, nothing, sample], 2);
            assert_eq!(both.is_ok(), at == other_at, "{at} {other_at}");

            let mut sample = RangeSample::try_new(&consumer, 3, 1).unwrap();
            sample.add(&key, &ViewRows(&sampled), 3).unwrap();
            let bounds = RangeBounds::determine(&consumer, &[sample], 2).unwrap().to_bytes();
            let bounds = RangeBounds::try_from_bytes(&consumer, &bounds).unwrap();
            let placed = bounds.partition_ids(&other, &ViewRows(&others), 0, &mut [0; 3]);
            assert_eq!(placed.is_ok(), at == other_at, "{at} {other_at}");
        }
    }
}

#[test]
fn samples_and_bounds_go_through_bytes_and_damage_is_noticed() {
    let (ledger, consumer) = consumer();
    let values: Vec<i64> = (0..500).map(|n| n * 37 % 91).collect();
    let batch = numbers(&values);
    let (layout, views) = views(&batch);
    let key = SortKey::try_new(&layout, &[SortColumn::descending(0)]).unwrap();
    let mut sample = RangeSample::try_new(&consumer, 40, 5).unwrap();
    let empty = sample.to_bytes();
    assert_eq!(empty.len(), 32, "what is more than the keys");
    assert_eq!(RangeSample::try_from_bytes(&consumer, &empty).unwrap().keys(), 0);
    sample.add(&key, &ViewRows(&views), values.len()).unwrap();
    let sent = sample.to_bytes();
    let received = RangeSample::try_from_bytes(&consumer, &sent).unwrap();
    assert_eq!((received.rows(), received.keys()), (500, 40));
    assert_eq!(received.to_bytes(), sent);

    let here = RangeBounds::determine(&consumer, &[sample], 7).unwrap();
    let there = RangeBounds::determine(&consumer, &[received], 7).unwrap();
    let bounds = here.to_bytes();
    assert_eq!(there.to_bytes(), bounds);
    let again = RangeBounds::try_from_bytes(&consumer, &bounds).unwrap();
    let (mut expected, mut found) = (vec![0; 500], vec![0; 500]);
    here.partition_ids(&key, &ViewRows(&views), 0, &mut expected).unwrap();
    again.partition_ids(&key, &ViewRows(&views), 0, &mut found).unwrap();
    assert_eq!(found, expected);
    assert_eq!(again.partitions(), here.partitions());

    // However many rows a sample says it is of.
    let mut many = sent[..sent.len() - 4].to_vec();
    many[12..20].fill(0xff);
    many.extend_from_slice(&crc32c::crc32c(&many).to_le_bytes());
    let mut many = RangeSample::try_from_bytes(&consumer, &many).unwrap();
    many.add(&key, &ViewRows(&views), values.len()).unwrap();
    assert_eq!((many.rows(), many.keys()), (u64::MAX, 40));

    // One partition has no bound.
    let one = RangeBounds::determine(
        &consumer,
        &[RangeSample::try_from_bytes(&consumer, &sent).unwrap()],
        1,
    );
    let one = RangeBounds::try_from_bytes(&consumer, &one.unwrap().to_bytes()).unwrap();
    assert_eq!(one.partitions(), 1);

    // Neither is the other, and no bit of either may change, nor its length.
    assert!(RangeBounds::try_from_bytes(&consumer, &sent).is_err());
    assert!(RangeSample::try_from_bytes(&consumer, &bounds).is_err());
    for len in 0..bounds.len() {
        assert!(RangeBounds::try_from_bytes(&consumer, &bounds[..len]).is_err());
    }
    for bit in 0..8 * bounds.len() {
        let mut damaged = bounds.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = RangeBounds::try_from_bytes(&consumer, &damaged).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    }
    // What the checksum vouches for is looked at all the same.
    let forged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut forged = bounds[..bounds.len() - 4].to_vec();
        change(&mut forged);
        forged.extend_from_slice(&crc32c::crc32c(&forged).to_le_bytes());
        let before = ledger.peak_granted();
        let error = RangeBounds::try_from_bytes(&consumer, &forged).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{error}");
        assert!(ledger.peak_granted() <= before + 100 * 65, "a claim is no reason for memory");
    };
    forged(&|bytes| bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes()));
    forged(&|bytes| bytes[8] += 1);
    forged(&|bytes| bytes[8] -= 1);
    forged(&|bytes| bytes[28] = 200);
    forged(&|bytes| bytes[20..28].fill(0));
    forged(&|bytes| *bytes.last_mut().unwrap() = 0);
    forged(&|bytes| bytes[4] = 2);
}
