//! Golden files: objects in `cases/NAME.yaml`, the program that they compile to in `cases/NAME.nft`.
//!
//! `UPDATE=1 cargo test -p felix --test policy_cases` rewrites them. `empty.nft` is the whole program of a node without
//! objects; the others show what they add to it.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests panic, and tables are long")]

mod world;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use felix::compile::{Compiler, Settings};
use felix::program::Program;

/// Inputs that are not cases of their own.
const NOT_CASES: [&str; 2] = ["world", "scenarios"];

fn cases() -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(world::cases()).unwrap().map(|it| it.unwrap().path());
    let yaml = files.filter(|it| it.extension().is_some_and(|it| it == "yaml"));
    let named = yaml.map(|it| (it.file_stem().unwrap().to_str().unwrap().to_owned(), it));
    let mut cases: Vec<_> = named.filter(|(name, _)| !NOT_CASES.contains(&name.as_str())).collect();
    cases.sort();
    assert!(cases.len() >= 8, "only {} cases were found", cases.len());
    cases
}

fn program(path: &PathBuf) -> Program {
    let mut compiler = Compiler::new(Settings::default());
    for change in world::changes(&std::fs::read_to_string(path).unwrap()) {
        compiler.apply(change);
    }
    world::interpreter::check(compiler.program());
    compiler.program().clone()
}

/// What the program has beyond the base.
fn beyond(base: &Program, mut program: Program) -> Program {
    program.sets.retain(|name, set| base.sets.get(name) != Some(set));
    program.maps.retain(|name, map| base.maps.get(name) != Some(map));
    program.chains.retain(|name, chain| base.chains.get(name) != Some(chain));
    program
}

#[test]
fn programs_are_as_written() {
    let base = Compiler::new(Settings::default()).program().clone();
    let is_update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for (name, path) in cases() {
        let program = program(&path);
        let text = if name == "empty" { program } else { beyond(&base, program) }.to_string();
        let golden = path.with_extension("nft");
        if is_update {
            std::fs::write(&golden, &text).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "not as written (UPDATE=1 rewrites):\n{}", wrong.join("\n"));
}

/// The kernel and nft itself take every program: types fit, nothing overlaps, no name is refused.
#[test]
fn nft_takes_every_program() {
    for (name, path) in cases() {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "nft", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut nft = unshare.spawn().expect("unshare and nft are installed");
        let text = program(&path).to_string();
        std::io::Write::write_all(&mut nft.stdin.take().unwrap(), text.as_bytes()).unwrap_or_default();
        let output = nft.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
    }
}
