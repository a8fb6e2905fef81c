//! The scenarios of `scenarios.yaml`, one lab, several at a time.

use std::sync::Mutex;

use integration::lab::testing::TestLab;
use integration::probe::Family;
use serde::Deserialize;
use serde_json::Value;

use super::cast::{Cast, delete_policy, lab, policies_are_in_force, policy};
use super::table::{Probe, cells, differences};

/// While one waits for packets that must not come, others use the processors.
const CASTS: usize = 3;
/// What was promised.
const SCENARIOS_MIN: usize = 60;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    why: String,
    #[serde(default = "both_families")]
    families: Vec<Family>,
    policies: Vec<Policy>,
    /// The whole truth table for each probe.
    expect: Vec<Expected>,
}

#[derive(Clone, Debug, Deserialize)]
struct Policy {
    #[serde(rename = "in")]
    key: String,
    spec: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    on: String,
    table: Vec<String>,
}

fn both_families() -> Vec<Family> {
    vec![Family::Ipv4, Family::Ipv6]
}

fn scenarios() -> Vec<Scenario> {
    serde_yaml_ng::from_str(include_str!("scenarios.yaml")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_pass_as_the_truth_tables_say() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= SCENARIOS_MIN, "{} scenarios", scenarios.len());
    let lab = lab().await;
    let casts: Vec<Cast> = (0..CASTS).map(Cast).collect();
    futures::future::join_all(casts.iter().map(|cast| cast.start(&lab))).await;
    let left = Mutex::new(scenarios.iter().enumerate());
    let next = || left.lock().unwrap().next();
    let (lab_ref, next_ref) = (&lab, &next);
    let players = casts.iter().map(|cast| async move {
        let mut failures = Vec::new();
        while let Some((number, scenario)) = next_ref() {
            failures.extend(play(lab_ref, *cast, number, scenario).await);
        }
        failures
    });
    let failures: Vec<String> = futures::future::join_all(players).await.concat();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), scenarios.len(), failures.join("\n"));
    lab.end().await;
}

/// What went wrong in it.
async fn play(lab: &TestLab, cast: Cast, number: usize, scenario: &Scenario) -> Option<String> {
    let mut manifests = String::new();
    let mut names = Vec::new();
    for Policy { key, spec } in &scenario.policies {
        let (space, name) = key.split_once('/').unwrap();
        let spec = cast.fill_in(lab, &serde_json::to_string(spec).unwrap());
        manifests += &policy(&cast.namespace(space), name, &spec);
        names.push((cast.namespace(space), name));
    }
    if let Err(error) = lab.apply(&manifests).await {
        return Some(format!("{}: {error}", scenario.why));
    }
    policies_are_in_force(lab, &format!("scenario-{number}")).await;
    let mut table = Vec::new();
    for Expected { on, table: lines } in &scenario.expect {
        let probe: Probe = on.parse().unwrap();
        table.extend(cells(cast, probe, &scenario.families, lines));
    }
    let wrong = differences(lab, &table).await;
    println!("{} questions: {}", table.len(), scenario.why);
    for (namespace, name) in names {
        delete_policy(lab, &namespace, name).await;
    }
    (!wrong.is_empty()).then(|| format!("{}\n    {}", scenario.why, wrong.join("\n    ")))
}
