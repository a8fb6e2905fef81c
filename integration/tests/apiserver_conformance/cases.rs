//! The table: requests in the order in which they are made.

use serde_json::{Value, json};

use super::{Case, Kind};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";

fn case(why: &'static str, method: &'static str, url: &'static str, kind: Kind, body: Value) -> Case {
    Case { why, method, url, kind, body }
}

fn get(why: &'static str, url: &'static str) -> Case {
    case(why, "GET", url, Kind::Json, Value::Null)
}

fn post(why: &'static str, url: &'static str, body: Value) -> Case {
    case(why, "POST", url, Kind::Json, body)
}

fn put(why: &'static str, url: &'static str, body: Value) -> Case {
    case(why, "PUT", url, Kind::Json, body)
}

fn patch(why: &'static str, url: &'static str, kind: Kind, body: Value) -> Case {
    case(why, "PATCH", url, kind, body)
}

fn delete(why: &'static str, url: &'static str, options: Value) -> Case {
    case(why, "DELETE", url, Kind::Json, options)
}

/// Cases in which the embedded server answers otherwise on purpose.
pub(super) const DIFFERENT: &[(&str, &str)] =
    &[("no such group", "a Status says more than the text of the Go library's multiplexer")];

/// Every case, in order.
pub(super) fn all() -> Vec<Case> {
    [config_maps(), applied(), pods(), policies(), others(), custom(), ours(), refusals()]
        .into_iter()
        .flatten()
        .collect()
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"t": "c"}}, "data": data})
}

fn config_maps() -> Vec<Case> {
    vec![
        post("a config map", MAPS, map("a", json!({"x": "1"}))),
        post("twice", MAPS, map("a", json!({"x": "1"}))),
        get("read", "/api/v1/namespaces/default/configmaps/a"),
        get("read what is not there", "/api/v1/namespaces/default/configmaps/b"),
        get("listed", "/api/v1/namespaces/default/configmaps?labelSelector=t%3Dc"),
        get("listed by name", "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Da"),
        case("as metadata", "GET", "/api/v1/namespaces/default/configmaps/a", Kind::Partial, Value::Null),
        patch("merged", "/api/v1/namespaces/default/configmaps/a", Kind::Merge, json!({"data": {"y": "2"}})),
        patch(
            "strategically merged",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::Strategic,
            json!({"data": {"x": null}}),
        ),
        patch(
            "a JSON patch",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::JsonPatch,
            json!([{"op": "add", "path": "/data/z", "value": "3"}]),
        ),
        patch(
            "unchanged",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::Merge,
            json!({"data": {"z": "3"}}),
        ),
        put("replaced", "/api/v1/namespaces/default/configmaps/a", map("a", json!({"only": "this"}))),
        put("replaced by another name", "/api/v1/namespaces/default/configmaps/a", map("b", json!({}))),
        put("replaced what is not there", "/api/v1/namespaces/default/configmaps/b", map("b", json!({}))),
        patch(
            "made immutable",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::Merge,
            json!({"immutable": true}),
        ),
        patch(
            "changed though immutable",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::Merge,
            json!({"data": {"only": "that"}}),
        ),
        patch(
            "given a finalizer",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::Merge,
            json!({"metadata": {"finalizers": ["example.dev/hold"]}}),
        ),
        delete(
            "deleted by the wrong UID",
            "/api/v1/namespaces/default/configmaps/a",
            json!({"preconditions": {"uid": "x"}}),
        ),
        delete("deleted", "/api/v1/namespaces/default/configmaps/a", Value::Null),
        delete("again", "/api/v1/namespaces/default/configmaps/a", Value::Null),
        patch(
            "let go",
            "/api/v1/namespaces/default/configmaps/a",
            Kind::Merge,
            json!({"metadata": {"finalizers": null}}),
        ),
        get("gone", "/api/v1/namespaces/default/configmaps/a"),
        post("another", MAPS, map("b", json!({"x": "1"}))),
        delete("deleted at once", "/api/v1/namespaces/default/configmaps/b", Value::Null),
        post("only pretended", "/api/v1/namespaces/default/configmaps?dryRun=All", map("dry", json!({}))),
        get("not there", "/api/v1/namespaces/default/configmaps/dry"),
    ]
}

