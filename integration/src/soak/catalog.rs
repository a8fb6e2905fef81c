//! The soaks: what each one repeats, and the command for one batch of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::checkout::cargo;

/// What can be soaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Soak {
    /// `kill -9` of the node's daemon at seeded moments, with our own routers and with BIRD: nobody notices.
    Kill,
    /// Pods that send before ADD answers: no packet passes that policy denies.
    FirstPacket,
    /// Seeded networks of BGP speakers with crashes and lost connections: all tables agree at rest.
    Mesh,
    /// Seeded clusters with crashes, partitions and restored backups: no address is given twice.
    Ipam,
    /// Bytes from outside, guided by coverage: nothing panics.
    Fuzz,
}

/// How much of a soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Rounds in all.
    pub(super) rounds: Option<u64>,
    /// No batch begins after so long.
    pub(super) time: Option<Duration>,
}

impl Extent {
    const fn rounds(rounds: u64) -> Self {
        Self { rounds: Some(rounds), time: None }
    }

    const fn minutes(minutes: u64) -> Self {
        Self { rounds: None, time: Some(Duration::from_mins(minutes)) }
    }
}

impl Soak {
    /// Its name on the command line and in the result's file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::FirstPacket => "first-packet",
            Self::Mesh => "mesh",
            Self::Ipam => "ipam",
            Self::Fuzz => "fuzz",
        }
    }

    /// What a round is.
    pub(super) fn round(self) -> &'static str {
        match self {
            Self::Kill => "kills of the daemon for each kind of router",
            Self::FirstPacket => "starts of a pod",
            Self::Mesh => "seeds, a network each",
            Self::Ipam => "seeds, two clusters each",
            Self::Fuzz => "seconds for each target",
        }
    }

    /// What the long form does unless it is told otherwise.
    pub(super) const fn long(self) -> Extent {
        match self {
            Self::Kill => Extent::rounds(100),
            Self::FirstPacket => Extent::rounds(200),
            Self::Mesh | Self::Ipam | Self::Fuzz => Extent::minutes(10),
        }
    }

    /// About half a minute.
    pub(super) const fn short(self) -> Extent {
        match self {
            Self::Kill => Extent::rounds(10),
            Self::FirstPacket => Extent::rounds(40),
            Self::Mesh => Extent::rounds(16),
            Self::Ipam => Extent::rounds(120),
            Self::Fuzz => Extent::rounds(5),
        }
    }

    /// Rounds of one batch: what is lost of the plan when time is up is never more.
    pub(super) const fn batch(self) -> u64 {
        match self {
            Self::Kill => 100,
            Self::FirstPacket => 200,
            Self::Mesh => 32,
            Self::Ipam => 250,
            Self::Fuzz => 30,
        }
    }

    /// Where seeds begin unless told otherwise: behind those that the tests take.
    pub(super) const fn seed(self) -> u64 {
        match self {
            Self::Kill => 0x5eed_0001,
            Self::FirstPacket | Self::Fuzz => 1,
            Self::Mesh => 8,
            Self::Ipam => 61,
        }
    }

    /// Whether rounds of the same batch have a seed each.
    pub(super) const fn has_seed_per_round(self) -> bool {
        matches!(self, Self::Mesh | Self::Ipam)
    }

    /// Whether the programs of a lab take part.
    pub(super) const fn needs_lab(self) -> bool {
        matches!(self, Self::Kill | Self::FirstPacket)
    }

    /// The test that is one batch; none for the fuzz targets, which are programs of their own.
    pub(super) fn test(self, root: &Path, seed: u64, rounds: u64) -> Option<Command> {
        let (arguments, variables) = self.words(seed, rounds)?;
        let mut command = cargo(root, &["test", "--quiet"]);
        command.args(arguments).args(["--nocapture", "--test-threads=1"]).envs(variables);
        Some(command)
    }

    /// Builds the tests, so that it counts as no round's time.
    pub(super) fn build(self, root: &Path) -> Option<Command> {
        let (arguments, _) = self.words(self.seed(), 1)?;
        let of_cargo = arguments.into_iter().take_while(|argument| *argument != "--");
        let mut command = cargo(root, &["test", "--no-run"]);
        command.args(of_cargo);
        Some(command)
    }

    fn words(self, seed: u64, rounds: u64) -> Option<(Vec<&'static str>, Vec<(&'static str, String)>)> {
        let seeds = format!("{seed}..{}", seed + rounds);
        let (arguments, variables) = match self {
            Self::Kill => (
                &["--package", "integration", "--test", "failures", "--", "kill::"][..],
                vec![("KILLS", rounds.to_string()), ("KILL_SEED", seed.to_string())],
            ),
            Self::FirstPacket => (
                &["--package", "integration", "--test", "policy", "--", "no_packet_passes_before_policy"][..],
                vec![("FIRST_PACKET_STARTS", rounds.to_string())],
            ),
            Self::Mesh => {
                (&["--package", "bgp", "--test", "mesh", "--"][..], vec![("BGP_MESH_SEEDS", seeds)])
            }
            Self::Ipam => {
                (&["--package", "ipam", "--lib", "--", "plan::simulation"][..], vec![("IPAM_SEEDS", seeds)])
            }
            Self::Fuzz => return None,
        };
        Some((arguments.to_vec(), variables))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_test_with_seed_and_rounds_in_its_environment() {
        let cases = [
            (Soak::Kill, Some(("failures", vec![("KILLS", "3"), ("KILL_SEED", "7")]))),
            (Soak::FirstPacket, Some(("policy", vec![("FIRST_PACKET_STARTS", "3")]))),
            (Soak::Mesh, Some(("mesh", vec![("BGP_MESH_SEEDS", "7..10")]))),
            (Soak::Ipam, Some(("plan::simulation", vec![("IPAM_SEEDS", "7..10")]))),
            (Soak::Fuzz, None),
        ];
        for (soak, expected) in cases {
            let found = soak.words(7, 3);
            assert_eq!(found.is_some(), expected.is_some(), "{soak:?}");
            let (Some((arguments, variables)), Some((word, expected))) = (found, expected) else { continue };
            assert!(arguments.contains(&word), "{soak:?}: {arguments:?}");
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(variables, expected, "{soak:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for soak in Soak::value_variants() {
            assert_eq!(Soak::from_str(soak.name(), false), Ok(*soak));
            assert!(soak.short() != soak.long(), "{soak:?}");
        }
    }
}
