//! The whole write path, sorts and combines against a storage that fails, fills up or is cut off at any
//! operation.
//!
//! [`Workload`] is what is written, [`Ground`] the directories it is written to and the look at what
//! is left in them; the other modules each let one kind of trouble happen, at every operation or at
//! some of each kind ([`Points`]). A check fails by panicking with the operation and its number.

pub mod beside;
pub mod damaged;
mod deep;
pub mod failing;
mod ground;
pub mod killed;
mod points;
pub mod quotas;
pub mod racing;
mod workload;

pub use deep::everything;
pub use ground::{Ground, Opened, Variant};
pub use points::{Covered, Points};
pub use workload::{Attempt, Output, Workload};

/// What a second process does with the argument that its parent handed it.
pub fn child(argument: &str) {
    if argument == beside::MODE {
        beside::child();
    } else if let Some(argument) = argument.strip_prefix(damaged::HEAL) {
        damaged::child(damaged::Mode::Heal, argument);
    } else if let Some(argument) = argument.strip_prefix(damaged::REMOVE) {
        damaged::child(damaged::Mode::Remove, argument);
    } else {
        killed::child(argument);
    }
}
