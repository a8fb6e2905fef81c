//! Which node a pod without one is given: of those that its `nodeSelector` allows the emptiest.

use std::collections::BTreeMap;

/// A node as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) pods: usize,
}

/// The node's name, or none if no node has the labels. Equally empty nodes come in their order.
pub(super) fn pick<'a>(candidates: &'a [Candidate], selector: &BTreeMap<String, String>) -> Option<&'a str> {
    candidates
        .iter()
        .filter(|node| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value)))
        .min_by_key(|node| node.pods)
        .map(|node| node.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emptiest_node_that_fits_is_picked() {
        let labels = |rack: &str| BTreeMap::from([("rack".to_owned(), rack.to_owned())]);
        let nodes = |counts: [usize; 3]| -> Vec<Candidate> {
            [("a", "1"), ("b", "1"), ("c", "2")]
                .iter()
                .zip(counts)
                .map(|((name, rack), pods)| Candidate { name: (*name).into(), labels: labels(rack), pods })
                .collect()
        };
        let cases = [
            ("all empty: the first", [0, 0, 0], BTreeMap::new(), Some("a")),
            ("fewest pods", [2, 1, 3], BTreeMap::new(), Some("b")),
            ("fewest pods first of equals", [2, 1, 1], BTreeMap::new(), Some("b")),
            ("selector narrows", [0, 0, 9], labels("2"), Some("c")),
            ("selector excludes all", [0, 0, 0], labels("3"), None),
        ];
        for (why, counts, selector, expected) in cases {
            assert_eq!(pick(&nodes(counts), &selector), expected, "{why}");
        }
    }
}
