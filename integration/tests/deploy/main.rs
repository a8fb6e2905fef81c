//! What stands in `deploy`: one file, its parts, and what other tools make of them.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod apply;
mod manifest;
mod packagers;
mod readme;
mod rights;
