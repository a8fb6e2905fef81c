use super::*;

#[test]
fn durations_are_rounded_as_kubectl_rounds_them() {
    let cases = [
        ("slightly in the future, by skew", -1, "0s"),
        ("in the future", -5, "<invalid>"),
        ("nothing", 0, "0s"),
        ("seconds up to two minutes", 119, "119s"),
        ("minutes and seconds", 125, "2m5s"),
        ("whole minutes", 180, "3m"),
        ("minutes alone", 11 * 60 + 5, "11m"),
        ("hours and minutes", 3 * 3600 + 60, "3h1m"),
        ("hours alone", 9 * 3600, "9h"),
        ("days and hours", 49 * 3600, "2d1h"),
        ("days", 20 * 86400, "20d"),
        ("years and days", 2 * 365 * 86400 + 86400, "2y1d"),
        ("years", 9 * 365 * 86400, "9y"),
    ];
    for (why, seconds, expected) in cases {
        assert_eq!(duration_text(seconds), expected, "{why}");
    }
}
