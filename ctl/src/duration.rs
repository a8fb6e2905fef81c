//! Lengths of time as kubectl prints them.

/// The two largest units: `45s`, `3m20s`, `5h`, `2d4h`.
pub fn human(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = UNITS.iter().position(|(length, _)| seconds >= *length).unwrap_or(UNITS.len() - 1);
    let whole = format!("{}{}", seconds / UNITS[first].0, UNITS[first].1);
    let Some((length, unit)) = UNITS.get(first + 1) else { return whole };
    match seconds % UNITS[first].0 / length {
        0 => whole,
        rest => format!("{whole}{rest}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_units_at_most() {
        // (seconds, text)
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (200, "3m20s"),
            (3_600, "1h"),
            (18_059, "5h"),
            (187_200, "2d4h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(super::human(seconds), text);
        }
    }
}
