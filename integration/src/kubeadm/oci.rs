//! Container images without a registry: a folder tree in memory, written as an archive of the OCI image layout.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::image::architecture;

/// Length of a block of a tar archive, in bytes (POSIX.1-2017, pax, ustar interchange format).
const BLOCK: usize = 512;
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// A tar archive that grows.
#[derive(Debug, Default)]
pub(super) struct Archive(Vec<u8>);

impl Archive {
    /// A folder.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.entry(&format!("{path}/"), b'5', 0o755, "", &[])
    }

    /// A file with that content.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, b'0', mode, "", content)
    }

    /// A file of the machine, with its mode.
    pub(super) fn copy(&mut self, path: &str, source: &Path) -> io::Result<()> {
        let text = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", source.display()));
        let mode = fs::metadata(source).map_err(text)?.permissions().mode() & 0o777;
        self.file(path, mode, &fs::read(source).map_err(text)?)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, b'2', 0o777, target, &[])
    }

    fn entry(&mut self, path: &str, kind: u8, mode: u32, target: &str, content: &[u8]) -> io::Result<()> {
        self.0.extend(header(path, kind, mode, target, content.len())?);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// The archive with the two empty blocks at its end.
    fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// One header block; owner, group and time are 0, so that the same tree gives the same bytes.
fn header(path: &str, kind: u8, mode: u32, target: &str, length: usize) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let (mode, length) = (format!("{mode:07o}"), format!("{length:011o}"));
    let fields: [(usize, usize, &[u8]); 9] = [
        (0, 100, path.as_bytes()),
        (100, 8, mode.as_bytes()),
        (108, 8, b"0000000"),
        (116, 8, b"0000000"),
        (124, 12, length.as_bytes()),
        (136, 12, b"00000000000"),
        (156, 1, &[kind]),
        (157, 100, target.as_bytes()),
        (257, 8, b"ustar\x0000"),
    ];
    for (start, room, value) in fields {
        if value.len() > room {
            let text = format!("'{path}' does not fit into an archive's header");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        block[start..start + value.len()].copy_from_slice(value);
    }
    // The sum counts its own field as blanks.
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// An image of one layer.
#[derive(Debug)]
pub(super) struct Image {
    /// What the cluster calls it, tag included; several names are several images of the same layer.
    pub(super) names: Vec<String>,
    /// What a container runs when the pod does not say.
    pub(super) entrypoint: Vec<String>,
    /// Its files.
    pub(super) files: Archive,
}

impl Image {
    /// Writes the archive of an image layout, whole or not at all.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn write(self, path: &Path) -> io::Result<()> {
        let layer = self.files.finish();
        let (layer_digest, layer_length) = (digest(&layer), layer.len());
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": blob(CONFIG_TYPE, &digest(&config), config.len()),
            "layers": [blob(LAYER_TYPE, &layer_digest, layer_length)],
        });
        let manifest = manifest.to_string().into_bytes();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": self.names.iter().map(|name| named(&manifest, name)).collect::<Vec<_>>(),
        });
        let mut layout = Archive::default();
        layout.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        layout.file("index.json", 0o644, index.to_string().as_bytes())?;
        for content in [&manifest, &config, &layer] {
            let digest = digest(content);
            let place = digest.trim_start_matches("sha256:");
            layout.file(&format!("blobs/sha256/{place}"), 0o644, content)?;
        }
        let part = path.with_extension("part");
        fs::File::create(&part)?.write_all(&layout.finish())?;
        fs::rename(part, path)
    }
}

fn named(manifest: &[u8], name: &str) -> Value {
    let mut entry = blob(MANIFEST_TYPE, &digest(manifest), manifest.len());
    entry["platform"] = json!({"architecture": architecture(), "os": "linux"});
    entry["annotations"] = json!({"io.containerd.image.name": name});
    entry
}

fn blob(kind: &str, digest: &str, length: usize) -> Value {
    json!({"mediaType": kind, "digest": digest, "size": length})
}

fn digest(content: &[u8]) -> String {
    let bytes = Sha256::digest(content);
    bytes.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = Archive::default();
        archive.folder("bin").unwrap();
        archive.file("bin/tool", 0o755, b"text").unwrap();
        archive.link("bin/alias", "tool").unwrap();
        let file = folder.path().join("archive.tar");
        fs::write(&file, archive.finish()).unwrap();
        let output =
            std::process::Command::new("tar").arg("-xf").arg(&file).arg("-C").arg(folder.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read(folder.path().join("bin/alias")).unwrap(), b"text");
        let mode = fs::metadata(folder.path().join("bin/tool")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused() {
        let path = "a/".repeat(60);
        assert!(Archive::default().file(&path, 0o644, b"").is_err());
    }
}
