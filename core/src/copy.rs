//! Copies of few bytes, of which there are many.

/// Values up to so many steps are copied step by step: for few bytes a call costs more than the copy.
const STEPS_MAX: usize = 8;

/// Copies `len` bytes in whole steps where both sides have room for them, so that what is behind them in `target`
/// is of no use until it is written itself.
#[inline]
pub(crate) fn copy_in_steps<const STEP: usize>(source: &[u8], len: usize, target: &mut [u8]) {
    let rounded = len.next_multiple_of(STEP);
    if len <= STEPS_MAX * STEP
        && let (Some(source), Some(target)) = (source.get(..rounded), target.get_mut(..rounded))
    {
        let steps = target.as_chunks_mut::<STEP>().0.iter_mut();
        for (target, source) in steps.zip(source.as_chunks::<STEP>().0) {
            *target = *source;
        }
    } else {
        target[..len].copy_from_slice(&source[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn copies_what_it_is_told(
            len in 0usize..400,
            (behind_source, behind_target) in (0usize..40, 0usize..40),
        ) {
            let source: Vec<u8> = (1..=u8::MAX).cycle().take(len + behind_source).collect();
            let mut target = vec![0; len + behind_target];
            copy_in_steps::<32>(&source, len, &mut target);
            prop_assert_eq!(&target[..len], &source[..len]);
        }
    }
}
