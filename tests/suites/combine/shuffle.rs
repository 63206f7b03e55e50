//! Map-side and reduce-side combine around a shuffle: combine, partition, read, combine again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    AttemptId, ChargeMode, CombineSpec, CountingSum, KeyValues, MapId, MemoryLedger, Partitioning,
    ShuffleSpec, ShuffleWriter, Slices, minimum_budget,
};
use bywash_tests::case::admit;
use bywash_tests::combine::{Keys, combiner, oracle, records, write_all};
use bywash_tests::dirs::Dirs;
use bywash_tests::seed::{Rng, run_seed};

#[test]
fn groups_survive_a_shuffle() {
    let fields = ["key", "value"].map(|name| Field::new(name, DataType::Binary, false));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let shuffle = ShuffleSpec::new(Arc::clone(&schema), 5, Partitioning::Hash(vec![0])).unwrap();
    let spec = CombineSpec::new();
    let minimum = minimum_budget(&shuffle, 1).unwrap() + spec.minimum_budget(&CountingSum).unwrap();
    let ledger = MemoryLedger::new(4 * minimum);
    let dirs = Dirs::new();
    let mut rng = Rng::new(run_seed());
    let mut expected = BTreeMap::<Vec<u8>, (i64, u64)>::new();
    let mut outputs = Vec::new();
    for map in 0..3 {
        let mut records = records(&mut rng, 40_000, Keys::Zipf(30_000), 0);
        for (_, value) in &mut records {
            *value = rng.within(0, 1000).to_le_bytes().to_vec();
        }
        for (key, values) in oracle(&records) {
            let group = expected.entry(key).or_default();
            group.1 += values.len() as u64;
            let word = |value: Vec<u8>| i64::from_le_bytes(value.try_into().unwrap());
            group.0 += values.into_iter().map(word).sum::<i64>();
        }
        let task = admit(&ledger, minimum).unwrap();
        let mut combiner = combiner(&spec, CountingSum, &task, &dirs).unwrap();
        write_all(&mut combiner, &records, 1000).unwrap();
        let mut combined = combiner.finish().unwrap();
        let (map, attempt) = (MapId(map), AttemptId(0));
        let mut writer =
            ShuffleWriter::new(&shuffle, &task, &dirs.spill, &dirs.out, map, attempt).unwrap();
        while let Some(batch) = combined.next_batch().unwrap() {
            let keys = BinaryArray::from_iter_values(batch.iter().map(|(key, _)| key));
            let values = BinaryArray::from_iter_values(batch.iter().map(|(_, value)| value));
            let columns: [ArrayRef; 2] = [Arc::new(keys), Arc::new(values)];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns.to_vec()).unwrap();
            writer.write(&batch).unwrap();
        }
        drop(combined);
        outputs.push(writer.finish().unwrap());
    }
    let reducer = MemoryLedger::new(spec.minimum_budget(&CountingSum).unwrap() + (4 << 20));
    for partition in 0..5 {
        let task = admit(&reducer, 0).unwrap();
        let mut combiner = combiner(&spec, CountingSum, &task, &dirs).unwrap();
        for output in &outputs {
            for batch in output.read(partition, &task, ChargeMode::Ledger).unwrap() {
                let batch = batch.unwrap();
                let slices = |column: usize| {
                    let column = batch.column(column).as_binary::<i32>();
                    Slices::Offsets { bytes: column.value_data(), offsets: column.value_offsets() }
                };
                let records = KeyValues::try_new(slices(0), slices(1)).unwrap();
                combiner.write_accumulators(&records).unwrap();
            }
        }
        combiner
            .finish()
            .unwrap()
            .drain_into(|batch| {
                for (key, value) in batch.iter() {
                    let (sum, count) = expected.remove(key).expect("a group of one partition");
                    assert_eq!(value[..8], sum.to_le_bytes());
                    assert_eq!(value[8..], count.to_le_bytes());
                }
                Ok(())
            })
            .unwrap();
    }
    assert!(expected.is_empty());
}
