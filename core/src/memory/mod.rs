//! Memory that is asked for before it is taken.
//!
//! ```text
//! MemoryLedger            one per executor: a capacity, what is granted, what is live
//!   TaskMemory            at most capacity/N of it, at least its promised minimum
//!     Consumer            holds memory for one purpose; may be asked to spill
//!       Reservation       RAII: granted bytes, of which some are live
//!       Area, Block, Vector   memory that carries its reservation
//! ```
//!
//! *granted* is what the ledger allowed, *live* what is really allocated; live <= granted <= capacity
//! at every instant, but for a capacity that fell: then granted only falls until it is below. A
//! container adds to live just before it allocates and takes away just after it
//! freed. No lock is held while a consumer spills or the system is asked for memory.

mod area;
mod asked;
mod birth;
mod block;
mod consumer;
mod counters;
mod explain;
mod held;
mod host;
mod ledger;
mod peak;
mod pressure;
mod report;
mod reservation;
mod shared;
mod state;
mod task;
mod vector;
mod wait;

pub use area::{Area, Array, page_bytes};
pub use birth::Birth;
pub use block::{Block, BlockOwner, ChargeMode};
pub use consumer::{Consumer, SpillScope, WaitCanceller};
pub use counters::LedgerSnapshot;
pub use explain::{Explanation, Party, SPILL_RECORDS_MAX, Spill, SpillCause, SpillRecord};
pub use ledger::{LedgerOptions, MemoryLedger};
pub use pressure::{Reclaimed, Spillable};
pub use report::{HolderReport, TaskReport};
pub use reservation::{Exported, Reservation};
pub use state::{
    Acquire, Admission, LedgerState, Patience, Shortfall, TaskId, WaitStatus, WaitToken,
};
pub use task::TaskMemory;
pub use vector::Vector;
