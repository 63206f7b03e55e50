//! Where we run: what a container and its node allow, and what a mount really is.
//!
//! Linux. Reads /proc, /sys and mounts under a root path that the caller may give.
