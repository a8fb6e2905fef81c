//! What the README tells people to write is understood.

use std::fs;
use std::process::Command;

use crate::manifest::deploy;

/// The block of this language.
fn block(language: &str) -> String {
    let text = fs::read_to_string(deploy().join("../README.md")).unwrap();
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn bird_takes_the_configuration_of_a_tor() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("bird.conf");
    let head = "router id 10.10.1.251;\nprotocol device {}\n";
    fs::write(&place, format!("{head}{}", block("bird"))).unwrap();
    let bird = integration::lab::programs::Programs::bird().unwrap();
    let output = Command::new(bird).arg("-p").arg("-c").arg(&place).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_file_that_is_named_is_there() {
    let text = fs::read_to_string(deploy().join("../README.md")).unwrap();
    let named = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for path in named.filter(|path| !path.contains("://")) {
        assert!(deploy().join("..").join(path).exists(), "README names {path}");
    }
}
