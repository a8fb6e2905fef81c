//! (desired, observed) -> what to write, in order. Pure: the same two values give the same plan.

pub mod route;
