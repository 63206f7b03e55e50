//! Group keys and aggregates of Arrow columns as bytes.
