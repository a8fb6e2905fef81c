use super::*;

fn result() -> AddResult {
    AddResult {
        host_interface: "tort0123456789a".into(),
        host_mac: MacAddress([0xee; 6]),
        pod_interface: "eth0".into(),
        pod_mac: MacAddress([2, 0, 0, 0, 0, 1]),
        netns: "/run/netns/x".into(),
        mtu: 1500,
        addresses: vec![
            ("10.1.2.3/32".parse().unwrap(), "169.254.1.1".parse().unwrap()),
            ("fd00::1/128".parse().unwrap(), "fe80::ecee:eeff:feee:eeee".parse().unwrap()),
        ],
        routes: vec![("0.0.0.0/0".parse().unwrap(), "169.254.1.1".parse().unwrap())],
    }
}

#[test]
fn the_newest_result_is_as_the_specification_says() {
    let expected = json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "tort0123456789a", "mac": "ee:ee:ee:ee:ee:ee", "mtu": 1500 },
            { "name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1500, "sandbox": "/run/netns/x" },
        ],
        "ips": [
            { "address": "10.1.2.3/32", "gateway": "169.254.1.1", "interface": 1 },
            { "address": "fd00::1/128", "gateway": "fe80::ecee:eeff:feee:eeee", "interface": 1 },
        ],
        "routes": [{ "dst": "0.0.0.0/0", "gw": "169.254.1.1" }],
        "dns": {},
    });
    assert_eq!(result().to_json(CniVersion::V1_1_0), expected);
}

#[test]
fn older_versions_say_the_family_and_no_mtu() {
    // (version, family is said, MTU is said)
    let cases = [
        (CniVersion::V0_3_1, true, false),
        (CniVersion::V0_4_0, true, false),
        (CniVersion::V1_0_0, false, false),
        (CniVersion::V1_1_0, false, true),
    ];
    for (version, family, mtu) in cases {
        let json = result().to_json(version);
        assert_eq!(json["cniVersion"], version.text());
        assert_eq!(json["ips"][0].get("version").is_some(), family, "{version:?}");
        assert_eq!(json["interfaces"][1].get("mtu").is_some(), mtu, "{version:?}");
    }
    assert_eq!(result().to_json(CniVersion::V0_3_1)["ips"][1]["version"], "6");
}

#[test]
fn errors_and_versions_are_as_the_specification_says() {
    let error = CniError::new(ErrorCode::TRY_AGAIN_LATER, "no address").with_details("pool is full");
    assert_eq!(
        error.to_json(CniVersion::V1_0_0),
        json!({ "cniVersion": "1.0.0", "code": 11, "msg": "no address", "details": "pool is full" })
    );
    assert_eq!(
        versions(CniVersion::V0_4_0),
        json!({ "cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] })
    );
}
