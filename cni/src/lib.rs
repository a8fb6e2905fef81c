//! The CNI plugin: `(environment, stdin) -> request -> daemon -> veth -> result`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`request`], [`response`] | the specification's objects, versions and error codes |
//! | [`protocol`] | what the plugin and the daemon say to each other on the daemon's socket |
//! | [`veth`] | names, and the plan of a pair of interfaces as a value |
//! | `add`, `del`, `check`, `gc`, `status`, `version` *(io)* | one verb each |
//! | `client`, `netns` *(io)* | the daemon's socket; carrying a plan out by netlink |

pub mod protocol;
pub mod request;
pub mod response;
pub mod veth;
