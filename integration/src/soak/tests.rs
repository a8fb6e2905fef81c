use super::*;

#[test]
fn times_are_read() {
    let cases = [
        ("90", Some(90)),
        ("90s", Some(90)),
        ("10m", Some(600)),
        ("2h", Some(7200)),
        ("0", None),
        ("", None),
        ("m", None),
        ("-1s", None),
        ("10 minutes", None),
        ("99999999999999999999h", None),
    ];
    for (text, expected) in cases {
        assert_eq!(duration(text).ok().map(|it| it.as_secs()), expected, "{text:?}");
    }
}

#[test]
fn batches_end_when_rounds_or_time_are_up() {
    let secs = Duration::from_secs;
    // (why, rounds, time, done, elapsed, next)
    let cases = [
        ("whole batches", Some(250), None, 0, secs(0), Some(100)),
        ("the rest", Some(250), None, 200, secs(900), Some(50)),
        ("rounds are up", Some(250), None, 250, secs(0), None),
        ("there is time", None, Some(secs(60)), 5000, secs(59), Some(100)),
        ("time is up", None, Some(secs(60)), 0, secs(60), None),
        ("whichever is first", Some(100), Some(secs(60)), 0, secs(61), None),
    ];
    for (why, rounds, time, done, elapsed, expected) in cases {
        assert_eq!(next_batch(Soak::Kill, Extent { rounds, time }, done, elapsed), expected, "{why}");
    }
}

#[test]
fn a_batch_gives_what_its_tests_measured_and_fails_with_them() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        watch(command).map_err(|error| error.to_string())
    };
    let passed = "echo 'test a ... measured: 3 of 3' >&2; echo 'test result: ok. 1 passed; 0 failed'";
    assert_eq!(shell(passed), Ok(vec!["3 of 3".to_owned()]));
    assert_eq!(shell("echo 'test result: ok. 0 passed; 0 failed'"), Err("no test ran".into()));
    assert!(shell("echo 'test result: FAILED. 0 passed; 1 failed'; exit 101").is_err());
}
