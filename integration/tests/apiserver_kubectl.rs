//! The embedded API server by the real kubectl: every verb, with expectations written by hand.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    reason = "tests panic, tables are long and made of literals"
)]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

use integration::apiserver::ApiServer;
use tempfile::TempDir;

/// How long anything may take that kubectl waits for.
const LIMIT: Duration = Duration::from_mins(1);

/// A server with an empty cluster, and a kubectl that knows it.
struct Cluster {
    directory: TempDir,
    _server: ApiServer,
}

/// What a command prints.
enum Expected<'a> {
    /// Exactly this on standard output, and success.
    Out(&'a str),
    /// All of these somewhere on standard output, and success.
    Has(&'a [&'a str]),
    /// All of these somewhere on standard error, and failure.
    Fails(&'a [&'a str]),
}
use Expected::{Fails, Has, Out};

impl Cluster {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = ApiServer::start(vec![listener]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, \
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}]}}",
            server.addresses()[0]
        );
        std::fs::write(directory.path().join("config"), config).unwrap();
        Self { directory, _server: server }
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(integration::kube::kubectl(|_| {}).unwrap());
        command.arg("--kubeconfig").arg(self.directory.path().join("config"));
        command.arg("--cache-dir").arg(self.directory.path().join("cache"));
        command.args(arguments).env("HOME", self.directory.path());
        command
    }

    /// Runs one command line; words are split at spaces, outside of single quotes.
    fn run(&self, line: &str, input: &str) -> Output {
        let words = words(line);
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.kubectl(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn check(&self, why: &str, line: &str, input: &str, expected: &Expected<'_>) {
        let output = self.run(line, input);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = format!("{why}\n$ kubectl {line}\n{out}\n(stderr) {err}");
        match expected {
            Out(text) => {
                assert!(output.status.success(), "{told}");
                assert_eq!(out.trim_end(), text.trim_end(), "{told}");
            }
            Has(parts) => {
                assert!(output.status.success(), "{told}");
                let missing: Vec<&&str> = parts.iter().filter(|part| !out.contains(**part)).collect();
                assert!(missing.is_empty(), "missing on standard output: {missing:?}\n{told}");
            }
            Fails(parts) => {
                assert!(!output.status.success(), "{told}");
                let missing: Vec<&&str> = parts.iter().filter(|part| !err.contains(**part)).collect();
                assert!(missing.is_empty(), "missing on standard error: {missing:?}\n{told}");
            }
        }
    }

    /// Runs the steps in order.
    fn check_all(&self, steps: &[(&str, &str, &str, Expected<'_>)]) {
        for (why, line, input, expected) in steps {
            self.check(why, line, input, expected);
        }
    }
}

fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in line.chars() {
        match (character, words.last_mut()) {
            ('\'', _) => is_quoted = !is_quoted,
            (' ', _) if !is_quoted => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: 'nginx:1', ports: [{containerPort: 80, name: http}]}]}
";

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, endPort: 90}]}]
";

const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {node-role.kubernetes.io/worker: ''}}
status:
  addresses: [{type: InternalIP, address: 10.0.0.1}]
  conditions: [{type: Ready, status: 'True'}]
  nodeInfo: {kubeletVersion: v1.34.0, architecture: '', bootID: '', containerRuntimeVersion: 'lab://1', kernelVersion: '6.18',
    kubeProxyVersion: '', machineID: '', operatingSystem: linux, osImage: Debian, systemUUID: ''}
";

