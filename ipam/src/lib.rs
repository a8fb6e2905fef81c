//! Pools and nodes to blocks to addresses
