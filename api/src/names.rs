//! Constants fixed for good: what a daemon without memory recognises as its own.

/// The nftables table, family `inet`.
pub const NFT_TABLE: &str = "tortie";

/// `rtm_protocol` of every route that the node daemon writes.
pub const ROUTE_PROTOCOL: u8 = 84;

/// `rtm_protocol` of every route that the standalone router writes.
pub const ROUTER_ROUTE_PROTOCOL: u8 = 85;

/// Metric of routes learnt over BGP; our own, so that a foreign route to the same prefix never shares our key.
pub const BGP_ROUTE_METRIC: u32 = 8484;

/// Metric of routes to local endpoints and of block blackholes.
pub const LOCAL_ROUTE_METRIC: u32 = 84;

/// First letters of every host-side workload interface.
pub const INTERFACE_PREFIX: &str = "tort";

/// MAC address of every gateway that a pod sees.
pub const GATEWAY_MAC: [u8; 6] = [0xee; 6];

/// IPv4 gateway that a pod sees.
pub const GATEWAY_IPV4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 1, 1);

/// IPv6 gateway that a pod sees: the link-local address of [`GATEWAY_MAC`].
pub const GATEWAY_IPV6: std::net::Ipv6Addr =
    std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);

/// Socket of the CNI shim, below the daemon's run directory.
pub const CNI_SOCKET: &str = "/run/tortie/cni.sock";

/// Socket of `tortiectl`, below the daemon's run directory.
pub const CONTROL_SOCKET: &str = "/run/tortie/control.sock";

/// Where the daemon keeps its last-good snapshot.
pub const STATE_DIR: &str = "/var/lib/tortie";

/// Name of the CNI network, of the plugin's binary and of its configuration file.
pub const CNI_NETWORK: &str = "tortie";

/// The plugin's binary, as named by `type` in the CNI configuration.
pub const CNI_PLUGIN: &str = "tortie-cni";

/// The CNI configuration list that the daemon installs.
pub const CNI_CONFLIST: &str = "10-tortie.conflist";

/// `ConfigMap` with the values that an empty cluster is set up from.
pub const CONFIG_MAP: &str = "tortie-config";

/// `Secret` with the passwords of BGP sessions, in [`NAMESPACE`]; the only one that a node may read.
pub const BGP_PASSWORDS_SECRET: &str = "tortie-bgp-passwords";

/// Namespace of the product's own objects.
pub const NAMESPACE: &str = "kube-system";

/// Private AS number of a cluster that names none.
pub const DEFAULT_ASN: u32 = 64512;

/// Node label that tells the rack of a node.
pub const RACK_LABEL: &str = "topology.kubernetes.io/rack";
