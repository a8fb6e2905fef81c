use super::*;

fn frame_bytes(message_type: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    Request { message_type, flags, payload: payload.to_vec() }.encode(0, 7)
}

fn first_outcome(bytes: &[u8]) -> Option<Result<(), Refusal>> {
    Frames::new(bytes).next().expect("one frame").expect("well formed").outcome()
}

#[test]
fn acknowledgements_keep_the_kernels_reason() {
    let header = [0_u8; 16];
    let ok = [&0_i32.to_ne_bytes()[..], &header].concat();
    let refused = [&(-101_i32).to_ne_bytes()[..], &header].concat();
    let mut told = refused.clone();
    attribute(&mut told, 1, b"Nexthop has invalid gateway\0");
    attribute(&mut told, 2, &36_u32.to_ne_bytes());
    let mut quoted = (-22_i32).to_ne_bytes().to_vec();
    quoted.extend_from_slice(&20_u32.to_ne_bytes());
    quoted.extend_from_slice(&[0; 16]);
    attribute(&mut quoted, 1, b"no\0");
    let text = |text: &str| Some(text.to_owned());
    // (why, bytes, expected)
    let cases = [
        ("acknowledged", frame_bytes(2, 0x100, &ok), Some(Ok(()))),
        ("errno alone", frame_bytes(2, 0x100, &refused), Some(Err(Refusal::of(101)))),
        (
            "text and offset",
            frame_bytes(2, 0x300, &told),
            Some(Err(Refusal { errno: 101, text: text("Nexthop has invalid gateway"), offset: Some(36) })),
        ),
        (
            "the request is quoted before the text",
            frame_bytes(2, 0x200, &quoted),
            Some(Err(Refusal { errno: 22, text: text("no"), offset: None })),
        ),
        ("cut", frame_bytes(2, 0, &[1]), Some(Err(Refusal::of(libc::EBADMSG)))),
        ("end of a dump", frame_bytes(3, 2, &0_i32.to_ne_bytes()), Some(Ok(()))),
        ("a dump that failed", frame_bytes(3, 2, &(-19_i32).to_ne_bytes()), Some(Err(Refusal::of(19)))),
        ("data", frame_bytes(24, 0, &[0; 12]), None),
    ];
    for (why, bytes, expected) in cases {
        assert_eq!(first_outcome(&bytes), expected, "{why}");
    }
}

#[test]
fn frames_split_a_datagram_and_refuse_a_cut_one() {
    let mut bytes = frame_bytes(24, 0, &[1, 2, 3]);
    bytes.extend(frame_bytes(1, 0, &[]));
    bytes.extend(frame_bytes(25, 0, &[4]));
    let types: Vec<(u16, usize)> = Frames::new(&bytes)
        .map(|frame| frame.map(|frame| (frame.message_type, frame.payload.len())))
        .collect::<Result<_, _>>()
        .expect("well formed");
    assert_eq!(types, [(24, 3), (25, 1)]);

    bytes.truncate(bytes.len() - 4);
    assert!(matches!(Frames::new(&bytes).last(), Some(Err(SocketError::Malformed(_)))));
}

proptest::proptest! {
    #[test]
    fn bytes_from_the_kernel_never_panic(bytes in proptest::collection::vec(0_u8.., 0..256)) {
        for frame in Frames::new(&bytes).flatten() {
            let _ = frame.outcome();
            for (_, value) in attributes(frame.payload) {
                assert!(value.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn attributes_come_back(values in proptest::collection::vec(
        (0_u16..0x3fff, proptest::collection::vec(0_u8.., 0..40)), 0..8)) {
        let mut bytes = Vec::new();
        for (kind, value) in &values {
            attribute(&mut bytes, *kind, value);
        }
        let back: Vec<(u16, Vec<u8>)> =
            attributes(&bytes).map(|(kind, value)| (kind, value.to_vec())).collect();
        assert_eq!(back, values);
    }
}

#[test]
fn the_kernel_answers_and_refuses_with_its_reason() {
    let mut socket = Socket::open(Protocol::Route).expect("netlink is there");
    let links = Request { message_type: libc::RTM_GETLINK, flags: 0, payload: vec![0; 16] };
    let replies = socket.dump(&links).expect("links can be dumped");
    assert!(!replies.is_empty() && replies.iter().all(|r| r.message_type == libc::RTM_NEWLINK));

    let mut strict = links.clone();
    strict.payload[4] = 0xff;
    let error = socket.dump(&strict).expect_err("strict dumps refuse a filter by index");
    assert_eq!(error.errno(), Some(libc::EINVAL));
    assert!(error.to_string().contains(": "), "the kernel's text is kept: {error}");
}
