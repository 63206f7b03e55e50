//! Accumulators from outside that are none, and values that make none.

use super::table;
use crate::ErrorKind;
use crate::combine::{Count, CountingSum, Input, KeyHash, Merge, Mode, Put};

fn refuses<M: Merge>(mut merge: M, lengths: &[usize]) {
    let hash = KeyHash::with_seed(1);
    let (_ledger, _consumer, mut table) = table(0, &merge, hash);
    for is_known in [false, true] {
        for &len in lengths {
            table.reset(hash, Mode::Combine);
            if is_known {
                let put = table.put(b"key", Input::Value(&[0; 8]), &mut merge).unwrap();
                assert_eq!(put, Put::Done);
            }
            let put = table.put(b"key", Input::Accumulator(&vec![1; len]), &mut merge);
            let error = put.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{len} {is_known}");
        }
    }
}

#[test]
fn an_accumulator_of_another_length_is_refused_whether_its_key_is_known_or_not() {
    refuses(Count, &[0, 4, 7, 9, 16]);
    refuses(CountingSum, &[0, 3, 8, 15, 17, 32]);
}

#[test]
fn a_sum_that_does_not_fit_is_refused_with_what_to_do() {
    for (one, other) in [(i64::MAX, 1), (i64::MIN, -1)] {
        let (_ledger, _consumer, mut table) = table(0, &CountingSum, KeyHash::with_seed(1));
        let mut put =
            |value: i64| table.put(b"key", Input::Value(&value.to_le_bytes()), &mut CountingSum);
        assert_eq!(put(one).unwrap(), Put::Done);
        let error = put(other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("Aggregate::Sum"), "{error}");
    }
}
