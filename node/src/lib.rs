//! The daemon tortie-node and the router tortie-bgp: composition only
