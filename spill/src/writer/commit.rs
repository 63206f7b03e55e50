//! From the last batch to the committed map output, without asking for memory.

use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Result};

use super::engine::Engine;
use super::progress::{Counters, Phase};
use crate::map_output::{IndexHeader, MapOutput, publish_schema, read_index, write_index};
use crate::names::index_name;
use crate::store::{Name, Publish};

impl Engine {
    /// Writes the data file, publishes it, and commits the index that names it.
    pub(super) fn finish(mut self) -> Result<MapOutput> {
        let shared = Arc::clone(&self.shared);
        shared.check_cancelled()?;
        self.sort_staged()?;
        let mut data = self.out.create()?;
        let data_bytes = shared
            .counters
            .timed(Phase::Output, || self.write_output(&mut data))?;
        // Runs and chunks are of no more use: their disk and memory go back before the commit.
        self.set.runs.clear();
        self.release_chunks();
        shared.check_cancelled()?;
        let data_name = self.out.data_name(self.map, self.attempt)?;
        let header = IndexHeader {
            map: self.map,
            attempt: self.attempt,
            fingerprint: self.spec.fingerprint(),
            data_bytes,
            rows: self.set.partitions.rows.iter().sum(),
            partitions: self.spec.partitions(),
            data_name,
        };
        let output =
            shared
                .counters
                .timed(Phase::Commit, || match data.publish(&data_name)? {
                    Publish::AlreadyExists => Err(ATTEMPT_RUNS_TWICE),
                    Publish::Done => {
                        self.out.sync()?;
                        match self.commit_index(&header) {
                            Ok(Publish::Done) => {
                                data.keep();
                                // The output is there and whole, even if this fails.
                                self.out.sync()?;
                                self.into_output(header)
                            }
                            Ok(Publish::AlreadyExists) => {
                                drop(data);
                                self.into_winner()
                            }
                            Err((error, in_doubt)) => {
                                if in_doubt {
                                    data.keep();
                                }
                                Err(error)
                            }
                        }
                    }
                })?;
        Counters::add(&shared.counters.output_bytes, output.total_bytes());
        Ok(output)
    }

    /// The index appears whole, or not at all; with an error, whether that is in doubt.
    fn commit_index(&mut self, header: &IndexHeader) -> Result<Publish, (Error, bool)> {
        let sure = |error| (error, false);
        let name: Name = index_name(self.map).map_err(sure)?;
        publish_schema(&self.out, header.fingerprint, self.spec.encoded_schema()).map_err(sure)?;
        let mut index = self.out.create().map_err(sure)?;
        let mut sink = self.set.write.begin(&mut index);
        write_index(header, &self.set.partitions, &mut sink).map_err(sure)?;
        index
            .commit(&name)
            .map_err(|error| (error, index.in_doubt()))
    }

    fn into_output(self, header: IndexHeader) -> Result<MapOutput> {
        let arrays = self.set.partitions;
        MapOutput::assemble(&self.out, Arc::clone(self.spec.layout()), header, arrays)
    }

    /// Another attempt of this map has committed: its output stands.
    fn into_winner(mut self) -> Result<MapOutput> {
        let file = self.out.open_read(&index_name(self.map)?)?;
        let header = IndexHeader::read(&self.out, &file, self.map)?;
        let same = header.partitions == self.spec.partitions()
            && header.fingerprint == self.spec.fingerprint();
        if !same {
            return Err(OTHER_SHUFFLE.at(file.place()));
        }
        read_index(&self.out, &file, &header, &mut self.set.partitions)?;
        self.into_output(header)
    }
}

const ATTEMPT_RUNS_TWICE: Error = Error::new(
    ErrorKind::InvalidState,
    "this attempt of this map is being written twice; number attempts apart",
);
const OTHER_SHUFFLE: Error = Error::new(
    ErrorKind::InvalidState,
    "the output directory holds this map of a shuffle with another schema or number of \
     partitions; use a directory for each shuffle",
);
