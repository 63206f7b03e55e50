//! From the last batch to the committed map output, without asking for memory.

use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Result};

use super::engine::Engine;
use super::progress::{Counters, Phase};
use super::rows::{Rows, RowsSpec};
use crate::map_output::{
    DataFile, IndexHeader, OutputSlot, Standing, open_data, publish_schema, read_index,
    standing_output, write_index,
};
use crate::names::index_name;
use crate::output_dir::{OutputDir, OutputFile, Rounds};
use crate::session::found;
use crate::store::{Publish, StoreFile};

impl<R: Rows> Engine<R> {
    /// Writes the data file, publishes it, and commits the index that names it.
    pub(super) fn finish(mut self) -> Result<OutputSlot> {
        let shared = Arc::clone(&self.shared);
        shared.check_cancelled()?;
        let out = self.out.take().ok_or(MADE_FOR_A_SINK)?;
        R::before_finish(&mut self)?;
        let mut data = out.create()?;
        let data_bytes = shared
            .counters
            .timed(Phase::Output, || self.write_segments(&mut data, |_, _| Ok(())))?;
        // Runs and sorted rows are of no more use: their disk and memory go back before the commit.
        self.set.runs.clear();
        self.release_sorted();
        shared.check_cancelled()?;
        let data_name = out.data_name(self.map, self.attempt)?;
        let header = IndexHeader {
            map: self.map,
            attempt: self.attempt,
            fingerprint: self.spec.fingerprint(),
            data_bytes,
            rows: self.set.partitions.rows.iter().sum(),
            partitions: self.spec.partitions(),
            data_name,
        };
        let output = shared.counters.timed(Phase::Commit, || self.commit(&out, data, header))?;
        Counters::add(&shared.counters.output_bytes, output.parts().header.data_bytes);
        Ok(output)
    }

    /// Publishes the data, then the index that names it: the one commit point. An index that is there
    /// already stands, unless it is proven damaged: then it is removed and this one takes its place.
    fn commit(
        mut self,
        out: &Arc<OutputDir>,
        mut data: OutputFile,
        header: IndexHeader,
    ) -> Result<OutputSlot> {
        let mut rounds = Rounds::default();
        // Whose output stands in the end may be another's: it needs the schema as well.
        if let Some(encoded) = self.spec.encoded_schema() {
            publish_schema(out, header.fingerprint, encoded)?;
        }
        while data.publish(&header.data_name)? == Publish::AlreadyExists {
            // Committed by this very attempt before, or still being written by it.
            match standing_output(out, self.map, None, &mut rounds)? {
                Standing::Whole(file, winner, its_data) => {
                    return self.into_winner(out, &file, winner, its_data);
                }
                // A damaged index may not have said which data was its own.
                Standing::Removed => drop(found(out.remove(&header.data_name))?),
                Standing::Absent if out.exists(&header.data_name)? => {
                    return Err(ATTEMPT_RUNS_TWICE);
                }
                Standing::Absent => {}
            }
        }
        // Opened before the commit, so that nothing but its sync can fail after it.
        let reading = open_data(out, &header)?;
        // The names the index needs are on the disk before its own.
        out.sync()?;
        let mut index = out.create()?;
        let mut sink = self.set.write.begin(&mut index);
        write_index(&header, &self.set.partitions, &mut sink)?;
        let name = index_name(self.map)?;
        loop {
            match index.commit(&name) {
                Ok(Publish::Done) => {
                    data.keep();
                    // The output is there and whole, even if this fails.
                    out.sync()?;
                    return Ok(self.into_output(reading, header));
                }
                Ok(Publish::AlreadyExists) => {
                    let ours = Some(&header.data_name);
                    let standing = standing_output(out, self.map, ours, &mut rounds)?;
                    if let Standing::Whole(file, winner, its_data) = standing {
                        drop(data);
                        return self.into_winner(out, &file, winner, its_data);
                    }
                }
                Err(error) => {
                    if index.in_doubt() {
                        data.keep();
                    }
                    return Err(error);
                }
            }
        }
    }

    fn into_output(self, data: DataFile, header: IndexHeader) -> OutputSlot {
        self.slot.fill(data, self.spec.content(), header, self.set.partitions)
    }

    /// Another attempt of this map has committed: its output stands.
    fn into_winner(
        mut self,
        out: &Arc<OutputDir>,
        file: &StoreFile,
        header: IndexHeader,
        data: DataFile,
    ) -> Result<OutputSlot> {
        let same = header.partitions == self.spec.partitions()
            && header.fingerprint == self.spec.fingerprint();
        if !same {
            return Err(OTHER_SHUFFLE.at(file.place()));
        }
        read_index(out, file, &header, &mut self.set.partitions)?;
        Ok(self.into_output(data, header))
    }
}

const ATTEMPT_RUNS_TWICE: Error = Error::new(
    ErrorKind::InvalidState,
    "this attempt of this map is being written twice; number attempts apart",
);
const MADE_FOR_A_SINK: Error = Error::new(
    ErrorKind::InvalidState,
    "this writer was made without an output directory; finish it into a sink",
);
const OTHER_SHUFFLE: Error = Error::new(
    ErrorKind::InvalidState,
    "the output directory holds this map of a shuffle with another kind of rows, schema or number of \
     partitions; use a directory for each shuffle",
);
