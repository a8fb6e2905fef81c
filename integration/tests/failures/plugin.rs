//! Calls of the real plugin by hand, as a runtime makes them.

use std::os::fd::AsRawFd as _;

use integration::lab::netns::NetworkNamespace;
use integration::lab::oracle;
use integration::lab::testing::TestLab;
use serde_json::{Value, json};

use super::scene::holder;

/// One attachment that a test makes beside those of the lab's kubelet: another interface of a pod.
pub(crate) struct Plugin {
    holder: u32,
    container: String,
    interface: String,
    /// Namespace, name and UID of the pod.
    pod: [String; 3],
    netns: Option<NetworkNamespace>,
}

/// How a call ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// 0 for success, else the error object's code.
    pub(crate) code: u64,
    /// What was printed; null for nothing.
    pub(crate) output: Value,
}

impl Plugin {
    /// An attachment of `eth1` to the pod, in a network namespace of its own.
    pub(crate) fn new(lab: &TestLab, node: &str, container: &str, pod: [&str; 3]) -> Self {
        Self {
            holder: holder(lab, node),
            container: container.into(),
            interface: "eth1".into(),
            pod: pod.map(str::to_owned),
            netns: Some(NetworkNamespace::create().unwrap()),
        }
    }

    /// The same attachment under another interface name.
    pub(crate) fn on(self, interface: &str) -> Self {
        Self { interface: interface.into(), ..self }
    }

    /// The network configuration list that the daemon has put down.
    pub(crate) fn list(&self) -> Value {
        let path = format!("/proc/{}/root/etc/cni/net.d/10-tortie.conflist", self.holder);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Ends the sandbox's namespace as a crash does: its interfaces go with it.
    pub(crate) fn destroy_namespace(&mut self) {
        self.netns = None;
    }

    /// The namespace in which the pod's end is.
    pub(crate) fn namespace(&self) -> &NetworkNamespace {
        self.netns.as_ref().expect("asked for before its end")
    }

    /// Name of the host's end.
    pub(crate) fn host_interface(&self) -> String {
        cni::veth::host_interface_name(&cni::protocol::Attachment {
            network: "tortie".into(),
            container_id: self.container.clone(),
            ifname: self.interface.clone(),
        })
    }

    /// Calls a verb; `more` goes into what the plugin reads.
    pub(crate) fn call(&self, verb: &str, more: &Value) -> Outcome {
        let list = self.list();
        let mut input = list["plugins"][0].clone();
        input["cniVersion"] = list["cniVersion"].clone();
        input["name"] = list["name"].clone();
        for (key, value) in more.as_object().into_iter().flatten() {
            input[key] = value.clone();
        }
        let [namespace, name, uid] = &self.pod;
        let mut command = oracle::command(self.holder, "env");
        command.arg("-i");
        command.arg(format!("CNI_COMMAND={verb}"));
        command.arg("CNI_PATH=/opt/cni/bin");
        if !["GC", "STATUS", "VERSION"].contains(&verb) {
            command.arg(format!("CNI_CONTAINERID={}", self.container));
            command.arg(format!("CNI_IFNAME={}", self.interface));
            command.arg(format!(
                "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={uid}"
            ));
            if let Some(netns) = &self.netns {
                command.arg(format!(
                    "CNI_NETNS=/proc/{}/fd/{}",
                    std::process::id(),
                    netns.handle().as_raw_fd()
                ));
            }
        }
        command.arg("/opt/cni/bin/tortie-cni");
        let (is_success, output) = oracle::converse(command, &input.to_string()).unwrap();
        let output: Value = serde_json::from_str(&output).unwrap_or(Value::Null);
        let code = if is_success { 0 } else { output["code"].as_u64().unwrap_or(u64::MAX) };
        Outcome { code, output }
    }

    /// ADD that must succeed; the addresses, without their lengths.
    pub(crate) fn add(&self) -> (Value, Vec<String>) {
        let Outcome { code, output } = self.call("ADD", &json!({}));
        assert_eq!(code, 0, "ADD: {output}");
        let ips = output["ips"].as_array().unwrap().iter();
        let addresses = ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned());
        let addresses = addresses.collect();
        (output, addresses)
    }

    /// DEL, which must succeed.
    pub(crate) fn del(&self, why: &str) {
        assert_eq!(self.call("DEL", &json!({})), Outcome { code: 0, output: Value::Null }, "{why}");
    }
}
