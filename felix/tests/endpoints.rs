//! The host's side of pods against a real kernel: preparation, traffic, restart, removal.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use felix::kernel::endpoint::{EndpointError, Endpoints, Removal, gateway_route};
use felix::kernel::monitor::{Event, Monitor, Topic};
use felix::kernel::route_writer::RouteWriter;
use felix::kernel::socket::{Protocol, Socket};
use felix::kernel::{sysctl::Sysctls, uplink};
use felix::model::route::{Ownership, RouteSource, RouteTarget};
use felix::reconcile::link::HostSide;
use namespace::{LIMIT, eventually, in_namespace, ip, ip_json, routes_of, uplink as make_uplink, wait};

mod namespace;

const INTERFACE: &str = "tort0123456789a";
const ALIAS: &str = "v1/0f3c/eth0/5b1e9c1c-uid/ab12";
const POD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn host_side() -> HostSide {
    HostSide {
        interface: INTERFACE.into(),
        alias: ALIAS.into(),
        addresses: vec![address("10.244.0.5"), address("fd00:244::5")],
        pod_mac: POD_MAC,
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// A pod: a thread in a namespace of its own that does what it is told.
struct Pod {
    thread_id: i32,
    work: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Pod {
    fn start() -> Self {
        let (work, inbox) = mpsc::channel::<Work>();
        let (sender, thread_id) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace");
            sender.send(nix::unistd::gettid().as_raw()).expect("the test waits");
            for task in inbox {
                task();
            }
        });
        let thread_id = thread_id.recv().expect("the pod starts");
        Self { thread_id, work: Some(work), thread: Some(thread) }
    }

    fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = mpsc::channel();
        let work: Work = Box::new(move || drop(sender.send(task())));
        self.work.as_ref().expect("not dropped").send(work).expect("the pod lives");
        result.recv().expect("the task does not panic")
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.work = None;
        let _ = self.thread.take().expect("joined once").join();
    }
}

/// As the plugin does it: both ends at once, the host's end down, the pod's in its namespace.
fn make_pair(pod: &Pod) {
    ip(&format!(
        "link add {INTERFACE} type veth peer name eth0 address 02:00:00:00:00:05 netns {}",
        pod.thread_id
    ));
}

fn configure_pod(pod: &Pod) {
    pod.run(|| {
        ip("link set lo up");
        ip("address add 10.244.0.5/32 dev eth0");
        ip("address add fd00:244::5/128 dev eth0 nodad");
        ip("link set eth0 up");
        // No permanent neighbours: this pod is a guest that asks for its gateways.
        ip("route add 169.254.1.1 dev eth0 scope link");
        ip("route add default via 169.254.1.1 dev eth0");
        ip("-6 route add default via fe80::ecee:eeff:feee:eeee dev eth0");
    });
}

fn talk(
    listener: &TcpListener,
    connect: impl FnOnce(SocketAddr) -> Result<(), String>,
) -> Result<(), String> {
    listener.set_nonblocking(false).map_err(|error| error.to_string())?;
    let there = listener.local_addr().map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let server = scope.spawn(|| listener.accept().and_then(|(mut stream, _)| stream.write_all(b"hello")));
        let result = connect(there);
        if result.is_ok() {
            server.join().expect("no panic").map_err(|error| error.to_string())?;
        } else {
            // Let the server go on.
            drop(TcpStream::connect_timeout(&there, LIMIT));
        }
        result
    })
}

fn connect_from_pod(pod: &Pod, there: SocketAddr) -> Result<(), String> {
    pod.run(move || {
        let mut stream =
            TcpStream::connect_timeout(&there, Duration::from_secs(10)).map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text == "hello" { Ok(()) } else { Err(text) }
    })
}

fn setting(path: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/{path}")).expect(path).trim().to_owned()
}

