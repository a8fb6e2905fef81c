//! The classic example of a policy: only pods of the front end reach the directory server, and only at its port.

use integration::probe::Protocol;

use crate::scene::{Scene, Target, server};

const LDAP: u16 = 389;
const LDAPS: u16 = 636;

pub(crate) async fn only_the_front_end_reaches_the_directory(scene: &Scene) {
    scene.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: directory}\n").await;
    for (name, role, node) in
        [("ldap", "directory", "node-3"), ("front", "frontend", "node-1"), ("other", "batch", "node-2")]
    {
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: directory, labels: {{role: {role}}}}}\n\
             spec:\n  nodeName: {node}\n  terminationGracePeriodSeconds: 1\n  {}\n",
            server(&["tcp/389", "tcp/636"])
        );
        scene.apply(&manifest).await;
    }
    scene
        .kubectl(&["-n", "directory", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])
        .await;
    scene
        .apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: ldap, namespace: directory}\n\
             spec: {selector: {role: directory}, ports: [{port: 389}]}\n",
        )
        .await;
    let ldap = scene.pods("directory", "role=directory").await.remove(0);
    let service = "jsonpath={.spec.clusterIP}";
    let service = scene.kubectl(&["-n", "directory", "get", "service", "ldap", "-o", service]).await;
    let all = |port| ldap.targets(port, Protocol::Tcp);
    let by_service = Target {
        address: service.parse().unwrap(),
        port: LDAP,
        protocol: Protocol::Tcp,
        answers: vec!["ldap".into()],
    };
    let open = [all(LDAP), all(LDAPS), vec![by_service.clone()]].concat();
    for pod in ["front", "other"] {
        scene.ask_from_pod("before the policy", "directory", pod, &open).await;
    }
    scene
        .apply(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
             metadata: {name: ldap-frontend, namespace: directory}\nspec:\n  \
             podSelector: {matchLabels: {role: directory}}\n  policyTypes: [Ingress]\n  \
             ingress: [{from: [{podSelector: {matchLabels: {role: frontend}}}], ports: [{port: 389}]}]\n",
        )
        .await;
    let closed = |targets: Vec<Target>| -> Vec<Target> {
        targets.into_iter().map(|target| Target { answers: Vec::new(), ..target }).collect()
    };
    let front = [all(LDAP), closed(all(LDAPS)), vec![by_service.clone()]].concat();
    let other = closed(open.clone());
    for (pod, targets) in [("front", &front), ("other", &other)] {
        scene.ask_from_pod("under ldap-frontend", "directory", pod, targets).await;
    }
    scene.kubectl(&["delete", "namespace", "directory", "--ignore-not-found", "--timeout=240s"]).await;
    eprintln!("ldap-frontend: the front end alone, at 389 alone, also through the Service");
}
