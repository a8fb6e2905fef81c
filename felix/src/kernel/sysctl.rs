//! Kernel settings under `/proc/sys`, of the calling thread's network namespace.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::socket::{Socket, SocketError};
use super::{address, link, route};
use crate::reconcile::link::{AdvertisementFacts, plan_accept_ra};

/// Why a setting could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// Reading or writing the file failed; `/proc/sys` may be mounted read-only.
    #[error("sysctl {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// Links, addresses or routes could not be read.
    #[error(transparent)]
    Netlink(#[from] SocketError),
}

/// A setting that a pod's interface gets, in order.
struct Setting {
    /// Below `/proc/sys/net`, before the interface's name.
    directory: &'static str,
    name: &'static str,
    value: &'static str,
    /// Whether kernels that we support may lack it.
    is_optional: bool,
}

const fn required(directory: &'static str, name: &'static str, value: &'static str) -> Setting {
    Setting { directory, name, value, is_optional: false }
}

const fn optional(directory: &'static str, name: &'static str, value: &'static str) -> Setting {
    Setting { directory, name, value, is_optional: true }
}

/// IPv4 settings of a pod's interface.
const POD_IPV4: [Setting; 6] = [
    required("ipv4/conf", "forwarding", "1"),
    // The pod's own route is the only one to its interface: any other source is forged.
    required("ipv4/conf", "rp_filter", "1"),
    // Guests that ask for their gateway get an answer, and without the random delay.
    required("ipv4/conf", "proxy_arp", "1"),
    required("ipv4/neigh", "proxy_delay", "0"),
    required("ipv4/conf", "route_localnet", "0"),
    // The pod's end comes up last: until then the neighbour entry must not be evicted.
    optional("ipv4/conf", "arp_evict_nocarrier", "0"),
];

/// IPv6 settings of a pod's interface.
const POD_IPV6: [Setting; 6] = [
    required("ipv6/conf", "disable_ipv6", "0"),
    // Pods do not configure the node.
    required("ipv6/conf", "accept_ra", "0"),
    required("ipv6/conf", "forwarding", "1"),
    // The link-local address is ours to give; the kernel's own would be the same, but tentative.
    required("ipv6/conf", "addr_gen_mode", "1"),
    required("ipv6/conf", "accept_dad", "0"),
    optional("ipv6/conf", "ndisc_evict_nocarrier", "0"),
];

/// The settings of the calling thread's network namespace, by the folder where they are written.
///
/// In a pod `/proc/sys` is read-only; the host's own, mounted at another place, is not. It shows
/// the namespace of whoever looks, so that both are the same for a pod on the host's network.
#[derive(Clone, Debug)]
pub struct Sysctls {
    root: PathBuf,
}

impl Default for Sysctls {
    fn default() -> Self {
        Self::at("/proc/sys")
    }
}

impl Sysctls {
    /// Those below this folder, which is `/proc/sys` or the same mounted elsewhere.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Writes the settings of a pod's host-side interface; those of IPv6 if it is wanted, and at
    /// least that nothing of it is accepted where the kernel has IPv6.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn prepare_pod_interface(&self, interface: &str, ipv6: bool) -> Result<(), SysctlError> {
        for setting in &POD_IPV4 {
            self.write_setting(setting, interface)?;
        }
        if ipv6 {
            for setting in &POD_IPV6 {
                self.write_setting(setting, interface)?;
            }
        } else if self.has_ipv6() {
            self.write_setting(&required("ipv6/conf", "accept_ra", "0"), interface)?;
        }
        Ok(())
    }

    /// Makes the node a router for both families, if it is none yet. Uplinks that live by router
    /// advertisements get `accept_ra=2` before that; their names are the answer.
    ///
    /// # Errors
    /// A file that could not be read or written, or a netlink dump that failed.
    pub fn enable_forwarding(&self, socket: &mut Socket) -> Result<Vec<String>, SysctlError> {
        let ipv4 = self.net("ipv4/ip_forward");
        if read(&ipv4)? != "1" {
            write(&ipv4, "1")?;
        }
        let ipv6 = self.net("ipv6/conf/all/forwarding");
        if !self.has_ipv6() || read(&ipv6)? == "1" {
            return Ok(Vec::new());
        }
        let facts = self.advertisement_facts(socket)?;
        let helped: Vec<String> = plan_accept_ra(&facts).into_iter().map(str::to_owned).collect();
        for interface in &helped {
            write(&self.net(&format!("ipv6/conf/{interface}/accept_ra")), "2")?;
        }
        write(&ipv6, "1")?;
        Ok(helped)
    }

    fn advertisement_facts(&self, socket: &mut Socket) -> Result<Vec<AdvertisementFacts>, SysctlError> {
        let mut advertised: BTreeSet<u32> = route::advertised_interfaces(socket)?;
        let addresses = address::list(socket)?;
        let is_temporary = |address: &&address::Address| address.network.is_ipv6() && !address.is_permanent;
        advertised.extend(addresses.iter().filter(is_temporary).map(|address| address.index));
        let mut facts = Vec::new();
        for link in link::list(socket)?.into_values() {
            let conf = |name: &str| self.net(&format!("ipv6/conf/{}/{name}", link.name));
            // An interface without IPv6, or gone since the list was made, has nothing to lose.
            let Ok(accept_ra) = read(&conf("accept_ra")) else { continue };
            facts.push(AdvertisementFacts {
                accept_ra: accept_ra.parse().unwrap_or_default(),
                is_forwarding: read(&conf("forwarding")).is_ok_and(|value| value == "1"),
                is_advertised: advertised.contains(&link.index),
                interface: link.name,
            });
        }
        Ok(facts)
    }

    /// True if the kernel has IPv6 at all.
    pub fn has_ipv6(&self) -> bool {
        self.net("ipv6").exists()
    }

    fn write_setting(&self, setting: &Setting, interface: &str) -> Result<(), SysctlError> {
        let path = self.net(&format!("{}/{interface}/{}", setting.directory, setting.name));
        match write(&path, setting.value) {
            Err(SysctlError::File { source, .. })
                if setting.is_optional && source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn net(&self, below: &str) -> PathBuf {
        self.root.join("net").join(below)
    }
}

fn read(path: &Path) -> Result<String, SysctlError> {
    let text = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, value: &str) -> Result<(), SysctlError> {
    fs::write(path, value).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> SysctlError {
    SysctlError::File { path: path.to_owned(), source }
}
