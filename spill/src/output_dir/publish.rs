//! The ways in which a finished file gets its name, none of which replaces what is there.

use bywash_core::{Error, ErrorKind, Result};

use crate::session::Session;
use crate::store::{Name, Publish, Store, StoreFile};

/// A way that this filesystem supports, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublishWay {
    /// An unnamed file is linked: a crash leaves nothing.
    LinkUnnamed,
    /// A file of the session is moved.
    Rename,
    /// A file of the session gets a second name and loses the first.
    HardLink,
}

impl PublishWay {
    /// Tries each way inside the session.
    pub(super) fn probe(store: &dyn Store, session: &Session) -> Result<Self> {
        let parent = session.parent();
        if let Some(file) = supported(store.create_unnamed(parent))?
            && supported(store.link_unnamed(&file, session.dir(), &PROBE))?.is_some()
        {
            store.remove(session.dir(), &PROBE)?;
            return Ok(Self::LinkUnnamed);
        }
        let from = session.dir();
        let file: Option<StoreFile> = store.create_new(from, &PROBE)?;
        drop(file);
        // Inside the session, so that nobody sees it: its parent is on the same filesystem.
        if supported(store.rename_noreplace(from, &PROBE, from, &PROBE_TO))?.is_some() {
            store.remove(from, &PROBE_TO)?;
            return Ok(Self::Rename);
        }
        if supported(store.hard_link(from, &PROBE, from, &PROBE_TO))?.is_some() {
            store.remove(from, &PROBE_TO)?;
            store.remove(from, &PROBE)?;
            return Ok(Self::HardLink);
        }
        Err(NO_WAY.at(parent.path()))
    }
}

/// What a filesystem can do: `None` for what it cannot.
fn supported<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// What came of giving a name, when the system may have done it and said otherwise.
pub(super) enum Outcome {
    Known(Result<Publish>),
    /// It failed, and whether the name is there could not be found out.
    InDoubt(Error),
}

/// Makes sure of an outcome: a network filesystem may repeat a request whose answer was lost, and
/// then reports the name that it just gave as taken, or its source as missing.
pub(super) fn verified(
    reported: Result<Publish>,
    is_linked: impl FnOnce() -> Result<bool>,
) -> Outcome {
    match reported {
        Ok(Publish::Done) => Outcome::Known(Ok(Publish::Done)),
        other => match (is_linked(), other) {
            (Ok(true), _) => Outcome::Known(Ok(Publish::Done)),
            (Ok(false), other) => Outcome::Known(other),
            (Err(_), Err(error)) | (Err(error), Ok(_)) => Outcome::InDoubt(error),
        },
    }
}

const PROBE: Name = Name::literal("probe");
const PROBE_TO: Name = Name::literal("probe-to");
const NO_WAY: Error = Error::new(
    ErrorKind::Unsupported,
    "the filesystem can neither link files nor rename them without replacing, and a map output \
     needs one of them; use another directory",
);

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Error = Error::new(ErrorKind::Io, "failed");

    /// A lost answer, repeated by the filesystem, reports our own name as taken. If looking it up
    /// fails too, nobody knows whose it is, and a commit's data must not be taken away.
    #[test]
    fn a_taken_name_that_cannot_be_looked_up_is_in_doubt() {
        let taken = || Ok(Publish::AlreadyExists);
        assert!(matches!(verified(taken(), || Err(FAILED)), Outcome::InDoubt(_)));
        assert!(matches!(
            verified(taken(), || Ok(false)),
            Outcome::Known(Ok(Publish::AlreadyExists))
        ));
        for reported in [taken(), Err(FAILED)] {
            let ours = verified(reported, || Ok(true));
            assert!(matches!(ours, Outcome::Known(Ok(Publish::Done))));
        }
        assert!(matches!(verified(Err(FAILED), || Ok(false)), Outcome::Known(Err(_))));
        assert!(matches!(verified(Err(FAILED), || Err(FAILED)), Outcome::InDoubt(_)));
    }
}