#[test]
fn a_pod_that_asks_for_its_gateways_talks_to_the_node() {
    in_namespace(|| {
        make_uplink("eth7", &["192.0.2.1/24", "fd00:a::1/64"]);
        let mut socket = Socket::open(Protocol::Route).expect("netlink");
        assert_eq!(Sysctls::default().enable_forwarding(&mut socket).expect("a router"), [""; 0]);
        assert_eq!(
            (setting("ipv4/ip_forward"), setting("ipv6/conf/all/forwarding")),
            ("1".into(), "1".into())
        );

        let pod = Pod::start();
        make_pair(&pod);
        let mut endpoints = Endpoints::open().expect("netlink");
        let (writer, thread) = RouteWriter::start(Ownership::NODE).expect("the writer starts");
        let (gateway, lo) = gateway_route();
        writer.set(RouteSource::Local, gateway, Some(lo));

        endpoints.prepare(&host_side()).expect("prepared");
        endpoints.raise(INTERFACE).expect("raised");
        for (prefix, target) in host_side().routes() {
            wait(writer.install(RouteSource::Local, prefix, target)).expect("committed");
        }
        configure_pod(&pod);

        for node_address in ["192.0.2.1:0", "[fd00:a::1]:0"] {
            let listener = TcpListener::bind(node_address).expect("a listener");
            talk(&listener, |there| connect_from_pod(&pod, there)).expect(node_address);
        }
        for pod_address in ["10.244.0.5:0", "[fd00:244::5]:0"] {
            let listener = pod.run(move || TcpListener::bind(pod_address).expect("a listener"));
            let connect = |there| {
                let mut stream =
                    TcpStream::connect_timeout(&there, LIMIT).map_err(|error| error.to_string())?;
                stream.read_to_string(&mut String::new()).map_err(|error| error.to_string())?;
                Ok(())
            };
            talk(&listener, connect).expect(pod_address);
        }

        // The pod changes its MAC: it is found again, because the entry was not permanent.
        pod.run(|| ip("link set eth0 address 02:00:00:00:00:77"));
        eventually("the pod is found under its new MAC", || {
            let listener = pod.run(move || TcpListener::bind("10.244.0.5:0").expect("a listener"));
            let there = listener.local_addr().expect("an address");
            TcpStream::connect_timeout(&there, Duration::from_secs(1)).map_err(|error| error.to_string())
        });
        writer.stop();
        thread.join().expect("it ends");
    });
}

