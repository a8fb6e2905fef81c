//! `tortiectl policy show POD`.

use api::control::{DirectionStatus, PodPolicyStatus, PolicyRulesStatus};

/// What is in force for one pod, direction by direction.
pub fn pod(status: &PodPolicyStatus) -> String {
    let head = format!(
        "Pod         {}\nAddresses   {}\nInterface   {}\n",
        status.pod,
        status.addresses.join(", "),
        status.interface
    );
    format!(
        "{head}\n{}\n{}",
        direction("Ingress", "may reach the pod", &status.ingress),
        direction("Egress", "the pod may reach", &status.egress)
    )
}

fn direction(name: &str, what: &str, direction: &DirectionStatus) -> String {
    if !direction.isolated {
        return format!("{name}: no policy selects the pod; everything passes\n");
    }
    let policies: String = direction.policies.iter().map(policy).collect();
    format!("{name}: isolated; {what}:\n{policies}")
}

/// One policy and, below it, what each rule lets pass.
fn policy(policy: &PolicyRulesStatus) -> String {
    let mut lines = vec![format!("  NetworkPolicy {}", policy.policy)];
    if !policy.error.is_empty() {
        lines.push(format!("    set aside: {}", policy.error));
    }
    if policy.rules.is_empty() {
        lines.push("    nothing".to_owned());
    }
    lines.extend(policy.rules.iter().map(|rule| format!("    {rule}")));
    lines.join("\n") + "\n"
}
