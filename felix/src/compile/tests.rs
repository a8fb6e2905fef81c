//! Faults stay with their policy, chains are shared, and a change costs what it changes.

use super::*;
use crate::model::{Direction, NamespaceMatch, Peer, PodTerm, PolicyRule};
use crate::program::{Name, Op, Verdict};
use api::selector::Selector;

fn label(key: &str, value: &str) -> Selector {
    Selector::In(key.to_owned(), vec![value.to_owned()])
}

fn policy(name: &str, selector: Selector, ingress: Vec<PolicyRule>) -> Policy {
    let key = ObjectKey::new("x", name);
    Policy { key, pod_selector: selector, ingress: Some(ingress), egress: None, error: None }
}

fn from_pods(selector: Selector) -> PolicyRule {
    let term = PodTerm { namespaces: NamespaceMatch::Named("x".to_owned()), pods: selector };
    PolicyRule { peers: vec![Peer::Pods(term)], ports: vec![] }
}

fn pod(name: &str, labels: &[(&str, &str)], last: u8) -> Pod {
    Pod {
        key: ObjectKey::new("x", name),
        uids: vec![format!("uid-{name}")],
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        addresses: vec![[10, 1, 0, last].into()],
        ports: vec![],
    }
}

fn endpoint(name: &str, last: u8) -> Endpoint {
    Endpoint {
        interface: interface(name),
        pod: ObjectKey::new("x", name),
        pod_uid: format!("uid-{name}"),
        addresses: vec![[10, 1, 0, last].into()],
    }
}

fn interface(pod: &str) -> InterfaceName {
    InterfaceName::new(&format!("tort{pod}")).unwrap()
}

fn verdict(compiler: &Compiler, direction: Direction, pod: &str) -> Option<Verdict> {
    compiler.program().maps[&base::dispatch_map(direction)].elements.get(&interface(pod)).cloned()
}

fn compiler_with(hook: Option<CompileHook>, changes: Vec<Change>) -> (Compiler, Vec<Fault>) {
    let settings = Settings::default();
    let mut compiler = match hook {
        Some(hook) => Compiler::with_hook(settings, hook),
        None => Compiler::new(settings),
    };
    let faults = changes.into_iter().flat_map(|change| compiler.apply(change).faults).collect();
    (compiler, faults)
}

#[test]
fn a_panic_costs_the_policy_that_caused_it() {
    let hook: CompileHook = Arc::new(|key| assert!(key.name != "bad", "injected"));
    let rule = || vec![from_pods(Selector::All)];
    let changes = vec![
        Change::Pod(pod("a", &[], 1)),
        Change::Endpoint(endpoint("a", 1)),
        Change::Policy(policy("good", Selector::All, rule())),
        Change::Policy(policy("bad", Selector::All, rule())),
        Change::Policy(policy("later", Selector::All, rule())),
    ];
    let (compiler, faults) = compiler_with(Some(hook), changes);
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].policy, ObjectKey::new("x", "bad"));
    assert!(faults[0].reason.contains("injected"), "{}", faults[0]);
    let chain = |name: &str| &compiler.program().chains[&Name::new(&format!("ingress/x/{name}"))].rules;
    assert!(chain("bad").is_empty(), "what fails allows nothing");
    assert!(!chain("good").is_empty() && !chain("later").is_empty(), "its neighbours go on");
    assert!(compiler.model().policies[&ObjectKey::new("x", "bad")].error.is_some());
}

#[test]
fn a_policy_that_fails_after_it_worked_is_closed_too_and_heals() {
    let hook: CompileHook = Arc::new(|key| assert!(key.name != "bad", "injected"));
    let changes = vec![Change::Pod(pod("a", &[], 1)), Change::Endpoint(endpoint("a", 1))];
    let (mut compiler, _) = compiler_with(Some(hook), changes);
    compiler.apply(Change::Policy(policy("bad", Selector::All, vec![PolicyRule::default()])));
    compiler.hook = None;
    let healed = compiler.apply(Change::Policy(policy("bad", Selector::All, vec![PolicyRule::default()])));
    assert!(healed.faults.is_empty() && !healed.delta.is_empty());
    assert_eq!(compiler.program().chains[&Name::new("ingress/x/bad")].rules.len(), 1);
}

#[test]
fn equal_lists_of_policies_share_chains() {
    let changes = vec![
        Change::Pod(pod("a", &[("app", "web")], 1)),
        Change::Pod(pod("b", &[("app", "web"), ("more", "yes")], 2)),
        Change::Pod(pod("c", &[("app", "db")], 3)),
        Change::Endpoint(endpoint("a", 1)),
        Change::Endpoint(endpoint("b", 2)),
        Change::Endpoint(endpoint("c", 3)),
        Change::Policy(policy("all", Selector::All, vec![])),
        Change::Policy(policy("web", label("app", "web"), vec![])),
    ];
    let (compiler, _) = compiler_with(None, changes);
    let of = |pod| verdict(&compiler, Direction::Ingress, pod);
    assert!(matches!(of("a"), Some(Verdict::Goto(_))));
    assert_eq!(of("a"), of("b"));
    assert_ne!(of("a"), of("c"));
    assert_eq!(verdict(&compiler, Direction::Egress, "a"), Some(Verdict::Accept));
}

