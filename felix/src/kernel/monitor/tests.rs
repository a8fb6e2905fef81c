use super::*;

#[test]
fn frames_become_events() {
    let route = |message_type| Frame {
        message_type,
        flags: 0,
        sequence: 0,
        port: 7,
        payload: &[2, 24, 0, 0, 254, 84, 0, 1, 0, 0, 0, 0],
    };
    let event = |is_gone| Some(Event::Route { protocol: 84, table: 254, is_gone, port: 7 });
    assert_eq!(read(&route(libc::RTM_NEWROUTE)), event(false));
    assert_eq!(read(&route(libc::RTM_DELROUTE)), event(true));
    assert_eq!(read(&route(RTM_NEWNEXTHOP)), Some(Event::NextHop));
    assert_eq!(read(&route(libc::RTM_NEWNEIGH)), None, "not a topic");
    let cut = Frame { payload: &[2, 24], ..route(libc::RTM_NEWROUTE) };
    assert_eq!(read(&cut), None, "cut");
}

proptest::proptest! {
    #[test]
    fn bytes_from_the_kernel_never_panic(
        bytes in proptest::collection::vec(0_u8.., 0..160), message_type in 16_u16..110) {
        let frame = Frame { message_type, flags: 0, sequence: 0, port: 0, payload: &bytes };
        let _ = read(&frame);
        read_all(&bytes, &mut Vec::new());
    }
}
