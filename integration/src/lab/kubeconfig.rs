//! The kubeconfig file of a lab.

use std::net::SocketAddr;

use serde_json::json;

/// The text of a kubeconfig for the API server at that address. JSON is YAML too.
pub(super) fn text(server: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "lab", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "default"}}],
        "current-context": "lab",
    });
    format!("{config:#}\n")
}
