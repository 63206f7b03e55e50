//! Removing a committed output: asked to, or because a new attempt finds it damaged.
//!
//! The index goes first: from then on there is no output. Its data goes next; where that fails, or
//! a crash comes between, it is data that no index names, and the next sweep's.

use std::sync::Arc;

use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};

use super::{DataFile, IndexHeader, open_data};
use crate::names::index_name;
use crate::output_dir::{OutputDir, Rounds, Withdrawn};
use crate::store::{Name, StoreFile};

impl OutputDir {
    /// Removes the committed output of `map`, so that a new attempt can commit another: for damage
    /// that only readers find. Says whether this call removed one; none there is fine. With `only`,
    /// an output of another attempt stays; an index that does not say whose it is goes.
    ///
    /// The output is there, whole, or gone, also when this fails or the process dies. Who has it
    /// open reads on. Its quota comes back if this object had written it and its index is whole. On a
    /// filesystem without locks nobody else may be removing or replacing this output. Needs no
    /// memory; blocks on the disk.
    ///
    /// # Errors
    /// Those of the system; `Unavailable` when another is removing it and does not get done.
    pub fn remove_output(self: &Arc<Self>, map: MapId, only: Option<AttemptId>) -> Result<bool> {
        let name = index_name(map)?;
        let mut rounds = Rounds::default();
        loop {
            let Some(file) = self.open_to_withdraw(&name)? else {
                return Ok(false);
            };
            let named = Named::read(self, &file, map);
            if let Some(only) = only {
                match &named {
                    Ok(named) if named.header.attempt != only => return Ok(false),
                    // Whose it is cannot be told, and it may be whole.
                    Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error.clone()),
                    _ => {}
                }
            }
            let withdrawn = match self.withdraw(&name, &file)? {
                Withdrawn::WithoutLock => self.withdraw_unlocked(&name, &file)?,
                withdrawn => withdrawn,
            };
            match withdrawn {
                Withdrawn::Done => {
                    // Lest the disk keeps the index of data that is gone.
                    self.sync()?;
                    self.discard(named.ok());
                    return Ok(true);
                }
                Withdrawn::Gone => return Ok(false),
                Withdrawn::Busy | Withdrawn::WithoutLock => rounds.wait()?,
            }
        }
    }

    /// Removes the data file of an index that is gone.
    fn discard(&self, named: Option<Named>) {
        let Some(named) = named else {
            return;
        };
        // What cannot be removed here is left to the next sweep.
        if self.remove(&named.header.data_name).is_ok() && named.checked.is_ok() {
            self.give_back(&named.header.data_name, named.header.committed_bytes());
        }
    }
}

/// What an index says of its output, as far as it can be believed.
struct Named {
    header: IndexHeader,
    /// Whether all of the index matches its checksum.
    checked: Result<()>,
}

impl Named {
    fn read(out: &Arc<OutputDir>, file: &StoreFile, map: MapId) -> Result<Self> {
        let header = IndexHeader::read(out, file, map)?;
        Ok(Self { header, checked: header.check_file(out, file) })
    }

    fn whole(&self) -> Result<()> {
        self.checked.clone()
    }
}

/// The output that a committed index stands for, or room for another one.
pub(crate) enum Standing {
    /// All that can be known without reading the data is as it should be.
    Whole(StoreFile, IndexHeader, DataFile),
    /// There is none, or no longer the one that was looked at.
    Absent,
    /// It was damaged; this call removed it.
    Removed,
}

/// Looks at the committed output of `map`, and removes it if it is proven damaged: bytes that are not
/// what was written, data that is missing or of another length. That something cannot be read proves
/// nothing. `ours` is a data file that was free a moment ago: an index that names it had lost its own.
/// Needs no memory.
///
/// # Errors
/// Those of the system; `Corrupt` for damage on a filesystem without locks, where replacing is not
/// safe; `Unavailable` as [`OutputDir::remove_output`].
pub(crate) fn standing_output(
    out: &Arc<OutputDir>,
    map: MapId,
    ours: Option<&Name>,
    rounds: &mut Rounds,
) -> Result<Standing> {
    rounds.next()?;
    let name = index_name(map)?;
    let Some(file) = out.open_to_withdraw(&name)? else {
        return Ok(Standing::Absent);
    };
    let named = Named::read(out, &file, map);
    let damage = match &named {
        Ok(named) if ours == Some(&named.header.data_name) => LOST_ITS_DATA,
        Ok(named) => match named.whole().and_then(|()| open_data(out, &named.header)) {
            Ok(data) => return Ok(Standing::Whole(file, named.header, data)),
            Err(error) => error,
        },
        Err(error) => error.clone(),
    };
    if damage.kind() != ErrorKind::Corrupt {
        return Err(damage);
    }
    match out.withdraw(&name, &file)? {
        Withdrawn::Done => {
            out.discard(named.ok().filter(|named| ours != Some(&named.header.data_name)));
            return Ok(Standing::Removed);
        }
        Withdrawn::Gone => {}
        Withdrawn::Busy => rounds.wait()?,
        // Two attempts could take each other's new index for the damaged one.
        Withdrawn::WithoutLock => return Err(damage),
    }
    Ok(Standing::Absent)
}

const LOST_ITS_DATA: Error = Error::corrupt("an index names a data file that was not there");
