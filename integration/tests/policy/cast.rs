//! The pods and hosts that play in the scenarios, several times over so that scenarios run side by side.

use std::fmt::Write as _;
use std::net::IpAddr;

use api::control::{PodPolicyStatus, Request};
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::Shape;
use integration::probe::{Endpoint, Family};

pub(crate) const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// Name, node, number of the port that it calls `web`.
pub(crate) const PODS: [(&str, &str, u16); 5] = [
    ("x/a", "node-1", 80),
    ("x/b", "node-2", 8080),
    ("y/a", "node-1", 80),
    ("y/b", "node-2", 8080),
    ("z/a", "node-2", 81),
];
/// Beside the pods: a host beyond the ToR, and the nodes.
pub(crate) const HOSTS: [&str; 3] = ["ext", "n1", "n2"];
/// What every pod answers on. Only `web` has a name everywhere, and `dns` and `sig` at `x/a`.
const TCP: [u16; 5] = [80, 81, 82, 83, 8080];
const UDP: [u16; 2] = [53, 80];
const SCTP: [u16; 1] = [9003];

/// Two nodes in one rack under one ToR.
pub(crate) fn shape() -> Shape {
    Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }
}

/// A lab of two nodes, with a pod on each that tells when policies have arrived there.
pub(crate) async fn lab() -> TestLab {
    let lab = TestLab::start(LAB, shape()).await.unwrap();
    let mut manifests = namespace("sentinel", "{}");
    for node in ["node-1", "node-2"] {
        manifests += &pod("sentinel", node, node, "{}", &[]);
    }
    lab.apply(&manifests).await.unwrap();
    lab.pods_ready("sentinel").await.unwrap();
    lab
}

/// A document with one namespace.
pub(crate) fn namespace(name: &str, labels: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}\n")
}

/// A document with one pod that answers on these ports, each in YAML.
pub(crate) fn pod(namespace: &str, name: &str, node: &str, labels: &str, ports: &[String]) -> String {
    let ports = ports.join(", ");
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}, labels: {labels}}}\n\
         spec: {{nodeName: {node}, containers: [{{name: main, image: lab, ports: [{ports}]}}]}}\n"
    )
}

/// A port of a pod, in YAML, such as `{containerPort: 53, protocol: UDP, name: dns}`.
pub(crate) fn port(protocol: &str, number: u16, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!(", name: {name}") };
    format!("{{containerPort: {number}, protocol: {protocol}{name}}}")
}

/// One whole set of the pods of [`PODS`], in namespaces of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast(pub(crate) usize);

impl Cast {
    /// Starts its pods.
    pub(crate) async fn start(self, lab: &TestLab) {
        let mut manifests = String::new();
        for (name, labels) in [("x", "{team: red}"), ("y", "{team: blue}"), ("z", "{team: blue, env: prod}")]
        {
            manifests += &namespace(&self.namespace(name), labels);
        }
        for (key, node, web) in PODS {
            let (space, name) = key.split_once('/').unwrap();
            manifests += &pod(&self.namespace(space), name, node, labels(key), &ports(key, web));
        }
        lab.apply(&manifests).await.unwrap();
        for name in ["x", "y", "z"] {
            lab.pods_ready(&self.namespace(name)).await.unwrap();
        }
    }

    /// The namespace that is `x`, `y` or `z` in the scenarios.
    pub(crate) fn namespace(self, name: &str) -> String {
        format!("{name}-{}", self.0)
    }

    /// Who is called so in the scenarios.
    pub(crate) fn endpoint(self, name: &str) -> Endpoint {
        match name.split_once('/') {
            Some((space, name)) => Endpoint::Pod { namespace: self.namespace(space), name: name.into() },
            None if name == "ext" => Endpoint::External("internet".into()),
            None => Endpoint::Node(name.replace('n', "node-")),
        }
    }

    /// The text with `NS(y)`, `IP4(y/a)` and `IP6(y/a)` replaced by what they are in this lab.
    pub(crate) fn fill_in(self, lab: &TestLab, text: &str) -> String {
        let mut text = text.to_owned();
        for name in ["x", "y", "z"] {
            text = text.replace(&format!("NS({name})"), &self.namespace(name));
        }
        for (key, _, _) in PODS {
            for address in addresses(lab, &self.endpoint(key)) {
                let family = if address.is_ipv4() { 4 } else { 6 };
                text = text.replace(&format!("IP{family}({key})"), &address.to_string());
            }
        }
        text
    }
}

fn labels(key: &str) -> &'static str {
    match key {
        "x/b" => "{pod: b, tier: db}",
        "x/a" | "y/a" => "{pod: a, tier: web}",
        "y/b" => "{pod: b}",
        _ => "{pod: a, tier: cache}",
    }
}

fn ports(key: &str, web: u16) -> Vec<String> {
    let is_first = key == "x/a";
    let tcp = TCP.map(|number| port("TCP", number, if number == web { "web" } else { "" }));
    let udp = UDP.map(|number| port("UDP", number, if is_first && number == 53 { "dns" } else { "" }));
    let sctp = SCTP.map(|number| port("SCTP", number, if is_first { "sig" } else { "" }));
    tcp.into_iter().chain(udp).chain(sctp).collect()
}

/// The addresses of a running pod.
pub(crate) fn addresses(lab: &TestLab, pod: &Endpoint) -> Vec<IpAddr> {
    let found = lab.pods().into_iter().find(|(name, _, _)| name == pod);
    found.map(|(_, _, addresses)| addresses).unwrap_or_default()
}

/// A running pod's address of that family.
pub(crate) fn address(lab: &TestLab, pod: &Endpoint, family: Family) -> IpAddr {
    addresses(lab, pod).into_iter().find(|address| Family::of(*address) == family).unwrap()
}

/// A document with one policy; `spec` in YAML.
pub(crate) fn policy(namespace: &str, name: &str, spec: &str) -> String {
    let mut text = String::from("---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n");
    let _ = writeln!(text, "metadata: {{namespace: {namespace}, name: {name}}}\nspec: {spec}");
    text
}

pub(crate) async fn delete_policy(lab: &TestLab, namespace: &str, name: &str) {
    lab.delete("networking.k8s.io/v1", "NetworkPolicy", Some(namespace), name).await.unwrap();
}

/// Returns once both kernels have all policies that were changed before this was called: a policy of that name, which
/// allows everything to a pod that nobody asks, arrives after them on the same watch.
pub(crate) async fn policies_are_in_force(lab: &TestLab, mark: &str) {
    let spec = "{podSelector: {}, policyTypes: [Egress], egress: [{}]}";
    lab.apply(&policy("sentinel", mark, spec)).await.unwrap();
    let name = format!("sentinel/{mark}");
    for node in ["node-1", "node-2"] {
        lab.until(&format!("policy {name} on {node}"), LIMIT, async || {
            let request = Request::Policy { namespace: "sentinel".into(), pod: node.into() };
            let status: PodPolicyStatus = lab.control(node, request).await.ok()?;
            status.egress.policies.iter().any(|policy| policy.policy == name).then_some(())
        })
        .await
        .unwrap();
    }
    delete_policy(lab, "sentinel", mark).await;
}
