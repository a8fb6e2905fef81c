//! Field numbers of the kinds that kubectl makes from its arguments.

use super::{
    Field,
    Kind::{Bool, BytesMap, GivenInt, Int, IntOrString, Message, Text, TextMap, Time},
};

/// The table of a kind.
pub(super) fn of(kind: &str) -> Option<&'static [Field]> {
    match kind {
        "Namespace" => Some(NAMESPACE),
        "ConfigMap" => Some(CONFIG_MAP),
        "Secret" => Some(SECRET),
        "ServiceAccount" => Some(SERVICE_ACCOUNT),
        "Service" => Some(SERVICE),
        "Eviction" => Some(EVICTION),
        "DeleteOptions" => Some(DELETE_OPTIONS),
        _ => None,
    }
}

const OBJECT_META: &[Field] = &[
    (1, "name", Text, false),
    (2, "generateName", Text, false),
    (3, "namespace", Text, false),
    (4, "selfLink", Text, false),
    (5, "uid", Text, false),
    (6, "resourceVersion", Text, false),
    (7, "generation", Int, false),
    (8, "creationTimestamp", Time, false),
    (9, "deletionTimestamp", Time, false),
    (10, "deletionGracePeriodSeconds", GivenInt, false),
    (11, "labels", TextMap, false),
    (12, "annotations", TextMap, false),
    (13, "ownerReferences", Message(OWNER_REFERENCE), true),
    (14, "finalizers", Text, true),
];

const OWNER_REFERENCE: &[Field] = &[
    (1, "kind", Text, false),
    (3, "name", Text, false),
    (4, "uid", Text, false),
    (5, "apiVersion", Text, false),
    (6, "controller", Bool, false),
    (7, "blockOwnerDeletion", Bool, false),
];

const NAMESPACE: &[Field] = &[
    (1, "metadata", Message(OBJECT_META), false),
    (2, "spec", Message(&[(1, "finalizers", Text, true)]), false),
    (3, "status", Message(&[(1, "phase", Text, false)]), false),
];

const CONFIG_MAP: &[Field] = &[
    (1, "metadata", Message(OBJECT_META), false),
    (2, "data", TextMap, false),
    (3, "binaryData", BytesMap, false),
    (4, "immutable", Bool, false),
];

const SECRET: &[Field] = &[
    (1, "metadata", Message(OBJECT_META), false),
    (2, "data", BytesMap, false),
    (3, "type", Text, false),
    (4, "stringData", TextMap, false),
    (5, "immutable", Bool, false),
];

const SERVICE_ACCOUNT: &[Field] = &[
    (1, "metadata", Message(OBJECT_META), false),
    (3, "imagePullSecrets", Message(&[(1, "name", Text, false)]), true),
    (4, "automountServiceAccountToken", Bool, false),
];

const SERVICE: &[Field] = &[
    (1, "metadata", Message(OBJECT_META), false),
    (2, "spec", Message(SERVICE_SPEC), false),
    (3, "status", Message(&[(1, "loadBalancer", Message(&[]), false)]), false),
];

const SERVICE_SPEC: &[Field] = &[
    (1, "ports", Message(SERVICE_PORT), true),
    (2, "selector", TextMap, false),
    (3, "clusterIP", Text, false),
    (4, "type", Text, false),
    (5, "externalIPs", Text, true),
    (7, "sessionAffinity", Text, false),
    (8, "loadBalancerIP", Text, false),
    (9, "loadBalancerSourceRanges", Text, true),
    (10, "externalName", Text, false),
    (11, "externalTrafficPolicy", Text, false),
    (12, "healthCheckNodePort", Int, false),
    (13, "publishNotReadyAddresses", Bool, false),
    (17, "ipFamilyPolicy", Text, false),
    (18, "clusterIPs", Text, true),
    (19, "ipFamilies", Text, true),
    (20, "allocateLoadBalancerNodePorts", Bool, false),
    (21, "loadBalancerClass", Text, false),
    (22, "internalTrafficPolicy", Text, false),
];

const SERVICE_PORT: &[Field] = &[
    (1, "name", Text, false),
    (2, "protocol", Text, false),
    (3, "port", Int, false),
    (4, "targetPort", IntOrString, false),
    (5, "nodePort", Int, false),
    (6, "appProtocol", Text, false),
];

const EVICTION: &[Field] =
    &[(1, "metadata", Message(OBJECT_META), false), (2, "deleteOptions", Message(DELETE_OPTIONS), false)];

const DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", GivenInt, false),
    (2, "preconditions", Message(&[(1, "uid", Text, false), (2, "resourceVersion", Text, false)]), false),
    (3, "orphanDependents", Bool, false),
    (4, "propagationPolicy", Text, false),
    (5, "dryRun", Text, true),
];
