//! The real program, run as people run it.

#[cfg(test)]
mod arguments;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod group;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod sort;
#[cfg(test)]
mod spill_dirs;