#[test]
fn an_endpoint_without_its_pod_has_no_verdict() {
    let other = Pod { uids: vec!["another".to_owned()], ..pod("b", &[], 2) };
    let changes =
        vec![Change::Endpoint(endpoint("a", 1)), Change::Pod(other), Change::Endpoint(endpoint("b", 2))];
    let (mut compiler, _) = compiler_with(None, changes);
    for (why, name) in [("no such pod", "a"), ("another pod of the name", "b")] {
        assert_eq!(verdict(&compiler, Direction::Ingress, name), None, "{why}");
    }
    compiler.apply(Change::Pod(pod("a", &[], 1)));
    assert_eq!(verdict(&compiler, Direction::Ingress, "a"), Some(Verdict::Accept));
    compiler.apply(Change::PodGone(ObjectKey::new("x", "a")));
    assert_eq!(verdict(&compiler, Direction::Ingress, "a"), None, "an ended pod has none");
}

#[test]
fn an_endpoint_is_complete_in_the_delta_of_its_addition() {
    let changes = vec![
        Change::Pod(pod("a", &[], 1)),
        Change::Pod(pod("peer", &[("role", "peer")], 9)),
        Change::Policy(policy("p", Selector::All, vec![from_pods(label("role", "peer"))])),
    ];
    let (mut compiler, _) = compiler_with(None, changes);
    let delta = compiler.add_endpoint(endpoint("a", 1));
    let kinds: Vec<&str> = delta
        .ops
        .iter()
        .map(|op| match op {
            Op::AddSet(..) => "set",
            Op::AddElements(..) => "elements",
            Op::AddChain(..) => "chain",
            Op::SetRules(..) => "rules",
            Op::SetVerdict { .. } => "verdict",
            _ => "other",
        })
        .collect();
    let mut phases = kinds.clone();
    phases.dedup();
    let position = |kind: &str| kinds.iter().position(|it| *it == kind).unwrap();
    let last = |kind: &str| kinds.iter().rposition(|it| *it == kind).unwrap();
    assert!(last("set") < position("chain"), "sets before chains: {phases:?}");
    assert!(last("elements") < position("chain"), "filled before they are used: {phases:?}");
    assert!(last("rules") < position("verdict"), "chains before dispatch: {phases:?}");
    assert!(!kinds.contains(&"other"), "{delta:?}");
    let removal = compiler.remove_endpoint(interface("a"));
    assert!(matches!(removal.ops.last(), Some(Op::DeleteSet(_))), "sets go last: {removal:?}");
    assert_eq!(*compiler.program(), base::program(&Settings::default()), "nothing is left");
}

#[test]
fn a_label_changes_one_element_of_each_set_that_it_decides() {
    let mut changes: Vec<Change> =
        (0..200).map(|index| Change::Pod(pod(&format!("p{index}"), &[("app", "other")], index))).collect();
    changes.push(Change::Pod(pod("a", &[], 250)));
    changes.push(Change::Endpoint(endpoint("a", 250)));
    changes.push(Change::Policy(policy("p", Selector::All, vec![from_pods(label("app", "web"))])));
    let (mut compiler, _) = compiler_with(None, changes);
    let delta = compiler.apply(Change::Pod(pod("p7", &[("app", "web")], 7))).delta;
    assert!(matches!(&delta.ops[..], [Op::AddElements(_, elements)] if elements.len() == 1), "{delta:?}");
    let delta = compiler.apply(Change::Pod(pod("p7", &[("app", "other")], 7))).delta;
    assert!(matches!(&delta.ops[..], [Op::DeleteElements(_, elements)] if elements.len() == 1), "{delta:?}");
    let delta = compiler.apply(Change::Pod(pod("p7", &[("app", "third")], 7))).delta;
    assert!(delta.is_empty(), "a label that no selector asks for: {delta:?}");
}

#[test]
fn an_address_that_two_pods_share_stays_until_both_are_gone() {
    let changes = vec![
        Change::Pod(pod("a", &[], 1)),
        Change::Endpoint(endpoint("a", 1)),
        Change::Policy(policy("p", Selector::All, vec![from_pods(label("app", "web"))])),
        Change::Pod(pod("old", &[("app", "web")], 9)),
        Change::Pod(pod("new", &[("app", "web")], 9)),
    ];
    let (mut compiler, _) = compiler_with(None, changes);
    let first = compiler.apply(Change::PodGone(ObjectKey::new("x", "old")));
    assert!(first.delta.is_empty(), "the follower still has it");
    let second = compiler.apply(Change::PodGone(ObjectKey::new("x", "new")));
    assert!(matches!(&second.delta.ops[..], [Op::DeleteElements(..)]), "{second:?}");
}
