//! The mutants: data alone. A new rule of the product deserves a new row.

mod addresses;
mod policy;
mod routes;

use super::killer::Killer;

/// One place of the product, broken.
#[derive(Debug)]
pub(super) struct Mutant {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What goes wrong by it.
    pub(super) breaks: &'static str,
    /// The file, from the workspace's folder.
    pub(super) file: &'static str,
    /// The text, which the file has once.
    pub(super) text: &'static str,
    /// What stands there instead.
    pub(super) replacement: &'static str,
    /// The tests that must fail.
    pub(super) killer: Killer,
}

impl Mutant {
    /// The file with the mutant in it; none if the text is not there, or more than once.
    pub(super) fn mutate(&self, file: &str) -> Option<String> {
        let (before, after) = file.split_once(self.text)?;
        (!after.contains(self.text)).then(|| [before, self.replacement, after].concat())
    }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Mutant> {
    policy::MUTANTS.iter().chain(routes::MUTANTS).chain(addresses::MUTANTS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// A file that changes takes its mutants along, or this fails.
    #[test]
    fn every_mutant_still_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut lost = Vec::new();
        for mutant in all() {
            let file = std::fs::read_to_string(root.join(mutant.file)).unwrap_or_default();
            if mutant.mutate(&file).is_none_or(|mutated| mutated == file) {
                lost.push(format!("{}: {} does not have once:\n{}", mutant.name, mutant.file, mutant.text));
            }
        }
        assert!(lost.is_empty(), "{}", lost.join("\n"));
    }

    #[test]
    fn names_are_unique_and_every_area_has_some() {
        let names: BTreeSet<&str> = all().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.len() >= 20, "only {} mutants", names.len());
        for area in [policy::MUTANTS, routes::MUTANTS, addresses::MUTANTS] {
            assert!(area.len() >= 6, "an area has only {} mutants", area.len());
        }
    }

    #[test]
    fn a_text_must_be_there_once() {
        let mutant = Mutant {
            name: "",
            breaks: "",
            file: "",
            text: "a",
            replacement: "b",
            killer: Killer::inside("api", ""),
        };
        // (why, file, mutated)
        let cases = [("once", "xay", Some("xby")), ("gone", "xy", None), ("twice", "xaya", None)];
        for (why, file, mutated) in cases {
            assert_eq!(mutant.mutate(file).as_deref(), mutated, "{why}");
        }
    }
}