fn applied() -> Vec<Case> {
    const A: &str = "/api/v1/namespaces/default/configmaps/applied?fieldManager=one";
    const B: &str = "/api/v1/namespaces/default/configmaps/applied?fieldManager=two";
    const FORCED: &str = "/api/v1/namespaces/default/configmaps/applied?fieldManager=two&force=true";
    vec![
        patch("applied, new", A, Kind::Apply, map("applied", json!({"x": "1", "y": "1"}))),
        patch("applied, the same", A, Kind::Apply, map("applied", json!({"x": "1", "y": "1"}))),
        patch("applied by another", B, Kind::Apply, map("applied", json!({"z": "1"}))),
        patch("a conflict", B, Kind::Apply, map("applied", json!({"x": "2", "z": "1"}))),
        patch("two conflicts", B, Kind::Apply, map("applied", json!({"x": "2", "y": "2", "z": "1"}))),
        patch("forced", FORCED, Kind::Apply, map("applied", json!({"x": "2", "z": "1"}))),
        patch("given up", A, Kind::Apply, map("applied", json!({}))),
        patch(
            "updated",
            "/api/v1/namespaces/default/configmaps/applied",
            Kind::Merge,
            json!({"data": {"z": "9"}}),
        ),
        patch("a conflict with an update", B, Kind::Apply, map("applied", json!({"x": "2", "z": "1"}))),
        patch(
            "without a manager",
            "/api/v1/namespaces/default/configmaps/applied",
            Kind::Apply,
            map("applied", json!({})),
        ),
    ]
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}}, "spec": {
        "nodeName": "n1",
        "containers": [{"name": "c", "image": "registry.example/web:1", "ports": [{"containerPort": 80, "name": "http"}]}],
    }})
}

fn pods() -> Vec<Case> {
    let free = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "free"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    vec![
        post("a pod", PODS, pod("p")),
        patch(
            "its labels",
            "/api/v1/namespaces/default/pods/p",
            Kind::Merge,
            json!({"metadata": {"labels": {"app": "db"}}}),
        ),
        patch(
            "its image",
            "/api/v1/namespaces/default/pods/p",
            Kind::Strategic,
            json!({"spec": {"containers": [{"name": "c", "image": "registry.example/web:2"}]}}),
        ),
        patch(
            "its status",
            "/api/v1/namespaces/default/pods/p/status",
            Kind::Strategic,
            json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}}),
        ),
        get("by node", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,status.phase%3DRunning"),
        get("by what cannot be selected", "/api/v1/pods?fieldSelector=spec.image%3Dx"),
        case(
            "as a table",
            "GET",
            "/api/v1/namespaces/default/pods?includeObject=None",
            Kind::Table,
            Value::Null,
        ),
        delete("to be stopped", "/api/v1/namespaces/default/pods/p", Value::Null),
        delete("stopped", "/api/v1/namespaces/default/pods/p", json!({"gracePeriodSeconds": 0})),
        get("gone", "/api/v1/namespaces/default/pods/p"),
        post("a pod without node", PODS, free),
        post(
            "bound",
            "/api/v1/namespaces/default/pods/free/binding",
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "free"}, "target": {"kind": "Node", "name": "n1"}}),
        ),
        post(
            "bound again",
            "/api/v1/namespaces/default/pods/free/binding",
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "free"}, "target": {"kind": "Node", "name": "n2"}}),
        ),
        get("on its node", "/api/v1/namespaces/default/pods/free"),
        post(
            "evicted",
            "/api/v1/namespaces/default/pods/free/eviction",
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "free"}, "deleteOptions": {"gracePeriodSeconds": 0}}),
        ),
        get("evicted indeed", "/api/v1/namespaces/default/pods/free"),
    ]
}

