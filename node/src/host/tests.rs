//! What is found and what is said of it.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn chain(family: &str, table: &str, drops: bool) -> ForwardChain {
    ForwardChain {
        family: family.to_owned(),
        table: table.to_owned(),
        name: "FORWARD".to_owned(),
        drops,
        ..ForwardChain::default()
    }
}

fn filters(all: &[(&str, u8)]) -> HostFacts {
    let rp_filter = all.iter().map(|(name, filter)| ((*name).to_owned(), *filter)).collect();
    HostFacts { rp_filter, ..HostFacts::default() }
}

fn chains(chain: ForwardChain) -> HostFacts {
    HostFacts { forward_chains: vec![chain], ..HostFacts::default() }
}

#[test]
fn each_finding_says_what_helps_and_a_remedy_ends_it() {
    let docker = || ForwardChain { has_docker_user: true, ..chain("ip", "filter", true) };
    let excepted = ForwardChain { accepts_from_pods: true, accepts_to_pods: true, ..docker() };
    let half = ForwardChain { accepts_from_pods: true, ..docker() };
    let with = |set: &dyn Fn(&mut HostFacts)| {
        let mut facts = HostFacts::default();
        set(&mut facts);
        facts
    };
    // (why, facts, does it break pods' network and what is said, or nothing)
    let cases = [
        ("nothing", HostFacts::default(), None),
        ("a chain that accepts", chains(chain("ip", "filter", false)), None),
        (
            "a chain that drops",
            chains(chain("ip", "filter", true)),
            Some((true, "iptables -I FORWARD -i tort+")),
        ),
        ("of IPv6", chains(chain("ip6", "filter", true)), Some((true, "ip6tables -I FORWARD -o tort+"))),
        ("Docker", chains(docker()), Some((true, "iptables -I DOCKER-USER -o tort+"))),
        ("Docker with exceptions", chains(excepted), None),
        ("one direction alone", chains(half), Some((true, "DOCKER-USER"))),
        (
            "by nft",
            chains(chain("inet", "mine", true)),
            Some((true, "nft insert rule inet mine FORWARD iifname")),
        ),
        ("firewalld", chains(chain("inet", "firewalld", false)), Some((false, "--zone=trusted"))),
        ("firewalld that drops", chains(chain("inet", "firewalld", true)), Some((false, "--zone=trusted"))),
        ("IPVS", with(&|facts| facts.has_ipvs = true), Some((true, "mode: nftables"))),
        ("strict, one way out", filters(&[("eth0", 1)]), None),
        ("strict, two ways", filters(&[("eth0", 2), ("eth1", 1)]), Some((false, "strict on eth1"))),
        ("loose", filters(&[("eth0", 2), ("eth1", 0)]), None),
        (
            "networkd",
            with(&|facts| facts.networkd_takes_routes = true),
            Some((false, "ManageForeignRoutes=no")),
        ),
        (
            "NetworkManager",
            with(&|facts| facts.network_manager_takes_interfaces = true),
            Some((false, "interface-name:tort*")),
        ),
        (
            "another CNI",
            with(&|facts| facts.foreign_conflists = vec!["/etc/cni/net.d/05-other.conflist".into()]),
            Some((false, "05-other.conflist to 10-tortie.conflist")),
        ),
    ];
    for (why, facts, expected) in cases {
        let found = findings(&facts);
        assert_eq!(found.len(), usize::from(expected.is_some()), "{why}: {found:?}");
        if let (Some(found), Some((breaks, text))) = (found.first(), expected) {
            assert_eq!(found.breaks, breaks, "{why}");
            assert!(found.message.contains(text), "{why}: {}", found.message);
        }
    }
}

#[test]
fn files_are_read_as_their_owners_read_them() {
    // (why, files in order, does networkd manage routes of others)
    let networkd: [(_, &[&str], _); 6] = [
        ("no file", &[], true),
        ("said no", &["[Network]\nManageForeignRoutes=no\n"], false),
        (
            "the last one counts",
            &["[Network]\nManageForeignRoutes=no\n", "[Network]\nManageForeignRoutes = yes\n"],
            true,
        ),
        ("a comment", &["[Network]\n#ManageForeignRoutes=no\n"], true),
        ("another section", &["[DHCPv4]\nManageForeignRoutes=no\n"], true),
        ("false", &["[Network]\nManageForeignRoutes=false"], false),
    ];
    for (why, files, expected) in networkd {
        let files: Vec<String> = files.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(read::manages_foreign_routes(&files), expected, "{why}");
    }
    let listing = "Num RefCount Protocol Flags Type St Inode Path\n\
                   0: 00000002 00000000 00010000 0001 01 7 /run/systemd/netif/io.systemd.Network\n";
    // (why, listing of Unix sockets, folder, is something bound in it)
    let sockets = [
        ("a socket of networkd", listing, "/run/systemd/netif/", true),
        ("none of NetworkManager", listing, "/run/NetworkManager/", false),
        ("nothing", "", "/run/systemd/netif/", false),
    ];
    for (why, listing, folder, expected) in sockets {
        assert_eq!(read::has_socket_in(listing, folder), expected, "{why}");
    }
    // (why, interface, does it lead off the machine)
    let interfaces = [
        ("eth0", true),
        ("ens18", true),
        ("lo", false),
        ("tort0123456789a", false),
        ("docker0", false),
        ("br-12", false),
    ];
    for (name, expected) in interfaces {
        assert_eq!(read::leads_off(name), expected, "{name}");
    }
}

#[test]
fn a_machine_is_read_from_its_files() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let settings = [("all", "0"), ("eth0", "1"), ("eth1", "2"), ("lo", "1"), ("tort0", "1")];
    for (name, value) in settings {
        write(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter"), &format!("{value}\n"));
    }
    write(
        "proc/net/unix",
        "0: 0 0 0 1 1 7 /run/systemd/netif/io\n1: 0 0 0 1 1 8 /run/NetworkManager/private\n",
    );
    write("proc/net/ip_vs", "a\nb\nc\nTCP  0A600001:01BB rr\n");
    let facts = read::from_files(&root.path().join("proc"), root.path());
    assert_eq!(facts.rp_filter, filters(&[("eth0", 1), ("eth1", 2)]).rp_filter);
    assert!(facts.networkd_takes_routes && facts.network_manager_takes_interfaces && facts.has_ipvs);
    write("etc/systemd/networkd.conf.d/10-tortie.conf", "[Network]\nManageForeignRoutes=no\n");
    write("etc/NetworkManager/conf.d/tortie.conf", "[keyfile]\nunmanaged-devices=interface-name:tort*\n");
    write("proc/net/ip_vs", "a\nb\nc\n");
    let facts = read::from_files(&root.path().join("proc"), root.path());
    assert!(!facts.networkd_takes_routes && !facts.network_manager_takes_interfaces && !facts.has_ipvs);
}