#[test]
fn a_prepared_interface_is_as_designed() {
    in_namespace(|| {
        let pod = Pod::start();
        make_pair(&pod);
        let mut endpoints = Endpoints::open().expect("netlink");
        endpoints.prepare(&host_side()).expect("prepared");
        let link = &ip_json(&format!("link show {INTERFACE}"))[0];
        assert_eq!(link["ifalias"], ALIAS);
        assert_eq!(link["address"], "ee:ee:ee:ee:ee:ee");
        assert!(!link["flags"].to_string().contains("\"UP\""), "not raised yet: {link}");

        endpoints.raise(INTERFACE).expect("raised");
        let link = &ip_json(&format!("link show {INTERFACE}"))[0];
        assert!(link["flags"].to_string().contains("\"UP\""), "{link}");
        let addresses = ip_json(&format!("address show {INTERFACE}"));
        let infos = addresses[0]["addr_info"].as_array().expect("addresses");
        assert_eq!(infos.len(), 1, "ours alone: {infos:?}");
        assert_eq!(infos[0]["local"], "fe80::ecee:eeff:feee:eeee");
        assert_eq!((&infos[0]["prefixlen"], &infos[0]["tentative"]), (&64.into(), &serde_json::Value::Null));

        let mut neighbours: Vec<String> = ip_json(&format!("neigh show dev {INTERFACE} nud all"))
            .iter()
            .filter(|entry| entry["lladdr"] == "02:00:00:00:00:05")
            .map(|entry| format!("{} {}", entry["dst"], entry["state"]))
            .collect();
        neighbours.sort();
        assert_eq!(neighbours, [r#""10.244.0.5" ["STALE"]"#, r#""fd00:244::5" ["STALE"]"#]);

        for (path, value) in [
            ("ipv4/conf/{}/forwarding", "1"),
            ("ipv4/conf/{}/rp_filter", "1"),
            ("ipv4/conf/{}/proxy_arp", "1"),
            ("ipv4/conf/{}/route_localnet", "0"),
            ("ipv4/neigh/{}/proxy_delay", "0"),
            ("ipv6/conf/{}/accept_ra", "0"),
            ("ipv6/conf/{}/forwarding", "1"),
            ("ipv6/conf/{}/disable_ipv6", "0"),
        ] {
            assert_eq!(setting(&path.replace("{}", INTERFACE)), value, "{path}");
        }
        endpoints.prepare(&host_side()).expect("doing it again is safe");
        let again = &ip_json(&format!("link show {INTERFACE}"))[0];
        assert_eq!(link["ifindex"], again["ifindex"]);
        assert!(again["flags"].to_string().contains("\"UP\""), "and does not take it down: {again}");
    });
}

#[test]
fn a_daemon_without_memory_finds_its_pods() {
    in_namespace(|| {
        let pod = Pod::start();
        make_pair(&pod);
        let mut endpoints = Endpoints::open().expect("netlink");
        assert_eq!(endpoints.read(&Ownership::NODE).expect("facts")[INTERFACE].alias, "");
        endpoints.prepare(&host_side()).expect("prepared");
        endpoints.raise(INTERFACE).expect("raised");
        let fact = &endpoints.read(&Ownership::NODE).expect("facts")[INTERFACE];
        assert_eq!((fact.alias.as_str(), fact.addresses.len()), (ALIAS, 0), "not committed");

        let (writer, thread) = RouteWriter::start(Ownership::NODE).expect("the writer starts");
        for (prefix, target) in host_side().routes() {
            wait(writer.install(RouteSource::Local, prefix, target)).expect("committed");
        }
        drop(writer);
        thread.join().expect("it ends");
        // Somebody else's route through the pod's interface is no address of the pod.
        ip(&format!("route add 10.99.0.1/32 dev {INTERFACE}"));
        ip("link add other type veth peer name p-other");

        let facts = Endpoints::open().expect("netlink").read(&Ownership::NODE).expect("facts");
        assert_eq!(facts.len(), 1, "only ours: {facts:?}");
        let fact = &facts[INTERFACE];
        assert_eq!(fact.alias, ALIAS);
        assert_eq!(fact.addresses, host_side().addresses.into_iter().collect::<BTreeSet<_>>());
        assert!(fact.is_up);
    });
}

#[test]
fn removal_and_preparation_respect_anothers_alias() {
    in_namespace(|| {
        let pod = Pod::start();
        let mut endpoints = Endpoints::open().expect("netlink");
        let missing = endpoints.prepare(&host_side());
        assert!(matches!(missing, Err(EndpointError::NoInterface(_))), "{missing:?}");
        assert_eq!(endpoints.remove(INTERFACE, ALIAS).expect("nothing there"), Removal::Absent);

        make_pair(&pod);
        endpoints.prepare(&host_side()).expect("prepared");
        let other = HostSide { alias: "v1/ffff/eth0/other/ab12".into(), ..host_side() };
        assert!(matches!(endpoints.prepare(&other), Err(EndpointError::ServesAnother(_))));
        assert!(matches!(endpoints.remove(INTERFACE, &other.alias), Err(EndpointError::ServesAnother(_))));
        assert_eq!(ip_json(&format!("link show {INTERFACE}"))[0]["ifalias"], ALIAS, "left alone");

        assert!(matches!(endpoints.remove("lo", ""), Err(EndpointError::Name(_))));
        let long = HostSide { alias: "x".repeat(256), ..host_side() };
        assert!(matches!(endpoints.prepare(&long), Err(EndpointError::AliasTooLong(256))));

        assert_eq!(endpoints.remove(INTERFACE, ALIAS).expect("removed"), Removal::Removed);
        assert_eq!(ip_json("link show").len(), 1, "only lo is left");
        assert_eq!(pod.run(|| ip_json("link show").len()), 1, "the pod's end went too");
        assert_eq!(routes_of(84), [""; 0]);

        make_pair(&pod);
        let longest = HostSide { alias: "x".repeat(255), ..host_side() };
        endpoints.prepare(&longest).expect("255 bytes fit");
        let facts = endpoints.read(&Ownership::NODE).expect("facts");
        assert_eq!(facts[INTERFACE].alias.len(), 255);
    });
}

#[test]
fn uplinks_that_live_by_router_advertisements_keep_them() {
    in_namespace(|| {
        make_uplink("eth7", &["fd00:a::1/64"]);
        make_uplink("eth8", &["fd00:b::1/64"]);
        make_uplink("eth9", &[]);
        // What the kernel does when it hears an advertisement on eth7, and a lease on eth9.
        ip("-6 route add default via fe80::1 dev eth7 proto ra expires 1800");
        ip("-6 address add fd00:c::5/64 dev eth9 nodad valid_lft 1800 preferred_lft 1800");
        let mut socket = Socket::open(Protocol::Route).expect("netlink");
        let helped = Sysctls::default().enable_forwarding(&mut socket).expect("a router");
        assert_eq!(helped, ["eth7", "eth9"]);
        assert_eq!(setting("ipv6/conf/eth7/accept_ra"), "2");
        assert_eq!(setting("ipv6/conf/eth8/accept_ra"), "1");
        assert_eq!(setting("ipv6/conf/eth7/forwarding"), "1");
        assert!(ip("-6 route show default").contains("proto ra"), "the default route has survived");
        assert_eq!(Sysctls::default().enable_forwarding(&mut socket).expect("again"), [""; 0]);
    });
}

#[test]
fn the_uplink_is_where_the_nodes_address_is() {
    in_namespace(|| {
        make_uplink("eth7", &["192.0.2.1/24"]);
        ip("link set p-eth7 mtu 8950");
        ip("link set eth7 mtu 8950");
        ip("address add 192.0.2.77/32 dev lo");
        ip("link set p-eth7 mtu 9000");
        let mut socket = Socket::open(Protocol::Route).expect("netlink");
        let found = uplink::find(&mut socket, address("192.0.2.1")).expect("there");
        assert_eq!((found.interface.as_str(), found.mtu, found.has_carrier), ("eth7", 8950, true));
        let found = uplink::find(&mut socket, address("192.0.2.77")).expect("there");
        assert_eq!((found.interface.as_str(), found.mtu), ("lo", 8950));
        let missing = uplink::find(&mut socket, address("192.0.2.9")).expect_err("nobody's");
        assert!(missing.to_string().contains("192.0.2.9"), "{missing}");
    });
}

#[test]
fn the_monitor_tells_what_changes_and_ends_when_dropped() {
    in_namespace(|| {
        let topics = [Topic::Links, Topic::Addresses, Topic::Routes];
        let (monitor, mut events) = Monitor::start(&topics).expect("it starts");
        make_uplink("eth7", &["192.0.2.1/24"]);
        ip("route add 10.1.0.0/16 via 192.0.2.2 proto 77");
        ip("link del eth7");
        let mut seen = Vec::new();
        let mut has = move |what: &str, is_it: &dyn Fn(&Event) -> bool| {
            eventually(what, || {
                while let Ok(event) = events.try_recv() {
                    seen.push(event);
                }
                if seen.iter().any(is_it) { Ok(()) } else { Err(format!("{seen:?}")) }
            });
        };
        has(
            "new link",
            &|event| matches!(event, Event::Link { link, is_gone: false } if link.name == "eth7" && link.is_up),
        );
        has(
            "new address",
            &|event| matches!(event, Event::Address { address, is_gone: false } if address.network.to_string() == "192.0.2.1/24"),
        );
        has("new route", &|event| {
            matches!(event, Event::Route { protocol: 77, table: 254, is_gone: false, .. })
        });
        has(
            "link gone",
            &|event| matches!(event, Event::Link { link, is_gone: true } if link.name == "eth7"),
        );
        drop(monitor);
    });
}

#[test]
fn a_reader_that_is_too_slow_is_told() {
    in_namespace(|| {
        make_uplink("eth7", &["192.0.2.1/24"]);
        let (monitor, mut events) = Monitor::start(&[Topic::Routes]).expect("it starts");
        let (writer, thread) = RouteWriter::start(Ownership::NODE).expect("the writer starts");
        for number in 0..6000_u32 {
            let prefix = ipnetwork::IpNetwork::new((0x0a00_0000 + number * 256).to_be_bytes().into(), 24);
            let target = RouteTarget::Link { interface: "eth7".into() };
            writer.set(RouteSource::Bgp, prefix.expect("a /24"), Some(target));
        }
        wait(writer.flush()).expect("written");
        let mut count = 0;
        eventually("the overrun is told", || {
            while let Ok(event) = events.try_recv() {
                if event == Event::Overrun {
                    return Ok(());
                }
                count += 1;
            }
            Err(format!("{count} events"))
        });
        assert!(count < 6000, "or nothing would have been lost");
        drop(monitor);
        writer.stop();
        thread.join().expect("it ends");
    });
}
