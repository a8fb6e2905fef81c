use super::*;

#[test]
fn versions_are_read() {
    let cases = [
        ("go1.26.8\n", Some((1, 26))),
        ("go1.19.8", Some((1, 19))),
        ("go1.27rc1", Some((1, 27))),
        ("devel go1.28-0123abc Thu Jan 1", Some((1, 28))),
        ("", None),
        ("go", None),
        ("go1", None),
        ("gccgo", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), expected, "{text:?}");
    }
}

#[test]
fn machines_have_the_names_that_go_gives_them() {
    let cases = [("x86_64", Some("linux-amd64")), ("aarch64", Some("linux-arm64")), ("sparc64", None)];
    for (machine, expected) in cases {
        let release = release(machine);
        assert_eq!(release.as_deref().and_then(|it| it.split_once("1.26.8.")).map(|it| it.1), expected);
    }
}

#[test]
fn what_is_fetched_is_as_new_as_the_modules_ask_for() {
    let module = include_str!("../../../kube/go.mod");
    let line = module.lines().find_map(|line| line.strip_prefix("go ")).unwrap();
    assert_eq!(parse(&format!("go{line}")), Some(OLDEST));
    assert!(parse(&format!("go{FETCHED}")).unwrap() >= OLDEST);
}

#[test]
fn a_release_gets_back_what_archives_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let files = ["bin/go", "bin/gofmt", "pkg/tool/linux_amd64/compile", "src/_go.mod", "src/cmd/_go.mod"];
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, file).unwrap();
        set_mode(&path, 0o444).unwrap();
    }
    set_mode(&root.join("src/cmd"), 0o555).unwrap();
    assert!(!is_executable(&root.join("bin/go")));
    // Twice: a first attempt may have been cut off.
    for _ in 0..2 {
        make_whole(root).unwrap();
    }
    for file in &files[..3] {
        assert!(is_executable(&root.join(file)), "{file}");
    }
    assert_eq!(fs::read_to_string(root.join("src/go.mod")).unwrap(), "src/_go.mod");
    assert_eq!(fs::read_to_string(root.join("src/cmd/go.mod")).unwrap(), "src/cmd/_go.mod");
}
