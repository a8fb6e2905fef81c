//! The `CustomResourceDefinition`s of all kinds, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{BGPConfiguration, BGPPeer, IPBlock, IPPool, NodeNetwork, NodeReport};

/// Every definition, in the order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        BGPConfiguration::crd(),
        BGPPeer::crd(),
        IPBlock::crd(),
        IPPool::crd(),
        NodeNetwork::crd(),
        NodeReport::crd(),
    ]
}

/// File name and YAML text of every definition, as they stand in `deploy/crds`.
///
/// # Errors
/// Never for the kinds of this crate; the serializer's error otherwise.
pub fn files() -> Result<Vec<(String, String)>, serde_yaml_ng::Error> {
    all()
        .into_iter()
        .map(|crd| {
            let name = format!("{}.yaml", crd.spec.names.plural);
            let text = serde_yaml_ng::to_string(&crd)?;
            Ok((name, text))
        })
        .collect()
}