fn policy(spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "np"}, "spec": spec})
}

fn ingress(rule: Value) -> Value {
    policy(json!({"podSelector": {}, "ingress": [rule]}))
}

fn policies() -> Vec<Case> {
    vec![
        post(
            "a policy",
            POLICIES,
            ingress(
                json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80, "endPort": 90}]}),
            ),
        ),
        patch(
            "its rules",
            "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/np",
            Kind::Merge,
            json!({"spec": {"ingress": [{}]}}),
        ),
        delete("deleted", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/np", Value::Null),
        post(
            "with egress",
            POLICIES,
            policy(
                json!({"podSelector": {"matchLabels": {"a": "b"}}, "egress": [{"to": [{"namespaceSelector": {}}]}]}),
            ),
        ),
        delete("all", POLICIES, Value::Null),
        post("endPort below port", POLICIES, ingress(json!({"ports": [{"port": 80, "endPort": 70}]}))),
        post("endPort without port", POLICIES, ingress(json!({"ports": [{"endPort": 70}]}))),
        post("endPort with a name", POLICIES, ingress(json!({"ports": [{"port": "http", "endPort": 70}]}))),
        post("a port out of range", POLICIES, ingress(json!({"ports": [{"port": 70000}]}))),
        post("a port's name that is none", POLICIES, ingress(json!({"ports": [{"port": "UPPER"}]}))),
        post(
            "a protocol that is none",
            POLICIES,
            ingress(json!({"ports": [{"port": 1, "protocol": "ICMP"}]})),
        ),
        post("no peer", POLICIES, ingress(json!({"from": [{}]}))),
        post(
            "two peers in one",
            POLICIES,
            ingress(json!({"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]})),
        ),
        post("no network", POLICIES, ingress(json!({"from": [{"ipBlock": {"cidr": "ten"}}]}))),
        post("no network at all", POLICIES, ingress(json!({"from": [{"ipBlock": {"cidr": ""}}]}))),
        post(
            "except outside",
            POLICIES,
            ingress(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]})),
        ),
        post(
            "except as large",
            POLICIES,
            ingress(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]})),
        ),
        post(
            "an operator that is none",
            POLICIES,
            policy(
                json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}}),
            ),
        ),
        post(
            "In without values",
            POLICIES,
            policy(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}})),
        ),
        post(
            "Exists with values",
            POLICIES,
            policy(
                json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
            ),
        ),
        post(
            "a type that is none",
            POLICIES,
            policy(json!({"podSelector": {}, "policyTypes": ["Sideways"]})),
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        post(
            "a namespace",
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}}),
        ),
        patch(
            "its labels",
            "/api/v1/namespaces/tenant",
            Kind::Merge,
            json!({"metadata": {"labels": {"team": "a"}}}),
        ),
        post(
            "a node",
            "/api/v1/nodes",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"rack": "r1"}}}),
        ),
        patch(
            "its status",
            "/api/v1/nodes/n1/status",
            Kind::Strategic,
            json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}}),
        ),
        patch(
            "another condition",
            "/api/v1/nodes/n1/status",
            Kind::Strategic,
            json!({"status": {"conditions": [{"type": "NetworkUnavailable", "status": "False"}]}}),
        ),
        post(
            "a secret",
            "/api/v1/namespaces/default/secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}),
        ),
        delete("its end", "/api/v1/namespaces/default/secrets/s", Value::Null),
        post(
            "a service",
            "/api/v1/namespaces/default/services",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
        ),
        delete("its end", "/api/v1/namespaces/default/services/s", Value::Null),
        put(
            "a lease that is not there",
            "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}),
        ),
        patch(
            "taken over",
            "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
            Kind::Merge,
            json!({"spec": {"holderIdentity": "b", "leaseTransitions": 1}}),
        ),
        post(
            "an event",
            "/api/v1/namespaces/default/events",
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R", "message": "m", "type": "Normal"}),
        ),
        get("in the other group", "/apis/events.k8s.io/v1/namespaces/default/events/e"),
        get("the namespaces", "/api/v1/namespaces?limit=2"),
    ]
}

