//! The small grammars of /proc and cgroup files: numbers, `key value`, `Key: value kB`.
//!
//! What is parsed was written by somebody else: whatever does not fit is [`Odd`], never a panic.

/// What is wrong with a line; the reader of the file adds its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Odd(pub(crate) &'static str);

/// A decimal number and nothing else.
pub(crate) fn number(bytes: &[u8]) -> Result<u64, Odd> {
    if bytes.is_empty() {
        return Err(Odd("a number is missing"));
    }
    bytes.iter().try_fold(0u64, |value, &byte| {
        if !byte.is_ascii_digit() {
            return Err(Odd("a number has something else in it"));
        }
        value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(byte - b'0')))
            .ok_or(Odd("a number is above 64 bits"))
    })
}

/// A number, or `max` for none.
pub(crate) fn number_or_max(bytes: &[u8]) -> Result<Option<u64>, Odd> {
    if bytes == b"max" { Ok(None) } else { number(bytes).map(Some) }
}

/// The value of `line` if it is `key value`; `None` for another key, whatever follows it.
pub(crate) fn keyed(line: &[u8], key: &[u8]) -> Result<Option<u64>, Odd> {
    match line.strip_prefix(key).and_then(|rest| rest.strip_prefix(b" ")) {
        Some(value) => number(value).map(Some),
        None => Ok(None),
    }
}

/// The bytes of `line` if it is `Key:   value kB`; `None` for another key.
pub(crate) fn kibibytes(line: &[u8], key: &[u8]) -> Result<Option<u64>, Odd> {
    let Some(rest) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(b":")) else {
        return Ok(None);
    };
    let value = rest.trim_ascii().strip_suffix(b" kB").ok_or(Odd("a size is not in kB"))?;
    let bytes = number(value.trim_ascii())?.checked_mul(1024);
    bytes.map(Some).ok_or(Odd("a size is above 64 bits"))
}

/// A percentage with two decimals, in hundredths of a percent.
pub(crate) fn hundredths(bytes: &[u8]) -> Result<u64, Odd> {
    let odd = Odd("a percentage is not written as 0.00");
    let point = bytes.iter().position(|&byte| byte == b'.').ok_or(odd)?;
    let (whole, rest) = bytes.split_at(point);
    let decimals = rest.get(1..).filter(|decimals| decimals.len() == 2).ok_or(odd)?;
    let whole = number(whole)?;
    if whole > 100 {
        return Err(Odd("a percentage is above 100"));
    }
    Ok(whole * 100 + number(decimals)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_at_64_bits() {
        assert_eq!(number(b"18446744073709551615"), Ok(u64::MAX));
        for odd in [&b"18446744073709551616"[..], b"", b"-1", b"1 ", b"0x1", b"\xff"] {
            number(odd).unwrap_err();
        }
        assert_eq!(number_or_max(b"max"), Ok(None));
    }

    #[test]
    fn keys_match_whole_words_only() {
        assert_eq!(keyed(b"oom_kill 3", b"oom"), Ok(None));
        assert_eq!(keyed(b"oom 3", b"oom"), Ok(Some(3)));
        assert_eq!(
            kibibytes(b"MemTotal:       24684092 kB", b"MemTotal"),
            Ok(Some(25_276_510_208))
        );
        kibibytes(b"MemTotal: 1 MB", b"MemTotal").unwrap_err();
        kibibytes(b"MemTotal: 18446744073709551615 kB", b"MemTotal").unwrap_err();
    }

    #[test]
    fn percentages_have_two_decimals() {
        assert_eq!(hundredths(b"4.07"), Ok(407));
        assert_eq!(hundredths(b"100.00"), Ok(10_000));
        for odd in [&b"4"[..], b"4.1", b".10", b"101.00", b"4.100"] {
            hundredths(odd).unwrap_err();
        }
    }
}
