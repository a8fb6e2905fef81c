//! Figures from measurements: percentiles of one round, and median with spread over the rounds.

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    /// The middle of the rounds.
    pub(super) median: f64,
    /// The least of the rounds.
    pub(super) least: f64,
    /// The greatest of the rounds.
    pub(super) greatest: f64,
}

impl Figure {
    /// The figure of these rounds; none without any.
    pub(super) fn of(rounds: &[f64]) -> Option<Self> {
        let sorted = sorted(rounds);
        let (first, last) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, least: *first, greatest: *last })
    }

    /// The figure of the rounds' percentiles.
    pub(super) fn of_percentile(rounds: &[Vec<f64>], percent: u8) -> Option<Self> {
        let each: Vec<f64> = rounds.iter().filter_map(|round| percentile(round, percent)).collect();
        Self::of(&each)
    }
}

/// The nearest-rank percentile: the least value that so many percent of all do not exceed.
pub(super) fn percentile(values: &[f64], percent: u8) -> Option<f64> {
    let sorted = sorted(values);
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let twenty: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        // (why, values, percent, expected)
        let cases: [(&str, &[f64], u8, Option<f64>); 5] = [
            ("nothing measured", &[], 50, None),
            ("one is all of them", &[7.0], 99, Some(7.0)),
            ("half of twenty", &twenty, 50, Some(10.0)),
            ("of twenty the greatest is p99", &twenty, 99, Some(20.0)),
            ("the least", &twenty, 0, Some(1.0)),
        ];
        for (why, values, percent, expected) in cases {
            assert_eq!(percentile(values, percent), expected, "{why}");
        }
    }

    #[test]
    fn a_figure_is_the_median_with_the_extremes() {
        assert_eq!(Figure::of(&[]), None);
        let odd = Figure { median: 2.0, least: 1.0, greatest: 9.0 };
        assert_eq!(Figure::of(&[9.0, 1.0, 2.0]), Some(odd));
        let even = Figure { median: 2.5, least: 1.0, greatest: 9.0 };
        assert_eq!(Figure::of(&[9.0, 1.0, 2.0, 3.0]), Some(even));
    }
}
