//! The figures that every committed map output answers, whatever its rows are.

/// Answers from the index in its `slot`: for a type whose users should not need to know another.
macro_rules! output_figures {
    ($output:ty) => {
        impl $output {
            /// The map it is the output of.
            pub fn map(&self) -> MapId {
                self.slot.parts().header.map
            }

            /// The attempt that committed it.
            pub fn attempt(&self) -> AttemptId {
                self.slot.parts().header.attempt
            }

            /// The number of partitions.
            pub fn partitions(&self) -> u32 {
                self.slot.parts().header.partitions
            }

            /// Rows of a partition; 0 for one that does not exist.
            pub fn rows(&self, partition: u32) -> u64 {
                self.slot.parts().rows(partition)
            }

            /// Stored bytes of a partition; 0 for one that does not exist.
            pub fn bytes(&self, partition: u32) -> u64 {
                self.slot.parts().bytes(partition)
            }

            /// CRC-32C of a partition's stored bytes; 0 for one that does not exist.
            pub fn crc32c(&self, partition: u32) -> u32 {
                self.slot.parts().crc32c(partition)
            }

            /// Rows of all partitions.
            pub fn total_rows(&self) -> u64 {
                self.slot.parts().header.rows
            }

            /// Stored bytes of all partitions.
            pub fn total_bytes(&self) -> u64 {
                self.slot.parts().header.data_bytes
            }

            /// The name of its data file in the output directory.
            pub fn data_file_name(&self) -> &str {
                self.slot.parts().header.data_name.as_str()
            }
        }
    };
}
