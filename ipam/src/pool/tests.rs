use api::ip_pool::IPPoolSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

fn pool(name: &str, cidr: &str, block_size: Option<u8>, created: u64) -> IPPool {
    let spec = IPPoolSpec {
        cidr: cidr.into(),
        block_size,
        nat_outgoing: false,
        disabled: false,
        node_selector: "all()".into(),
    };
    let mut pool = IPPool::new(name, spec);
    pool.metadata.creation_timestamp = Some(Time(Moment::from_unix_millis(created * 1000).timestamp()));
    pool
}

#[test]
fn a_faulty_pool_names_field_and_remedy() {
    let mut selector = pool("p", "10.0.0.0/16", None, 1);
    selector.spec.node_selector = "rack = 'a'".into();
    // (why, pool, reason, beginning of the message)
    let cases = [
        ("no prefix", pool("p", "pods", None, 1), "InvalidCIDR", "spec.cidr: `pods` is not a prefix"),
        (
            "host bits",
            pool("p", "10.0.0.1/16", None, 1),
            "InvalidCIDR",
            "spec.cidr: `10.0.0.1/16` is not the first",
        ),
        (
            "blocks longer than addresses",
            pool("p", "10.0.0.0/16", Some(33), 1),
            "InvalidBlockSize",
            "spec.blockSize 33 is impossible in 10.0.0.0/16: it must be 20 to 32",
        ),
        (
            "blocks larger than the pool",
            pool("p", "10.0.0.0/27", None, 1),
            "InvalidBlockSize",
            "spec.blockSize 26 is impossible in 10.0.0.0/27: it must be 27 to 32",
        ),
        (
            "blocks of too many addresses",
            pool("p", "fd00::/56", Some(64), 1),
            "InvalidBlockSize",
            "spec.blockSize 64 is impossible in fd00::/56: it must be 116 to 128",
        ),
        ("selector", selector, "InvalidNodeSelector", "spec.nodeSelector `rack = 'a'`: selector: expected"),
    ];
    for (why, object, reason, message) in cases {
        let good = pool("good", "172.16.0.0/16", None, 5);
        let pools = Pools::read(&[object, good]);
        let fault = &pools.faulty["p"];
        assert_eq!(fault.reason, reason, "{why}");
        assert!(fault.message.starts_with(message), "{why}: {}", fault.message);
        assert_eq!(pools.valid.len(), 1, "{why}: the other pool goes on");
    }
}

#[test]
fn of_two_that_overlap_the_older_stays() {
    let objects = [
        pool("a", "10.0.0.0/8", None, 2),
        pool("b", "10.1.0.0/16", None, 1),
        pool("c", "fd00::/56", None, 2),
        pool("d", "10.2.0.0/16", None, 3),
        pool("e", "fd00::/48", None, 2),
    ];
    let mut reversed = objects.clone();
    reversed.reverse();
    let pools = Pools::read(&objects);
    assert_eq!(pools, Pools::read(&reversed), "whatever the order");
    assert_eq!(pools.valid.keys().collect::<Vec<_>>(), ["b", "c", "d"]);
    let message = &pools.faulty["a"].message;
    assert!(
        message.starts_with("spec.cidr 10.0.0.0/8 overlaps 10.1.0.0/16 of the older IPPool b"),
        "{message}"
    );
}

#[test]
fn sizes() {
    // (cidr, block size, blocks, addresses of the pool)
    let cases = [
        ("10.0.0.0/16", None, 1024, 65536),
        ("10.0.0.0/26", None, 1, 64),
        ("0.0.0.0/0", Some(20), 1 << 20, 1 << 32),
        ("fd00::/56", None, 1 << 64, i64::MAX),
        ("fd00::/120", None, 4, 256),
    ];
    for (cidr, block_size, blocks, addresses) in cases {
        let pools = Pools::read(&[pool("p", cidr, block_size, 1)]);
        let pool = &pools.valid["p"];
        assert_eq!((pool.blocks(), pool.addresses()), (blocks, addresses), "{cidr}");
    }
}
