//! Objects to model to program to plan to kernel: routes and nftables policy of one node
