//! The CNI plugin: `(environment, stdin) -> request -> daemon -> veth -> result`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`request`], [`response`] | the specification's objects, versions and error codes |
//! | [`protocol`] | what the plugin and the daemon say to each other on the daemon's socket |
//! | [`mac`] | link-layer addresses |
//! | [`veth`] | names, and the plan of a pair of interfaces as a value |
//! | `add`, `del`, `check`, `gc`, `status`, `version` *(io)* | one verb each |
//! | `client`, `netlink`, `netns` *(io)* | the daemon's socket; carrying a plan out |

pub mod mac;
pub mod protocol;
pub mod request;
pub mod response;
pub mod veth;

#[cfg(feature = "io")]
pub mod add;
#[cfg(feature = "io")]
pub mod check;
#[cfg(feature = "io")]
mod client;
#[cfg(feature = "io")]
pub mod del;
#[cfg(feature = "io")]
pub mod gc;
#[cfg(feature = "io")]
mod netlink;
#[cfg(feature = "io")]
mod netns;
#[cfg(feature = "io")]
pub mod status;
#[cfg(feature = "io")]
pub mod version;
