//! Accumulators from outside that are none.

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
