use proptest::prelude::*;

use super::*;

fn attachment() -> Attachment {
    Attachment { network: "tortie".into(), container_id: "c1".into(), ifname: "eth0".into() }
}

fn add() -> Request {
    Request::Add(AddRequest {
        attachment: attachment(),
        pod: PodReference { namespace: "default".into(), name: "web".into(), uid: Some("u-1".into()) },
        netns: "/run/netns/x".into(),
        host_interface: "tort0123456789a".into(),
        host_ifindex: 7,
        pod_mac: MacAddress([2, 0, 0, 0, 0, 1]),
        requested_addresses: vec!["10.1.2.3".parse().unwrap()],
    })
}

#[test]
fn requests_survive_the_wire() {
    let host_interface = String::from("tort0123456789a");
    let cases = [
        add(),
        Request::Del(DelRequest { attachment: attachment(), host_interface: host_interface.clone() }),
        Request::Check(CheckRequest { attachment: attachment(), host_interface, addresses: vec![] }),
        Request::Status,
        Request::Gc(GcRequest {
            network: "tortie".into(),
            valid: vec![ValidAttachment { container_id: "c1".into(), ifname: "eth0".into() }],
            asked_at_millis: Some(1_800_000_000_000),
        }),
    ];
    for request in cases {
        let bytes = encode_request(&request).unwrap();
        let (header, json) = bytes.split_at(FRAME_HEADER_LENGTH);
        assert_eq!(frame_length(header.try_into().unwrap()).unwrap(), json.len());
        assert_eq!(decode_request(json).unwrap(), request);
    }
}

#[test]
fn the_wire_form_is_fixed() {
    let json =
        br#"{"version":1,"body":{"granted":{"addresses":[{"address":"10.1.2.3","gateway":"169.254.1.1"}],
        "gateway_mac":"ee:ee:ee:ee:ee:ee","mtu":1500}}}"#;
    let grant = Grant {
        addresses: vec![GrantedAddress {
            address: "10.1.2.3".parse().unwrap(),
            gateway: "169.254.1.1".parse().unwrap(),
        }],
        gateway_mac: MacAddress([0xee; 6]),
        mtu: 1500,
    };
    assert_eq!(decode_answer(json).unwrap(), Answer::Granted(grant));
    assert_eq!(decode_answer(br#"{"version":1,"body":"done"}"#).unwrap(), Answer::Done);
    assert_eq!(decode_request(br#"{"version":1,"body":"status"}"#).unwrap(), Request::Status);
    let error = decode_answer(br#"{"version":1,"body":{"error":{"code":11,"message":"wait"}}}"#).unwrap();
    assert_eq!(error, Answer::Error(CniError::new(ErrorCode::TRY_AGAIN_LATER, "wait")));
}

#[test]
fn what_cannot_be_understood_says_why() {
    let cases: [(&str, &[u8], &str); 5] = [
        ("not JSON", b"hello", "malformed"),
        ("no version", br#"{"body":"status"}"#, "missing field `version`"),
        ("a later version with fields of its own", br#"{"version":2,"cargo":1}"#, "protocol version 2"),
        ("an unknown request", br#"{"version":1,"body":"dance"}"#, "unknown variant"),
        ("a stray field", br#"{"version":1,"body":"status","extra":1}"#, "unknown field `extra`"),
    ];
    for (why, json, expected) in cases {
        let error = decode_request(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{why}: {error}");
    }
    assert!(matches!(frame_length([0xff; 4]), Err(ProtocolError::TooLong(_))));
    assert_eq!(frame_length([0, 16, 0, 0]).unwrap(), FRAME_LENGTH_MAX);
    assert!(frame_length([0, 16, 0, 1]).is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_request(&bytes);
        let _ = decode_answer(&bytes);
    }

    #[test]
    fn damaged_requests_never_panic(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = encode_request(&add()).unwrap().split_off(FRAME_HEADER_LENGTH);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = decode_request(&bytes);
    }
}
