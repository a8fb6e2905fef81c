//! A point of wall-clock time as the cores are told it.

use k8s_openapi::jiff::Timestamp;

/// Milliseconds since the Unix epoch. Wall-clock time, because releases must be comparable
/// across restarts of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Before everything: an address that was never used was released then.
    pub const NEVER: Self = Self(0);

    /// The moment this many milliseconds after the Unix epoch.
    #[must_use]
    pub fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        self.0
    }

    /// Later by so many milliseconds.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds since an earlier moment; 0 if that is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As RFC 3339 text, the way the API's objects carry it.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.timestamp().to_string()
    }

    /// Reads RFC 3339 text; `None` if it is none or before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let timestamp: Timestamp = text.parse().ok()?;
        u64::try_from(timestamp.as_millisecond()).ok().map(Self)
    }

    /// The same moment for the API's own time types.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }
}

impl From<Timestamp> for Moment {
    /// Times before 1970 count as [`Moment::NEVER`].
    fn from(timestamp: Timestamp) -> Self {
        Self(u64::try_from(timestamp.as_millisecond()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        // (why, text, milliseconds)
        let cases = [
            ("seconds", "2026-11-24T22:00:00Z", Some(1_795_557_600_000)),
            ("milliseconds", "2026-11-24T22:00:00.25Z", Some(1_795_557_600_250)),
            ("offset", "2026-11-24T23:00:00+01:00", Some(1_795_557_600_000)),
            ("before 1970", "1969-11-24T22:00:00Z", None),
            ("no time", "yesterday", None),
        ];
        for (why, text, expected) in cases {
            let moment = Moment::from_rfc3339(text);
            assert_eq!(moment.map(Moment::unix_millis), expected, "{why}");
            if let Some(moment) = moment {
                assert_eq!(Moment::from_rfc3339(&moment.to_rfc3339()), Some(moment), "{why}");
            }
        }
    }
}
