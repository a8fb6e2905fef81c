//! Reads the facts: nftables by netlink, the rest from files that anybody may read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use felix::kernel::nft::forward_chains;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Finding, HostFacts, findings};
use crate::{install, shared::Shared};

/// How often the machine is looked at: what somebody changes on it is told within this time.
const LOOK_PAUSE: Duration = Duration::from_secs(30);

/// Lines of `/proc/net/ip_vs` before the first virtual service.
const IPVS_HEADING_LINES: usize = 3;

/// First letters of interfaces that lead to pods, containers or nowhere.
const INNER_INTERFACES: [&str; 11] =
    ["lo", "tort", "docker", "br-", "veth", "cni", "virbr", "kube-", "nodelocaldns", "dummy", "cali"];

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// The root of the host's files, which may be mounted elsewhere.
    pub host_root: PathBuf,
    /// The runtime's folder of CNI configurations.
    pub cni_conf_dir: PathBuf,
}

/// Looks at the machine again and again, until `stop`.
pub async fn watch(places: Places, shared: Shared, stop: CancellationToken) {
    loop {
        let looked_at = places.clone();
        if let Ok(found) = tokio::task::spawn_blocking(move || look(&looked_at)).await {
            publish(&shared, found);
        }
        if tokio::time::timeout(LOOK_PAUSE, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

fn publish(shared: &Shared, found: Vec<Finding>) {
    shared.host.send_if_modified(|known| {
        for finding in found.iter().filter(|finding| !known.contains(finding)) {
            warn!(cause = %finding.message, "this machine works against pods' network");
        }
        let is_new = *known != found;
        *known = found;
        is_new
    });
}

fn look(places: &Places) -> Vec<Finding> {
    let mut facts = from_files(Path::new("/proc"), &places.host_root);
    facts.foreign_conflists = install::foreign_conflists(&places.cni_conf_dir);
    match forward_chains() {
        Ok(chains) => facts.forward_chains = chains,
        Err(error) => debug!(%error, "chains of others cannot be read"),
    }
    findings(&facts)
}

/// What files say; what is not there says nothing.
pub(super) fn from_files(proc: &Path, host_root: &Path) -> HostFacts {
    let sockets = fs::read_to_string(proc.join("net/unix")).unwrap_or_default();
    let ipvs = fs::read_to_string(proc.join("net/ip_vs")).unwrap_or_default();
    let networkd = configuration(host_root, "systemd/networkd.conf", "systemd/networkd.conf.d");
    let manager = configuration(host_root, "NetworkManager/NetworkManager.conf", "NetworkManager/conf.d");
    let spares_pods = manager.iter().any(|text| text.contains("interface-name:tort*"));
    HostFacts {
        has_ipvs: ipvs.lines().count() > IPVS_HEADING_LINES,
        rp_filter: rp_filters(&proc.join("sys/net/ipv4/conf")),
        networkd_takes_routes: has_socket_in(&sockets, "/run/systemd/netif/")
            && manages_foreign_routes(&networkd),
        network_manager_takes_interfaces: has_socket_in(&sockets, "/run/NetworkManager/") && !spares_pods,
        ..HostFacts::default()
    }
}

/// The filter in force on each interface that leads off the machine: the stricter in number of `all` and its own.
fn rp_filters(folder: &Path) -> BTreeMap<String, u8> {
    let filter = |name: &str| -> u8 {
        let text = fs::read_to_string(folder.join(name).join("rp_filter")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    let all = filter("all");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| leads_off(name)).map(|name| (name.clone(), filter(&name).max(all))).collect()
}

pub(super) fn leads_off(interface: &str) -> bool {
    !["all", "default"].contains(&interface)
        && !INNER_INTERFACES.iter().any(|prefix| interface.starts_with(prefix))
}

/// Whether a Unix socket is bound below this folder: sockets belong to the network namespace, so that this tells what
/// runs on the host without a look into its files.
pub(super) fn has_socket_in(listing: &str, folder: &str) -> bool {
    listing.lines().any(|line| line.split_whitespace().last().is_some_and(|path| path.starts_with(folder)))
}

/// The main file and then its drop-ins by name, of which the last word counts.
fn configuration(host_root: &Path, file: &str, folder: &str) -> Vec<String> {
    let places = ["usr/lib", "run", "etc"].map(|place| host_root.join(place));
    let mut drop_ins: Vec<PathBuf> = places
        .iter()
        .flat_map(|place| fs::read_dir(place.join(folder)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    drop_ins.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    let main = host_root.join("etc").join(file);
    [main].into_iter().chain(drop_ins).filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// `ManageForeignRoutes` of networkd.conf(5); yes where no file says otherwise.
pub(super) fn manages_foreign_routes(files: &[String]) -> bool {
    let mut manages = true;
    for text in files {
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            if section == "[Network]" && key.trim() == "ManageForeignRoutes" {
                manages = !["no", "false", "off", "0"].contains(&value.trim());
            }
        }
    }
    manages
}
