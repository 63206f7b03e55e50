//! The names of files in spill and output directories.
//!
//! `.bywash-<token>/` is a process's session, `lock` the file it holds, `run-<n>` a spilled run in
//! it; `<map>.<attempt>.<token>.data` and `<map>.index` are a map output. A token is 16 lower-case
//! hex digits; numbers are decimal without leading zeros, so that each name has one spelling.

use std::fmt;

use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};

use crate::store::Name;

/// What makes the names of one session unique: 64 random bits, never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// A new token from the system's random numbers.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0; 8];
        let filled = rustix::io::retry_on_intr(|| {
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        });
        match filled {
            Ok(8) => Ok(Self(u64::from_le_bytes(bytes))),
            Ok(_) => Err(NO_RANDOM),
            Err(errno) => Err(NO_RANDOM.with_os_error(errno.raw_os_error())),
        }
    }

    /// The token of a session directory's name.
    pub(crate) fn of_session(name: &Name) -> Option<Self> {
        Self::parse(name.as_str().strip_prefix(SESSION_PREFIX)?)
    }

    /// The name of its session directory.
    pub(crate) fn session_name(self) -> Result<Name> {
        Name::format(format_args!("{SESSION_PREFIX}{self}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != TOKEN_DIGITS || !text.bytes().all(hex) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the name of a data file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataName {
    pub(crate) map: MapId,
    pub(crate) attempt: AttemptId,
    pub(crate) token: Token,
}

impl DataName {
    pub(crate) fn parse(name: &Name) -> Option<Self> {
        let mut parts = name.as_str().strip_suffix(DATA_SUFFIX)?.split('.');
        let map = MapId(parts.next()?.parse().ok()?);
        let attempt = AttemptId(parts.next()?.parse().ok()?);
        let token = Token::parse(parts.next()?)?;
        let parsed = Self { map, attempt, token };
        // Comparing the spelling refuses signs, leading zeros and further parts.
        (parsed.name().ok()? == *name).then_some(parsed)
    }

    pub(crate) fn name(self) -> Result<Name> {
        let Self { map, attempt, token } = self;
        Name::format(format_args!("{map}.{attempt}.{token}{DATA_SUFFIX}"))
    }
}

/// The name of a map's index, whose presence is what commits it. Needs no memory.
pub fn index_name(map: MapId) -> Result<Name> {
    Name::format(format_args!("{map}.index"))
}

/// The file a session holds locked.
pub(crate) const LOCK: Name = Name::literal("lock");

const SESSION_PREFIX: &str = ".bywash-";
const DATA_SUFFIX: &str = ".data";
const TOKEN_DIGITS: usize = 16;
const NO_RANDOM: Error =
    Error::new(ErrorKind::Unavailable, "the system gave no random bytes for a session's name");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_data_name_fits() {
        let data =
            DataName { map: MapId(u64::MAX), attempt: AttemptId(u64::MAX), token: Token(u64::MAX) };
        let name = data.name().unwrap();
        assert_eq!(name.as_bytes().len(), Name::LEN_MAX);
        assert_eq!(DataName::parse(&name), Some(data));
    }

    #[test]
    fn only_the_one_spelling_is_read() {
        let token = "00112233445566ff";
        assert!(
            DataName::parse(&Name::format(format_args!("1.0.{token}.data")).unwrap()).is_some()
        );
        for wrong in
            ["01.0.T.data", "1.00.T.data", "1.0.T.x.data", "1.T.data", "1.0.T", "a.0.T.data"]
        {
            let name = Name::new(&wrong.replace('T', token)).unwrap();
            assert_eq!(DataName::parse(&name), None, "{name}");
        }
        let upper = Name::new("1.0.00112233445566FF.data").unwrap();
        assert_eq!(DataName::parse(&upper), None);
        let session = Token(0x12).session_name().unwrap();
        assert_eq!(session.as_str(), ".bywash-0000000000000012");
        assert_eq!(Token::of_session(&session), Some(Token(0x12)));
        assert_eq!(Token::of_session(&Name::new(".bywash-12").unwrap()), None);
        assert_eq!(index_name(MapId(7)).unwrap().as_str(), "7.index");
    }
}