#[test]
fn objects_are_made_read_changed_and_removed() {
    let cluster = Cluster::start();
    cluster.check_all(&[
        ("namespaces that every cluster has", "get namespaces -o name", "",
            Out("namespace/default\nnamespace/kube-node-lease\nnamespace/kube-public\nnamespace/kube-system")),
        ("an empty list", "get pods", "", Out("")),
        ("create from arguments", "create configmap a --from-literal=x=1", "", Out("configmap/a created")),
        ("twice", "create configmap a --from-literal=x=1", "", Fails(&["configmaps \"a\" already exists"])),
        ("read a value", "get configmap a -o jsonpath={.data.x}", "", Out("1")),
        ("secrets are encoded", "create secret generic s --from-literal=k=v", "", Out("secret/s created")),
        ("and said to be", "get secret s -o jsonpath={.data.k}/{.type}", "", Out("dg==/Opaque")),
        ("a service account", "create serviceaccount sa", "", Out("serviceaccount/sa created")),
        ("a service gets an address", "create service clusterip svc --tcp=80:8080", "", Out("service/svc created")),
        ("of the usual range", "get service svc -o jsonpath={.spec.clusterIP}/{.spec.ports[0].targetPort}", "", Out("10.96.0.1/8080")),
        ("create from a file", "create -f -", POD, Out("pod/web created")),
        ("defaults are filled in", "get pod web -o jsonpath={.spec.restartPolicy}/{.spec.containers[0].ports[0].protocol}/{.status.phase}", "",
            Out("Always/TCP/Pending")),
        ("labels", "label pod web tier=front", "", Out("pod/web labeled")),
        ("annotations", "annotate pod web note=x", "", Out("pod/web annotated")),
        ("strategic merge patch", "patch pod web -p {\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"nginx:2\"}]}}", "", Out("pod/web patched")),
        ("keeps what it does not name", "get pod web -o jsonpath={.spec.containers[*].image}/{.spec.containers[0].ports[0].name}", "", Out("nginx:2/http")),
        ("merge patch", "patch pod web --type merge -p {\"metadata\":{\"labels\":{\"tier\":null}}}", "", Out("pod/web patched")),
        ("JSON patch", "patch pod web --type json -p [{\"op\":\"add\",\"path\":\"/metadata/labels/x\",\"value\":\"y\"}]", "", Out("pod/web patched")),
        ("all of it is there", "get pod web --no-headers -o custom-columns=L:.metadata.labels", "", Out("map[app:web x:y]")),
        ("a failed test of a JSON patch", "patch pod web --type json -p [{\"op\":\"test\",\"path\":\"/metadata/labels/x\",\"value\":\"z\"}]", "", Fails(&["the server rejected our request"])),
        ("label selectors", "get pods -l x=y,app!=db -o name", "", Out("pod/web")),
        ("set selectors", "get pods -l 'app in (db,cache)' -o name", "", Out("")),
        ("field selectors", "get pods --field-selector metadata.name=web,status.phase=Pending -o name", "", Out("pod/web")),
        ("an unknown field", "get pods --field-selector spec.image=x", "", Fails(&["field label not supported: spec.image"])),
        ("replace", "replace -f -", &POD.replace("nginx:1", "nginx:3"), Out("pod/web replaced")),
        ("removes what it does not name", "get pod web -o jsonpath={.metadata.labels}/{.spec.containers[0].image}", "", Out("{\"app\":\"web\"}/nginx:3")),
        ("delete", "delete pod web", "", Out("pod \"web\" deleted from default namespace")),
        ("what is not there", "get pod web", "", Fails(&["Error from server (NotFound): pods \"web\" not found"])),
        ("delete what is not there", "delete pod web", "", Fails(&["pods \"web\" not found"])),
        ("delete all of a kind", "delete secrets,configmaps --all", "", Out("secret \"s\" deleted from default namespace\nconfigmap \"a\" deleted from default namespace")),
    ]);
}

