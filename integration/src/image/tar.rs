//! Tar files (POSIX ustar) whose bytes depend on names and contents alone: sorted, owned by root, of the year 1970.

use std::collections::{BTreeMap, BTreeSet};

const BLOCK_BYTES: usize = 512;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To be read.
    File,
    /// To be run.
    Program,
}

/// A tar file of these files, with the folders that they lie in. Names have no slash in front and at most 99 bytes.
pub(super) fn archive<'a>(files: impl IntoIterator<Item = (&'a str, Mode, &'a [u8])>) -> Vec<u8> {
    let files: BTreeMap<&str, (Mode, &[u8])> =
        files.into_iter().map(|(name, mode, content)| (name, (mode, content))).collect();
    let mut bytes = Vec::new();
    for folder in folders(files.keys().copied()) {
        bytes.extend_from_slice(&header(&folder, 0o755, 0, b'5'));
    }
    for (name, (mode, content)) in files {
        let mode = if mode == Mode::Program { 0o755 } else { 0o644 };
        bytes.extend_from_slice(&header(name, mode, content.len(), b'0'));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    // The end is two empty blocks.
    bytes.resize(bytes.len() + 2 * BLOCK_BYTES, 0);
    bytes
}

/// Every folder above these files, a folder before what is in it.
fn folders<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for name in names {
        folders.extend(name.match_indices('/').map(|(end, _)| name[..=end].to_owned()));
    }
    folders
}

fn header(name: &str, mode: u32, length: usize, kind: u8) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    // Owner, group and time are 0.
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{length:011o}"));
    put(136, "00000000000");
    // The sum is made with its own field full of spaces.
    put(148, "        ");
    put(257, "ustar\x0000");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn other_programs_read_it() {
        let long = vec![7; 513];
        let bytes = archive([
            ("usr/bin/b", Mode::Program, b"run".as_slice()),
            ("usr/a", Mode::File, long.as_slice()),
            ("top", Mode::File, b"".as_slice()),
        ]);
        let mut tar = Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--utc", "--full-time"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 usr/",
                "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 usr/bin/",
                "-rw-r--r-- 0/0 0 1970-01-01 00:00:00 top",
                "-rw-r--r-- 0/0 513 1970-01-01 00:00:00 usr/a",
                "-rwxr-xr-x 0/0 3 1970-01-01 00:00:00 usr/bin/b",
            ]
        );
    }

    #[test]
    fn the_order_in_which_files_are_named_does_not_matter() {
        let (a, b) = (("a", Mode::File, b"1".as_slice()), ("b/c", Mode::Program, b"2".as_slice()));
        assert_eq!(archive([a, b]), archive([b, a]));
    }
}
