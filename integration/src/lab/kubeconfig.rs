//! The kubeconfig file of a lab.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// The text of a kubeconfig for the API server at that address, with all rights. JSON is YAML too.
pub(super) fn text(server: SocketAddr) -> String {
    with_user(server, &json!({}))
}

/// Likewise with the rights of a service account of ours, where the server knows of rights: a real one does.
pub(super) fn of_service_account(server: SocketAddr, name: &str) -> String {
    with_user(server, &json!({ "as": format!("system:serviceaccount:{}:{name}", api::names::NAMESPACE) }))
}

fn with_user(server: SocketAddr, user: &Value) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "default"}}],
        "current-context": "lab",
    });
    format!("{config:#}\n")
}
