//! The lab: whole clusters in network namespaces, the embedded API server, tests
