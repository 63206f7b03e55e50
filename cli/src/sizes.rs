//! Byte sizes as people write them: parsing for arguments and printing for reports.
//!
//! `KiB`, `MiB`, `GiB`, `TiB` and the bare letters `k`, `m`, `g`, `t` are powers of 1024; `KB`, `MB`,
//! `GB`, `TB` are powers of 1000; a plain number is bytes. Case and one space do not matter.

/// Parses a byte size; the error says what would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("`{text}` is not a size; write a whole number and a unit, as in 64MiB, 2GB or 512k")
    };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let factor = unit_factor(unit.trim_start()).ok_or_else(wrong)?;
    if number.is_empty() {
        return Err(wrong());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is too large; the largest size is below 16777216TiB"))
}

/// Parses a byte size above zero.
pub fn parse_positive_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("a size of zero holds nothing; give a size such as 64MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A byte count with a binary unit and one decimal: `1.5 MiB`.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = UNITS[0];
    let mut divisor = 1024u64;
    for next in &UNITS[1..] {
        if bytes / divisor < 1024 {
            break;
        }
        unit = next;
        divisor *= 1024;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(divisor);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn unit_factor(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512k", 512 << 10),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("2GB", 2_000_000_000),
            ("3g", 3 << 30),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn says_what_would_be_right() {
        for text in ["", "MiB", "1.5GiB", "-1", "64 furlongs", "0x10"] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains("64MiB"), "{error}");
        }
        assert!(parse_size("99999999999999999999").unwrap_err().contains("too large"));
        assert!(parse_size("16777216TiB").unwrap_err().contains("too large"));
        assert!(parse_positive_size("0").is_err());
    }

    #[test]
    fn prints_one_decimal() {
        assert_eq!(human_size(1023), "1023 B");
        assert_eq!(human_size(1536), "1.5 KiB");
        assert_eq!(human_size(64 << 20), "64.0 MiB");
        assert_eq!(human_size(u64::MAX), "16777215.9 TiB");
    }
}