#[test]
fn what_is_not_served_is_refused() {
    let cluster = Cluster::start();
    let refusals: &[(&str, &str, &str, Expected<'_>)] = &[
        (
            "a kind that is not served",
            "get deployments",
            "",
            Fails(&["the server doesn't have a resource type \"deployments\""]),
        ),
        (
            "a manifest of such a kind",
            "apply -f -",
            "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}",
            Fails(&["the server could not find the requested resource"]),
        ),
        ("a path that is not served", "get --raw /metrics", "", Fails(&["(NotFound)"])),
        (
            "a namespace that is not there",
            "create -n nope -f -",
            POD,
            Fails(&["namespaces \"nope\" not found"]),
        ),
        (
            "a bad name",
            "create configmap Bad_Name",
            "",
            Fails(&["metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain"]),
        ),
        (
            "a bad label",
            "create -f -",
            &POD.replace("app: web", "app: 'a b'"),
            Fails(&["metadata.labels: Invalid value: \"a b\""]),
        ),
        (
            "a pod without containers",
            "create -f -",
            "---\n{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: []}}",
            Fails(&["spec.containers: Required value"]),
        ),
        (
            "an unknown field",
            "create -f -",
            &POD.replace("image:", "imag: x, image:"),
            Fails(&["strict decoding error: unknown field \"spec.containers[0].imag\""]),
        ),
        (
            "a wrong type",
            "create -f -",
            &POD.replace("containerPort: 80", "containerPort: many"),
            Fails(&["Pod in version \"v1\" cannot be handled as a Pod"]),
        ),
        (
            "endPort below port",
            "create -f -",
            &POLICY.replace("endPort: 90", "endPort: 70"),
            Fails(&[
                "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
            ]),
        ),
        (
            "a port out of range",
            "create -f -",
            &POLICY.replace("port: 80,", "port: 0,"),
            Fails(&[
                "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ]),
        ),
        (
            "endPort with a name",
            "create -f -",
            &POLICY.replace("port: 80,", "port: http,"),
            Fails(&["endPort: Invalid value: 90: may not be specified when `port` is non-numeric"]),
        ),
        (
            "a bad network",
            "create -f -",
            &POLICY.replace("10.0.0.0/8", "10.0.0.0"),
            Fails(&["ipBlock.cidr: Invalid value: \"10.0.0.0\": must be a valid CIDR value"]),
        ),
        (
            "except outside of the network",
            "create -f -",
            &POLICY.replace("10.1.0.0/16", "11.0.0.0/16"),
            Fails(&["except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"]),
        ),
        (
            "an empty peer",
            "create -f -",
            &POLICY.replace("[{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]", "[{}]"),
            Fails(&["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        ),
        (
            "deleting the default namespace",
            "delete namespace default",
            "",
            Fails(&["this namespace may not be deleted"]),
        ),
    ];
    cluster.check_all(refusals);
    cluster.check("nothing of all that was stored", "get pods,networkpolicies,configmaps", "", &Out(""));
}

#[test]
fn tables_are_printed_by_the_server() {
    let cluster = Cluster::start();
    cluster.check_all(&[
        ("a node", "create -f -", NODE, Out("node/n1 created")),
        ("its table", "get nodes", "", Has(&["NAME   STATUS   ROLES    AGE   VERSION\nn1     Ready    worker   "])),
        ("and the wide one", "get nodes -o wide", "", Has(&["INTERNAL-IP", "10.0.0.1", "Debian", "lab://1"])),
        ("cordoned", "cordon n1", "", Out("node/n1 cordoned")),
        ("which shows", "get nodes", "", Has(&["Ready,SchedulingDisabled"])),
        ("a pod", "create -f -", POD, Out("pod/web created")),
        ("its table", "get pods", "", Has(&["NAME   READY   STATUS    RESTARTS   AGE\nweb    0/1     Pending   0          "])),
        ("a policy", "create -f -", POLICY, Out("networkpolicy.networking.k8s.io/np created")),
        ("its table", "get netpol", "", Has(&["NAME   POD-SELECTOR   AGE\nnp     app=web        "])),
        ("a service", "create service clusterip s --tcp=80 --tcp=443", "", Out("service/s created")),
        ("its table", "get svc", "", Has(&["NAME   TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)          AGE\ns      ClusterIP   10.96.0.1    <none>        80/TCP,443/TCP   "])),
        ("several kinds", "get all", "", Has(&["pod/web", "service/s"])),
        ("over all namespaces", "get pods -A", "", Has(&["NAMESPACE   NAME", "default     web"])),
    ]);
}

const EVENT: &str = "
apiVersion: v1
kind: Event
metadata: {name: web.1}
involvedObject: {kind: Pod, name: web, namespace: default, uid: UID}
reason: Tested
message: hello
type: Normal
source: {component: test}
";

#[test]
fn people_are_told_what_there_is() {
    let cluster = Cluster::start();
    cluster.check_all(&[
        ("the version", "version", "", Has(&["Server Version: v1.34"])),
        (
            "the kinds",
            "api-resources",
            "",
            Has(&["networkpolicies", "netpol", "networking.k8s.io/v1", "customresourcedefinitions"]),
        ),
        ("health", "get --raw /readyz", "", Out("ok")),
        (
            "explain a kind",
            "explain networkpolicy",
            "",
            Has(&["GROUP:      networking.k8s.io", "KIND:       NetworkPolicy", "spec\t<NetworkPolicySpec>"]),
        ),
        (
            "explain a field",
            "explain pod.spec.containers.ports.containerPort",
            "",
            Has(&["FIELD: containerPort <integer>"]),
        ),
        (
            "explain what is not there",
            "explain pod.spec.nothing",
            "",
            Fails(&["field \"nothing\" does not exist"]),
        ),
        ("a pod", "create -f -", POD, Out("pod/web created")),
        (
            "described",
            "describe pod web",
            "",
            Has(&["Name:         web", "nginx:1", "Port:         80/TCP", "Events:           <none>"]),
        ),
    ]);
    let uid = String::from_utf8(cluster.run("get pod web -o jsonpath={.metadata.uid}", "").stdout).unwrap();
    let event = EVENT.replace("UID", &uid);
    cluster.check_all(&[
        ("an event about it", "create -f -", &event, Out("event/web.1 created")),
        (
            "in the other group, too",
            "get events.events.k8s.io web.1 -o jsonpath={.note}/{.regarding.name}/{.apiVersion}",
            "",
            Out("hello/web/events.k8s.io/v1"),
        ),
        ("and in its description", "describe pod web", "", Has(&["Normal  Tested", "hello"])),
        ("a policy", "create -f -", POLICY, Out("networkpolicy.networking.k8s.io/np created")),
        (
            "described",
            "describe netpol np",
            "",
            Has(&[
                "PodSelector:     app=web",
                "To Port Range: 80-90/TCP",
                "CIDR: 10.0.0.0/8",
                "Except: 10.1.0.0/16",
            ]),
        ),
    ]);
}

#[test]
fn manifests_are_applied() {
    let cluster = Cluster::start();
    let other = POD.replace("nginx:1", "nginx:2");
    let conflict = "conflict with \"kubectl\": .spec.containers[name=\"c\"].image";
    cluster.check_all(&[
        ("by the client", "apply -f -", POD, Out("pod/web created")),
        ("again", "apply -f -", POD, Out("pod/web unchanged")),
        ("changed", "apply -f -", &other, Out("pod/web configured")),
        (
            "what is no longer named goes",
            "apply -f -",
            &other.replace(", labels: {app: web}", ""),
            Out("pod/web configured"),
        ),
        (
            "indeed",
            "get pod web -o jsonpath={.metadata.labels}/{.spec.containers[0].image}",
            "",
            Out("/nginx:2"),
        ),
        ("only pretended", "apply --dry-run=server -f -", POD, Out("pod/web configured (server dry run)")),
        ("indeed", "get pod web -o jsonpath={.spec.containers[0].image}", "", Out("nginx:2")),
        (
            "by the server, new",
            "apply --server-side -f -",
            &POD.replace("web,", "ssa,"),
            Out("pod/ssa serverside-applied"),
        ),
        (
            "by another manager",
            "apply --server-side --field-manager=other -f -",
            &other.replace("web,", "ssa,"),
            Fails(&["Apply failed with 1 conflict", conflict]),
        ),
        (
            "by force",
            "apply --server-side --field-manager=other --force-conflicts -f -",
            &other.replace("web,", "ssa,"),
            Out("pod/ssa serverside-applied"),
        ),
        (
            "and back",
            "apply --server-side -f -",
            &POD.replace("web,", "ssa,"),
            Fails(&["conflict with \"other\": .spec.containers[name=\"c\"].image"]),
        ),
        (
            "from client side to server side",
            "apply --server-side --force-conflicts -f -",
            POD,
            Out("pod/web serverside-applied"),
        ),
        (
            "the managers",
            "get pod ssa --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}",
            "",
            Out("kubectl other"),
        ),
        (
            "differences",
            "diff --server-side --field-manager=other -f -",
            &other.replace("web,", "ssa,"),
            Out(""),
        ),
    ]);
}

#[test]
fn deletion_waits_for_whom_it_must() {
    let cluster = Cluster::start();
    let bound = POD.replace("spec: {", "spec: {nodeName: n1, ");
    let held =
        "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.dev/hold]}}";
    cluster.check_all(&[
        ("a pod on a node", "create -f -", &bound, Out("pod/web created")),
        (
            "waits for its kubelet",
            "delete pod web --wait=false",
            "",
            Out("pod \"web\" deleted from default namespace"),
        ),
        ("so it is still there", "get pods", "", Has(&["Terminating"])),
        (
            "with its grace period",
            "get pod web -o jsonpath={.metadata.deletionGracePeriodSeconds}",
            "",
            Out("30"),
        ),
        (
            "the kubelet's word",
            "delete pod web --grace-period=0 --force",
            "",
            Has(&["pod \"web\" force deleted"]),
        ),
        ("ends it", "get pods", "", Out("")),
        ("a finalizer", "create -f -", held, Out("configmap/held created")),
        (
            "holds",
            "delete configmap held --wait=false",
            "",
            Out("configmap \"held\" deleted from default namespace"),
        ),
        (
            "so it is still there",
            "get configmap held -o jsonpath={.metadata.finalizers}",
            "",
            Out("[\"example.dev/hold\"]"),
        ),
        (
            "until it is gone",
            "patch configmap held --type merge -p {\"metadata\":{\"finalizers\":null}}",
            "",
            Has(&["configmap/held patched"]),
        ),
        ("with the object", "get configmap", "", Out("")),
        ("a namespace", "create namespace tenant", "", Out("namespace/tenant created")),
        ("with content", "create -n tenant -f -", POD, Out("pod/web created")),
        (
            "and a pod on a node",
            "create -n tenant -f -",
            &bound.replace("web,", "bound,"),
            Out("pod/bound created"),
        ),
        ("goes", "delete namespace tenant --wait=false", "", Out("namespace \"tenant\" deleted")),
        ("but waits for the pod", "get namespace tenant -o jsonpath={.status.phase}", "", Out("Terminating")),
        ("takes nothing new", "create -n tenant configmap x", "", Fails(&["because it is being terminated"])),
        ("only that pod is left", "get pods -n tenant -o name", "", Out("pod/bound")),
        ("once it is gone", "delete pod -n tenant bound --grace-period=0 --force", "", Has(&["deleted"])),
        ("so is the namespace", "wait --for=delete namespace/tenant --timeout=60s", "", Out("")),
        ("drained", "create -f -", NODE, Out("node/n1 created")),
        (
            "of its pods",
            "create -f -",
            &bound.replace("spec: {", "spec: {terminationGracePeriodSeconds: 0, "),
            Out("pod/web created"),
        ),
        ("by eviction", "drain n1 --force --timeout=60s", "", Has(&["pod/web evicted", "node/n1 drained"])),
    ]);
}

#[test]
fn a_stale_version_is_a_conflict() {
    let cluster = Cluster::start();
    cluster.check("made", "create configmap a --from-literal=x=1", "", &Has(&["created"]));
    let old = String::from_utf8(cluster.run("get configmap a -o yaml", "").stdout).unwrap();
    cluster.check("changed", "patch configmap a -p {\"data\":{\"x\":\"2\"}}", "", &Has(&["patched"]));
    let text = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again";
    cluster.check("replaced from what was read before", "replace -f -", &old, &Fails(&[text]));
}

/// A kubectl that watches, line by line; it ends with this.
struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    fn start(cluster: &Cluster, line: &str) -> Self {
        let words = words(line);
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut child = cluster.kubectl(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let thread = std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, thread: Some(thread) }
    }

    /// The first words of the next line.
    fn next_words(&self, count: usize) -> String {
        self.next().split_whitespace().take(count).collect::<Vec<_>>().join(" ")
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("kubectl prints the change")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn changes_are_watched() {
    let cluster = Cluster::start();
    let columns = "jsonpath={.type}/{.object.metadata.name}/{.object.data.x}{\"\\n\"}";
    let watching = Watching::start(
        &cluster,
        &format!("get configmaps --watch --output-watch-events -l w=1 -o {columns}"),
    );
    let manifest = |value: u8, label: u8| {
        format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, labels: {{w: '{label}'}}}}, data: {{x: '{value}'}}}}"
        )
    };
    let steps = [
        ("apply -f -", manifest(1, 1), "ADDED/a/1"),
        ("apply -f -", manifest(2, 1), "MODIFIED/a/2"),
        ("apply -f -", manifest(3, 2), "DELETED/a/2"),
        ("apply -f -", manifest(4, 1), "ADDED/a/4"),
        ("delete configmap a", String::new(), "DELETED/a/4"),
    ];
    for (line, input, expected) in steps {
        cluster.check(expected, line, &input, &Has(&[]));
        assert_eq!(watching.next(), expected);
    }
}

#[test]
fn tables_are_watched() {
    let cluster = Cluster::start();
    cluster.check("made before", "create configmap a --from-literal=x=1", "", &Has(&["created"]));
    let watching = Watching::start(&cluster, "get configmaps --watch --output-watch-events");
    assert_eq!(watching.next_words(4), "EVENT NAME DATA AGE");
    assert_eq!(watching.next_words(3), "ADDED a 1", "what is there already");
    cluster.check("made meanwhile", "create configmap b --from-literal=x=1", "", &Has(&["created"]));
    assert_eq!(watching.next_words(3), "ADDED b 1", "what comes");
    cluster.check("gone", "delete configmap a", "", &Has(&["deleted"]));
    assert_eq!(watching.next_words(3), "DELETED a 1", "what goes");
}

const DEFINITION: &str = include_str!("apiserver_kubectl/widgets.yaml");

const WIDGET: &str = "
apiVersion: example.dev/v1alpha1
kind: Widget
metadata: {name: w1}
spec: {cidr: 10.0.0.0/16}
";

#[test]
fn custom_resources_follow_their_definition() {
    let cluster = Cluster::start();
    cluster.check_all(&[
        ("before", "apply -f -", WIDGET, Fails(&["the server could not find the requested resource"])),
        ("the definition", "apply -f -", DEFINITION, Out("customresourcedefinition.apiextensions.k8s.io/widgets.example.dev created")),
        ("is established", "wait --for=condition=Established crd/widgets.example.dev --timeout=60s", "", Has(&["condition met"])),
        ("again", "apply -f -", DEFINITION, Out("customresourcedefinition.apiextensions.k8s.io/widgets.example.dev unchanged")),
        ("an object", "apply -f -", WIDGET, Out("widget.example.dev/w1 created")),
        ("has its defaults", "get widget w1 -o jsonpath={.spec}", "", Out(r#"{"cidr":"10.0.0.0/16","floor":1,"mode":"Auto","size":26}"#)),
        ("and columns", "get wd -o wide", "", Has(&["NAME   CIDR          READY   SIZE   AGE\nw1     10.0.0.0/16           26"])),
        ("explained", "explain widget.spec.cidr", "", Has(&["FIELD: cidr <string>", "The range."])),
        ("in its category", "get all", "", Has(&["widget.example.dev/w1"])),
        ("a rule about the old value", "patch wd w1 --type merge -p {\"spec\":{\"cidr\":\"11.0.0.0/16\"}}", "", Fails(&["spec: Invalid value: cidr is immutable"])),
        ("a rule about two fields", "patch wd w1 --type merge -p {\"spec\":{\"floor\":30}}", "", Fails(&["spec: Invalid value: size must be at least floor"])),
        ("bounds, values and types", "patch wd w1 --type merge -p {\"spec\":{\"size\":40,\"mode\":\"X\",\"cidr\":5}}", "",
            Fails(&["spec.size in body should be less than or equal to 32", "spec.mode: Unsupported value: \"X\": supported values: \"Auto\", \"Manual\"",
                "spec.cidr in body must be of type string: \"integer\""])),
        ("patterns", "apply -f -", &WIDGET.replace("10.0.0.0/16", "ten"), Fails(&["spec.cidr in body should match '^[0-9a-f.:/]+$'"])),
        ("required fields", "create -f -", &WIDGET.replace("spec: {cidr: 10.0.0.0/16}", "spec: {}").replace("w1", "w2"), Fails(&["spec.cidr: Required value"])),
        ("unknown fields", "create -f -", &WIDGET.replace("cidr:", "foo: 1, cidr:").replace("w1", "w2"), Fails(&["strict decoding error: unknown field \"spec.foo\""])),
        ("pruned when not strict", "create --validate=false -o jsonpath={.spec.foo} -f -", &WIDGET.replace("cidr:", "foo: 1, cidr:").replace("w1", "w2"), Out("")),
        ("status has its own door", "patch wd w1 --subresource=status --type merge -p {\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]},\"spec\":{\"size\":27}}", "", Has(&["patched"])),
        ("which changes nothing else", "get wd w1 -o jsonpath={.spec.size}/{.status.conditions[0].status}/{.metadata.generation}", "", Out("26/True/1")),
        ("nor does the front door change it", "patch wd w1 --type merge -p {\"status\":{\"conditions\":null},\"spec\":{\"size\":28}}", "", Has(&["patched"])),
        ("indeed", "get wd w1 -o jsonpath={.spec.size}/{.status.conditions[0].status}/{.metadata.generation}", "", Out("28/True/2")),
        ("waited for", "wait --for=condition=Ready wd/w1 --timeout=60s", "", Has(&["condition met"])),
        ("no strategic merge", "patch wd w1 -p {\"spec\":{\"size\":29}}", "", Fails(&["application/strategic-merge-patch+json is not supported by example.dev/v1alpha1, Kind=Widget"])),
        ("the definition goes", "delete crd widgets.example.dev", "", Has(&["deleted"])),
        ("with its objects", "get --raw /apis/example.dev/v1alpha1/widgets", "", Fails(&["NotFound"])),
        ("a definition with a bad rule", "create -f -", &DEFINITION.replace("self.size >= self.floor", "self.size >="), Fails(&["x-kubernetes-validations"])),
        ("with the wrong name", "create -f -", &DEFINITION.replace("name: widgets.example.dev", "name: wrong.example.dev"), Fails(&["must be spec.names.plural+\".\"+spec.group"])),
    ]);
}