fn definition() -> Value {
    serde_yaml_ng::from_str(include_str!("../apiserver_kubectl/widgets.yaml")).unwrap()
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.dev/v1alpha1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

fn custom() -> Vec<Case> {
    const WIDGETS: &str = "/apis/example.dev/v1alpha1/widgets";
    const W: &str = "/apis/example.dev/v1alpha1/widgets/w";
    const STATUS: &str = "/apis/example.dev/v1alpha1/widgets/w/status";
    vec![
        post("a definition", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition()),
        case("until it is served", "UNTIL", WIDGETS, Kind::Json, Value::Null),
        post("a widget", WIDGETS, widget("w", json!({"cidr": "10.0.0.0/16", "unknown": 1}))),
        post(
            "not strictly right",
            "/apis/example.dev/v1alpha1/widgets?fieldValidation=Strict",
            widget("v", json!({"cidr": "10.0.0.0/16", "unknown": 1})),
        ),
        patch("a rule about the old value", W, Kind::Merge, json!({"spec": {"cidr": "11.0.0.0/16"}})),
        patch("a rule about two fields", W, Kind::Merge, json!({"spec": {"floor": 30}})),
        patch("bounds", W, Kind::Merge, json!({"spec": {"size": 40}})),
        patch("values", W, Kind::Merge, json!({"spec": {"mode": "X"}})),
        patch("types", W, Kind::Merge, json!({"spec": {"cidr": 5}})),
        post("a pattern", WIDGETS, widget("v", json!({"cidr": "ten"}))),
        post("too long", WIDGETS, widget("v", json!({"cidr": "0".repeat(50)}))),
        post("a required field", WIDGETS, widget("v", json!({}))),
        post(
            "twice by key",
            WIDGETS,
            widget("v", json!({"cidr": "1", "uses": [{"name": "a"}, {"name": "a"}]})),
        ),
        patch(
            "its status",
            STATUS,
            Kind::Merge,
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"size": 27}}),
        ),
        patch(
            "its spec, not its status",
            W,
            Kind::Merge,
            json!({"status": {"conditions": null}, "spec": {"size": 28}}),
        ),
        patch(
            "its status applied",
            "/apis/example.dev/v1alpha1/widgets/w/status?fieldManager=one",
            Kind::Apply,
            json!({"apiVersion": "example.dev/v1alpha1", "kind": "Widget", "metadata": {"name": "w"}, "status": {"conditions": [{"type": "Other", "status": "False"}]}}),
        ),
        patch(
            "a list applied",
            "/apis/example.dev/v1alpha1/widgets/w?fieldManager=one",
            Kind::Apply,
            widget("w", json!({"uses": [{"name": "a", "weight": 1}]})),
        ),
        patch(
            "by two",
            "/apis/example.dev/v1alpha1/widgets/w?fieldManager=two",
            Kind::Apply,
            widget("w", json!({"uses": [{"name": "b"}]})),
        ),
        put("without a version", W, widget("w", json!({"cidr": "10.0.0.0/16"}))),
        patch("no strategic merge", W, Kind::Strategic, json!({})),
        case(
            "as a table",
            "GET",
            "/apis/example.dev/v1alpha1/widgets?includeObject=None",
            Kind::Table,
            Value::Null,
        ),
        get("by a field", "/apis/example.dev/v1alpha1/widgets?fieldSelector=spec.cidr%3Dx"),
        delete("its end", W, Value::Null),
    ]
}

