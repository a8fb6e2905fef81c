//! An image of one layer as an OCI layout in one tar file: what `ctr images import`, `podman load` and `docker load`
//! take.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tar::{self, Mode};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The tar file.
    pub(super) archive: Vec<u8>,
    /// The manifest's digest, with its algorithm in front.
    pub(super) digest: String,
}

/// A part of the image, stored under its digest.
struct Blob {
    media_type: &'static str,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        let digits = format!("{:x}", Sha256::digest(&content));
        Self { media_type, digest: format!("sha256:{digits}"), content }
    }

    fn of_json(media_type: &'static str, content: &Value) -> Self {
        Self::new(media_type, content.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.content.len()})
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

/// The image of these files (name, mode, content) by this name.
pub(super) fn image(reference: &str, files: &[(String, Mode, Vec<u8>)]) -> Image {
    let named = files.iter().map(|(name, mode, content)| (name.as_str(), *mode, content.as_slice()));
    let layer = Blob::new(LAYER, tar::archive(named));
    let config = Blob::of_json(CONFIG, &config(&layer));
    let manifest = Blob::of_json(
        MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": config.descriptor(), "layers": [layer.descriptor()],
        }),
    );
    let mut entry = manifest.descriptor();
    let tag = reference.rsplit(':').next().unwrap_or(reference);
    entry["annotations"] =
        json!({"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
    // Docker's own index, for those of its releases that do not read the layout.
    let docker =
        json!([{"Config": config.path(), "RepoTags": [reference], "Layers": [layer.path()]}]).to_string();
    let paths = [&layer, &config, &manifest].map(Blob::path);
    let archive = tar::archive([
        ("oci-layout", Mode::File, layout.as_bytes()),
        ("index.json", Mode::File, index.as_bytes()),
        ("manifest.json", Mode::File, docker.as_bytes()),
        (&paths[0], Mode::File, &layer.content),
        (&paths[1], Mode::File, &config.content),
        (&paths[2], Mode::File, &manifest.content),
    ]);
    Image { archive, digest: manifest.digest }
}

fn config(layer: &Blob) -> Value {
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/bin"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "Tortie",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            },
        },
        // A layer that is not compressed has one digest.
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    })
}

/// This machine's architecture, which the programs are built for, as images call it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Mode, Vec<u8>)> {
        vec![("usr/bin/a".to_owned(), Mode::Program, b"program".to_vec())]
    }

    #[test]
    fn same_files_same_bytes() {
        assert_eq!(image("example.org/a:1", &files()), image("example.org/a:1", &files()));
    }

    #[test]
    fn other_files_other_digest() {
        let other = vec![("usr/bin/a".to_owned(), Mode::Program, b"changed".to_vec())];
        assert_ne!(image("example.org/a:1", &files()).digest, image("example.org/a:1", &other).digest);
    }

    #[test]
    fn a_digest_is_that_of_the_content() {
        let blob = Blob::new(LAYER, b"abc".to_vec());
        // FIPS 180-2, appendix B.1.
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blob.digest, expected);
        assert_eq!(blob.path(), expected.replace("sha256:", "blobs/sha256/"));
    }
}
