use super::*;
use crate::program::{
    Base, Chain, Element, Hook, HookKind, InterfaceName, Name, Op, SetKey, Span, VerdictMap,
};

fn program() -> Program {
    let mut program = Program::default();
    let element = Element::V4(Span::single([10, 0, 0, 1].into()));
    let set = Set { elements: [element].into(), ..Set::hash(SetKey::V4, "people read this") };
    program.sets.insert("peers".into(), set);
    let verdicts = [(InterfaceName::new("tort0").unwrap(), Verdict::Goto("pod".into()))];
    program.maps.insert("to-pod".into(), VerdictMap { elements: verdicts.into() });
    let rules = vec![Rule::new(vec![], Action::Verdict(Verdict::Drop)).counted("denied")];
    program.chains.insert("pod".into(), Chain { base: None, rules });
    let base = Some(Base { kind: HookKind::Filter, hook: Hook::Forward, priority: 0 });
    program.chains.insert("forward".into(), Chain { base, rules: vec![] });
    program
}

fn seen(change: impl FnOnce(&mut Program)) -> Observed {
    let mut program = program();
    change(&mut program);
    Observed::Table { persists: true, program }
}

#[test]
fn an_equal_table_is_left_alone() {
    assert_eq!(plan(&program(), seen(|_| {}), true), Plan::Nothing);
}

type Damage = Box<dyn FnOnce(&mut Program)>;

#[test]
fn what_can_be_changed_is_changed() {
    let pod = Name::from("pod");
    let rules = program().chains[&pod].rules.clone();
    let second = Element::V4(Span::single([10, 0, 0, 2].into()));
    let tort1 = InterfaceName::new("tort1").unwrap();
    let damage = |damage: fn(&mut Program)| -> Damage { Box::new(damage) };
    // (what happened to the table, expected changes)
    let cases: [(&str, Damage, Vec<Op>); 7] = [
        (
            "a rule was changed",
            damage(|program| {
                program.chains.get_mut(&Name::from("pod")).unwrap().rules = vec![unknown_rule()];
            }),
            vec![Op::SetRules(pod.clone(), rules.clone())],
        ),
        (
            "a chain was emptied",
            damage(|program| program.chains.get_mut(&Name::from("pod")).unwrap().rules.clear()),
            vec![Op::SetRules(pod.clone(), rules)],
        ),
        (
            "a rule was put into an empty chain",
            damage(|program| {
                program.chains.get_mut(&Name::from("forward")).unwrap().rules.push(unknown_rule());
            }),
            vec![Op::SetRules("forward".into(), vec![])],
        ),
        (
            "a chain of somebody else's",
            damage(|program| {
                program.chains.insert("foreign".into(), Chain { base: None, rules: vec![unknown_rule()] });
            }),
            vec![Op::SetRules("foreign".into(), vec![]), Op::DeleteChain("foreign".into())],
        ),
        (
            "a set of somebody else's",
            damage(|program| {
                program.sets.insert("foreign".into(), unknown_set());
            }),
            vec![Op::DeleteSet("foreign".into())],
        ),
        (
            "an element more",
            Box::new(move |program| {
                program.sets.get_mut(&Name::from("peers")).unwrap().elements.insert(second);
            }),
            vec![Op::DeleteElements("peers".into(), vec![second])],
        ),
        (
            "a verdict more",
            Box::new(move |program| {
                program.maps.get_mut(&Name::from("to-pod")).unwrap().elements.insert(tort1, Verdict::Accept);
            }),
            vec![Op::SetVerdict {
                map: "to-pod".into(),
                interface: tort1,
                old: Some(Verdict::Accept),
                new: None,
            }],
        ),
    ];
    for (why, damage, expected) in cases {
        match plan(&program(), seen(damage), true) {
            Plan::Change(_, delta) => assert_eq!(delta.ops, expected, "{why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn what_the_kernel_fixes_needs_a_new_table() {
    let everything = Delta::between(&Program::default(), &program());
    let persists = |persists| Observed::Table { persists, program: program() };
    let other_key = |program: &mut Program| {
        program.sets.insert("peers".into(), Set::hash(SetKey::V6, "people read this"));
    };
    let other_hook =
        |program: &mut Program| program.chains.get_mut(&Name::from("forward")).unwrap().base = None;
    let crossed = |program: &mut Program| {
        program.maps.clear();
        program.sets.insert("to-pod".into(), Set::hash(SetKey::V4, ""));
    };
    let unknown = |program: &mut Program| {
        program.sets.insert("peers".into(), unknown_set());
    };
    let unknown_hook = |program: &mut Program| {
        program.chains.get_mut(&Name::from("forward")).unwrap().base = Some(unknown_base());
    };
    // (why, observed, whether the kernel can keep tables, expected)
    let cases = [
        ("nothing there", Observed::Absent, true, Plan::Build(everything.clone())),
        ("not readable", Observed::Other { persists: true }, true, Plan::Rebuild(everything.clone())),
        ("made by a kernel of old", persists(false), true, Plan::Rebuild(everything.clone())),
        ("an old kernel's own", persists(false), false, Plan::Nothing),
        ("a set of another key", seen(other_key), true, Plan::Rebuild(everything.clone())),
        ("a set that is not known", seen(unknown), true, Plan::Rebuild(everything.clone())),
        ("a chain that is not known", seen(unknown_hook), true, Plan::Rebuild(everything.clone())),
        ("a chain at another hook", seen(other_hook), true, Plan::Rebuild(everything.clone())),
        ("a set where a map should be", seen(crossed), true, Plan::Rebuild(everything)),
    ];
    for (why, observed, persists, expected) in cases {
        assert_eq!(plan(&program(), observed, persists), expected, "{why}");
    }
}