/// The definitions of this project, and what they refuse.
fn ours() -> Vec<Case> {
    const POOLS: &str = "/apis/tortie.dev/v1alpha1/ippools";
    const POOL: &str = "/apis/tortie.dev/v1alpha1/ippools/p";
    const PEERS: &str = "/apis/tortie.dev/v1alpha1/bgppeers";
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "tortie.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let pool = |name: &str, spec: Value| object("IPPool", name, spec);
    let definitions = api::crds::all().into_iter().map(|definition| {
        let body = serde_json::to_value(definition).unwrap();
        post("a definition of ours", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    });
    let served = [POOLS, PEERS].map(|url| case("until it is served", "UNTIL", url, Kind::Json, Value::Null));
    let cases = vec![
        post("a pool", POOLS, pool("p", json!({"cidr": "10.244.0.0/16"}))),
        post(
            "a pool of the other family",
            POOLS,
            pool("six", json!({"cidr": "fd00:10:244::/56", "blockSize": 122})),
        ),
        post("host bits", POOLS, pool("q", json!({"cidr": "10.244.0.1/16"}))),
        post("no network", POOLS, pool("q", json!({"cidr": "ten/16"}))),
        post(
            "a block size of the other family",
            POOLS,
            pool("q", json!({"cidr": "10.0.0.0/16", "blockSize": 122})),
        ),
        post(
            "blocks larger than the pool",
            POOLS,
            pool("q", json!({"cidr": "10.0.0.0/24", "blockSize": 22})),
        ),
        post("no block size at all", POOLS, pool("q", json!({"cidr": "10.0.0.0/24", "blockSize": 2}))),
        patch("another network", POOL, Kind::Merge, json!({"spec": {"cidr": "10.245.0.0/16"}})),
        patch("a block size later", POOL, Kind::Merge, json!({"spec": {"blockSize": 27}})),
        patch("disabled", POOL, Kind::Merge, json!({"spec": {"disabled": true}})),
        case(
            "as a table",
            "GET",
            "/apis/tortie.dev/v1alpha1/ippools?includeObject=None",
            Kind::Table,
            Value::Null,
        ),
        post("a peer", PEERS, object("BGPPeer", "p", json!({"peerIP": "10.0.0.1", "asNumber": 64512}))),
        post(
            "an address that is none",
            PEERS,
            object("BGPPeer", "q", json!({"peerIP": "ten", "asNumber": 64512})),
        ),
        post(
            "a hold time that is none",
            PEERS,
            object("BGPPeer", "q", json!({"peerIP": "10.0.0.1", "asNumber": 64512, "holdTimeSeconds": 2})),
        ),
        delete("the pool's end", POOL, Value::Null),
    ];
    definitions.chain(served).chain(cases).collect()
}

fn refusals() -> Vec<Case> {
    vec![
        get("no such group", "/apis/nope.example/v1/things"),
        post("a namespace that is not there", "/api/v1/namespaces/nope/configmaps", map("a", json!({}))),
        post(
            "another namespace in the object",
            MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "other"}}),
        ),
        post("a bad name", MAPS, map("Bad_Name", json!({}))),
        post("no name", MAPS, json!({"apiVersion": "v1", "kind": "ConfigMap"})),
        post(
            "a bad label",
            MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"k": "a b"}}}),
        ),
        post(
            "a version on creation",
            MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "5"}}),
        ),
        post(
            "a pod without containers",
            PODS,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}}),
        ),
        post(
            "an image missing",
            PODS,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}),
        ),
        post(
            "two of one name",
            PODS,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}}),
        ),
        delete("a namespace that must stay", "/api/v1/namespaces/default", Value::Null),
        delete("over all namespaces", "/api/v1/configmaps", Value::Null),
        put("a collection", MAPS, map("a", json!({}))),
        get("a broken limit", "/api/v1/configmaps?limit=x"),
    ]
}
