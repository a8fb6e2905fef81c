//! Puts the CNI plugin and, last of all, its configuration where the container runtime looks for them.
//!
//! Both appear whole or not at all: they are written beside their place and renamed into it.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use api::names::{CNI_CONFLIST, CNI_NETWORK, CNI_PLUGIN};

/// The CNI version of the configuration that is installed.
const CNI_VERSION: &str = "1.1.0";

/// The configuration list, by which the runtime finds the plugin and the plugin its daemon.
pub fn conflist(cni_socket: &Path) -> String {
    let list = serde_json::json!({
        "cniVersion": CNI_VERSION,
        "name": CNI_NETWORK,
        "plugins": [{ "type": CNI_PLUGIN, "socket": cni_socket }],
    });
    format!("{list:#}\n")
}

/// Copies the plugin into the plugins' folder, unless it is there already.
///
/// # Errors
/// The file that cannot be read or written.
pub fn install_plugin(plugin: &Path, bin_dir: &Path) -> Result<()> {
    let content = fs::read(plugin).with_context(|| format!("CNI plugin {}", plugin.display()))?;
    let place = bin_dir.join(CNI_PLUGIN);
    if fs::read(&place).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::create_dir_all(bin_dir).with_context(|| bin_dir.display().to_string())?;
    replace(&place, &content, 0o755)
}

/// Writes the configuration list; from now on the runtime makes pods with it.
///
/// # Errors
/// The file that cannot be written.
pub fn install_conflist(conf_dir: &Path, cni_socket: &Path) -> Result<()> {
    let content = conflist(cni_socket);
    let place = conf_dir.join(CNI_CONFLIST);
    if fs::read_to_string(&place).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::create_dir_all(conf_dir).with_context(|| conf_dir.display().to_string())?;
    replace(&place, content.as_bytes(), 0o600)
}

/// Configuration files of others that the runtime prefers to ours, as it takes the first by name.
pub fn foreign_conflists(conf_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(conf_dir).into_iter().flatten().flatten();
    let mut foreign: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| ["conf", "conflist", "json"].iter().any(|known| extension == *known))
        })
        .filter(|path| path.file_name().is_some_and(|name| name < CNI_CONFLIST))
        .collect();
    foreign.sort();
    foreign
}

fn replace(place: &Path, content: &[u8], mode: u32) -> Result<()> {
    let beside = place.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&beside, place)
    };
    write().with_context(|| format!("cannot write {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_with_their_modes_and_stay_when_equal() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("built");
        fs::write(&plugin, b"plugin").unwrap();
        let bin_dir = folder.path().join("bin");
        install_plugin(&plugin, &bin_dir).unwrap();
        let installed = bin_dir.join(CNI_PLUGIN);
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
        let before = fs::metadata(&installed).unwrap().modified().unwrap();
        install_plugin(&plugin, &bin_dir).unwrap();
        assert_eq!(fs::metadata(&installed).unwrap().modified().unwrap(), before);

        let conf_dir = folder.path().join("net.d");
        install_conflist(&conf_dir, Path::new("/run/x/cni.sock")).unwrap();
        let list: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(conf_dir.join(CNI_CONFLIST)).unwrap()).unwrap();
        assert_eq!(list["plugins"][0]["type"], "tortie-cni");
        assert_eq!(list["plugins"][0]["socket"], "/run/x/cni.sock");
    }

    #[test]
    fn only_what_sorts_before_ours_is_foreign() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["05-other.conflist", "10-tortie.conflist", "20-late.conf", "00-readme.txt"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        assert_eq!(foreign_conflists(folder.path()), [folder.path().join("05-other.conflist")]);
    }
}
