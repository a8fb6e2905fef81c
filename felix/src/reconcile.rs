//! (desired, observed) -> what to write, in order. Pure: the same two values give the same plan.

pub mod link;
pub mod neighbour;
pub mod route;
pub mod ruleset;
