//! `cargo lab mutants`: breaks named places of the product, one at a time, and asks the tests whether they notice.
//!
//! ```text
//! checkout -> Tree (a copy) -> all killers pass? -> for each mutant: write it, build, run its killer, restore
//!                                                          |
//!                                                   killed | SURVIVED | did not build | did not apply
//! ```
//! A mutant that survives is a missing test. The checkout itself is never written to.

mod catalog;
mod killer;
mod report;
mod tree;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use catalog::{Mutant, all};
use killer::Cargo;
use report::{Report, Row, Verdict};
use tree::Tree;

/// What `cargo lab mutants` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The mutants to try; all when none is named.
    names: Vec<String>,
    /// Print the names and what they break, and try none.
    #[arg(long)]
    list: bool,
    /// Write the result as Markdown into this file, too.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Tries the mutants.
///
/// # Errors
/// A name that is no mutant's; a test that fails without any mutant; a mutant that is not killed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = choose(&options.names)?;
    if options.list {
        for mutant in chosen {
            say(&format!("{:<30} {}", mutant.name, mutant.breaks));
        }
        return Ok(());
    }
    let tree = Tree::copy_of_checkout()?;
    let cargo = Cargo::new(tree.folder())?;
    let mut report = Report::new(&tree);
    unmutated(&cargo, &chosen)?;
    say(&report::head());
    for mutant in chosen {
        let row = attempt(&tree, &cargo, mutant)?;
        say(&row.line());
        report.add(row);
    }
    say(&report.summary());
    if let Some(path) = &options.output {
        let write = std::fs::write(path, report.markdown());
        write.with_context(|| format!("--output {} cannot be written", path.display()))?;
    }
    ensure!(report.is_clean(), "not every mutant was killed: each survivor is a missing test");
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Mutant>> {
    if names.is_empty() {
        return Ok(all().collect());
    }
    let find = |name: &String| {
        let found = all().find(|mutant| mutant.name == *name);
        found.with_context(|| format!("there is no mutant {name:?}; `cargo lab mutants --list` names all"))
    };
    names.iter().map(find).collect()
}

/// Every killer must pass, and run at least one test, where nothing is broken.
fn unmutated(cargo: &Cargo, chosen: &[&Mutant]) -> Result<()> {
    let mut killers: Vec<_> = chosen.iter().map(|mutant| mutant.killer).collect();
    killers.sort();
    killers.dedup();
    say(&format!("== without mutants: {} sets of tests", killers.len()));
    for killer in killers {
        cargo.build(killer)?.then_some(()).with_context(|| format!("{killer} does not build"))?;
        match cargo.test(killer)? {
            killer::Outcome::Passed { tests: 1.. } => {}
            killer::Outcome::Passed { tests: 0 } => bail!("{killer} names no test"),
            other => bail!("{killer} fails without any mutant: {other:?}"),
        }
    }
    Ok(())
}

fn attempt(tree: &Tree, cargo: &Cargo, mutant: &'static Mutant) -> Result<Row> {
    let Some(applied) = tree.apply(mutant)? else {
        return Ok(Row { mutant, verdict: Verdict::DidNotApply });
    };
    let verdict = if cargo.build(mutant.killer)? {
        Verdict::of(&cargo.test(mutant.killer)?)
    } else {
        Verdict::DidNotBuild
    };
    applied.restore()?;
    Ok(Row { mutant, verdict })
}

#[expect(clippy::print_stdout, reason = "what became of the mutants is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
