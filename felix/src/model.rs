//! What the node should have, as plain values that no kernel, client or clock has touched.

pub mod route;
