//! CNI ADD beside the reference plugins: prepares pods and policies, starts the runtime process, sums up.

use std::io::Write as _;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};

use super::machine::REFERENCE_DIRECTORY;
use super::report::{Row, Section};
use super::runtime::{Contender, Load, Plan, PodName, Sample};
use super::sample::Figure;
use super::{NODE, objects};
use crate::lab::Lab;
use crate::lab::steps::Steps;
use crate::probe::Endpoint;

/// Pods of one round: attached one by one, and then all at once.
const PODS: usize = 20;
/// Part of the reference plugins' time that ADD may take.
const TARGET: &str = "a third";

/// Measures on [`NODE`].
///
/// # Errors
/// When an object is refused or a call of a plugin fails.
pub(super) async fn measure(lab: &Lab, rounds: u16, steps: &Steps) -> Result<Section> {
    let client = lab.client();
    objects::create_namespace(&client).await?;
    objects::create_policies(&client).await?;
    let plan = plan(lab, &client, rounds).await?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&serde_json::to_vec(&plan)?)?;
    steps.say(&format!(
        "{rounds} rounds of {PODS} pods one by one and {PODS} at once, by each of three contenders"
    ));
    let path = file.path().display().to_string();
    let node = Endpoint::Node(NODE.into());
    let text = lab.run(&node, lab.underlay().programs().lab(), &["bench-runtime", "--plan", &path]).await?;
    let samples: Vec<Sample> = serde_json::from_str(&text)?;
    let mut rows = Vec::new();
    for load in [Load::OneByOne, Load::AtOnce] {
        for measure in [Measure::Exit, Measure::Packet, Measure::Del] {
            for percent in [50, 99] {
                rows.extend(compared(&samples, load, measure, percent));
            }
        }
    }
    Ok(Section { title: "CNI ADD".into(), unit: "ms", rows, notes: notes() })
}

async fn plan(lab: &Lab, client: &Client, rounds: u16) -> Result<Plan> {
    let api: Api<Pod> = Api::namespaced(client.clone(), objects::NAMESPACE);
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut pods = Vec::new();
        for number in 0..PODS {
            pods.push(create_pod(&api, &format!("attached-{round}-{number}")).await?);
        }
        all.push(pods);
    }
    // Last, so that a daemon that knows it knows all others.
    let warm_up = create_pod(&api, "warm-up").await?;
    let nodes = &lab.underlay().topology().nodes;
    let node = nodes.iter().find(|node| node.name == NODE).context("the lab has no node to measure")?;
    let targets = vec![IpAddr::from(node.ipv4), IpAddr::from(node.ipv6)];
    Ok(Plan { rounds: all, warm_up, targets, reference: REFERENCE_DIRECTORY.into() })
}

async fn create_pod(api: &Api<Pod>, name: &str) -> Result<PodName> {
    let pod: Pod = serde_json::from_value(objects::attached_pod(name))?;
    let pod = api.create(&PostParams::default(), &pod).await?;
    let uid = pod.metadata.uid.context("the API server gave the pod no UID")?;
    Ok(PodName { namespace: objects::NAMESPACE.into(), name: name.into(), uid })
}

/// What is looked at in a sample.
#[derive(Clone, Copy)]
enum Measure {
    Exit,
    Packet,
    Del,
}

impl Measure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Exit => sample.exit_millis,
            Self::Packet => sample.packet_millis,
            Self::Del => sample.del_millis,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Exit => "ADD to its exit",
            Self::Packet => "ADD to answers",
            Self::Del => "DEL to its exit",
        }
    }
}

/// Ours with its ratios, then the others.
fn compared(samples: &[Sample], load: Load, measure: Measure, percent: u8) -> Vec<Row> {
    let figure = |contender| {
        Figure::of_percentile(&by_round(samples, contender, load, measure), percent)
            .map(|figure| (contender, figure))
    };
    let figures: Vec<(Contender, Figure)> = Contender::ALL.into_iter().filter_map(figure).collect();
    let Some((_, ours)) = figures.first().copied() else { return Vec::new() };
    let row = |(contender, figure): &(Contender, Figure)| Row {
        what: format!("{}, {}, p{percent}: {}", measure.name(), load_name(load), name(*contender)),
        figure: *figure,
        ratios: Vec::new(),
    };
    let mut rows: Vec<Row> = figures.iter().map(row).collect();
    let others = figures.iter().skip(1);
    rows[0].ratios = others
        .map(|(contender, figure)| (name(*contender).to_owned(), ours.median / figure.median))
        .collect();
    rows
}

fn by_round(samples: &[Sample], contender: Contender, load: Load, measure: Measure) -> Vec<Vec<f64>> {
    let ours = samples.iter().filter(|sample| sample.contender == contender && sample.load == load);
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    for sample in ours {
        if rounds.len() <= sample.round {
            rounds.resize(sample.round + 1, Vec::new());
        }
        rounds[sample.round].push(measure.of(sample));
    }
    rounds
}

fn load_name(load: Load) -> &'static str {
    match load {
        Load::OneByOne => "one by one",
        Load::AtOnce => "20 at once",
    }
}

fn name(contender: Contender) -> &'static str {
    match contender {
        Contender::Tortie => "tortie-cni",
        Contender::Ptp => "ptp",
        Contender::PtpWithoutDetection => "ptp without DAD",
    }
}

fn notes() -> Vec<String> {
    let (policies, selecting) = (objects::POLICIES, objects::POLICIES_SELECTING);
    vec![
        format!(
            "{policies} NetworkPolicies in the cluster, {selecting} of them select the pod; IPv4 and IPv6; {PODS} calls of \
             each contender in a round and load, so that p99 is the slowest of a round"
        ),
        "to answers: until the node has answered an echo request of the pod by IPv4 and one by IPv6".into(),
        "ptp: with host-local; it enforces no policy and waits for duplicate address detection (DAD) of IPv6"
            .into(),
        "ptp without DAD: the same in a namespace in which detection was switched off before ADD".into(),
        format!("target: at most {TARGET} of ptp"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_ours_to_each_of_the_others() {
        let sample = |contender, round, exit_millis| Sample {
            contender,
            load: Load::OneByOne,
            round,
            exit_millis,
            packet_millis: 0.0,
            del_millis: 0.0,
        };
        let samples = [
            sample(Contender::Tortie, 0, 1.0),
            sample(Contender::Tortie, 1, 3.0),
            sample(Contender::Ptp, 0, 8.0),
            sample(Contender::Ptp, 1, 8.0),
            sample(Contender::PtpWithoutDetection, 0, 4.0),
            sample(Contender::PtpWithoutDetection, 1, 4.0),
        ];
        let rows = compared(&samples, Load::OneByOne, Measure::Exit, 50);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].figure, Figure { median: 2.0, least: 1.0, greatest: 3.0 });
        assert_eq!(rows[0].ratios, [("ptp".to_owned(), 0.25), ("ptp without DAD".to_owned(), 0.5)]);
        assert!(compared(&samples, Load::AtOnce, Measure::Exit, 50).is_empty());
    }
}
