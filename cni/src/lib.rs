//! The CNI plugin: request, daemon, veth, result
