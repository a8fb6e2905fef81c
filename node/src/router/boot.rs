//! Whether the kernel kept forwarding since the former process: it did if the machine was not booted in between.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};
use bgp::{speaker::RestartMode, wire::Family};

/// Where the kernel says which boot this is.
const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How this start looks to the neighbors; notes the boot for the next one.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn restart_mode(file: &Path) -> Result<RestartMode> {
    let boot = fs::read_to_string(KERNEL_BOOT_ID).context(KERNEL_BOOT_ID)?;
    let former = match fs::read_to_string(file) {
        Ok(former) => Some(former),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    fs::write(file, &boot).with_context(|| file.display().to_string())?;
    Ok(mode(former.as_deref(), &boot))
}

fn mode(former: Option<&str>, boot: &str) -> RestartMode {
    match former {
        None => RestartMode::Fresh,
        // Families without a route of ours forwarded nothing that could have been lost.
        Some(former) if former == boot => {
            RestartMode::Restarting { preserved_families: Family::ALL.to_vec() }
        }
        Some(_) => RestartMode::Restarting { preserved_families: Vec::new() },
    }
}

/// The next start is as the first.
pub(super) fn forget(file: &Path) {
    // Where it cannot be removed, neighbors are told of a restart that they know nothing of: harmless.
    let _ = fs::remove_file(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_decides_what_was_preserved() {
        let both = Family::ALL.to_vec();
        // (why, boot of the former process, mode)
        let cases = [
            ("never before", None, RestartMode::Fresh),
            ("the same boot", Some("b"), RestartMode::Restarting { preserved_families: both }),
            ("another boot", Some("a"), RestartMode::Restarting { preserved_families: vec![] }),
        ];
        for (why, former, expected) in cases {
            assert_eq!(mode(former, "b"), expected, "{why}");
        }
    }

    #[test]
    fn the_second_start_is_a_restart_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("boot-id");
        assert_eq!(restart_mode(&file).unwrap(), RestartMode::Fresh);
        assert!(matches!(restart_mode(&file).unwrap(), RestartMode::Restarting { .. }));
        forget(&file);
        assert_eq!(restart_mode(&file).unwrap(), RestartMode::Fresh);
    }
}
