//! Questions between named endpoints -> jobs for prober processes -> findings.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::StreamExt as _;

use super::cluster::Cluster;
use super::error::LabError;
use super::prober;
use super::process::Place;
use super::topology::Space;
use super::underlay::Underlay;
use crate::probe::server::Port;
use crate::probe::{Answer, Endpoint, Family, Finding, Job, Outcome, Question};

/// Prober processes at once; each may have hundreds of questions on their way.
const PROBERS_MAX: usize = 16;

/// Who can be found where, for one lab.
pub(super) struct Reach<'a> {
    pub(super) underlay: &'a Underlay,
    pub(super) cluster: &'a Cluster,
}

impl Reach<'_> {
    /// One finding for each question, in their order.
    pub(super) async fn ask(&self, questions: &[Question]) -> Result<Vec<Finding>, LabError> {
        let mut jobs: BTreeMap<Endpoint, Vec<Job>> = BTreeMap::new();
        let mut findings: Vec<Option<Finding>> = vec![None; questions.len()];
        for (id, question) in questions.iter().enumerate() {
            match self.job(id, question).await? {
                Some(job) => jobs.entry(question.from.clone()).or_default().push(job),
                None => findings[id] = Some(unaskable(question)),
            }
        }
        let probers = jobs.into_iter().map(|(from, jobs)| self.ask_from(from, jobs));
        let mut answers = futures::stream::iter(probers).buffer_unordered(PROBERS_MAX);
        while let Some(answers) = answers.next().await {
            for answer in answers? {
                if let Some(question) = questions.get(answer.id) {
                    findings[answer.id] = Some(finding(question, self.family(question), &answer));
                }
            }
        }
        let lost = |(id, found): (usize, Option<Finding>)| found.unwrap_or_else(|| unaskable(&questions[id]));
        Ok(findings.into_iter().enumerate().map(lost).collect())
    }

    async fn ask_from(&self, from: Endpoint, jobs: Vec<Job>) -> Result<Vec<Answer>, LabError> {
        let place = self.place(&from)?;
        Ok(prober::ask(self.underlay.spawner(), self.underlay.programs().lab(), place, &jobs).await?)
    }

    /// The job, or none when the asked one has no address of the family.
    async fn job(&self, id: usize, question: &Question) -> Result<Option<Job>, LabError> {
        let Some(address) = self.target(question)? else { return Ok(None) };
        let port = Port { protocol: question.protocol, number: question.port };
        if let Some(space) = host(&question.to) {
            let name = question.to.to_string();
            self.underlay.ensure_server(&space, &name, &self.addresses(&question.to)?, port).await?;
        }
        let Question { port, protocol, timeout_millis, .. } = *question;
        Ok(Some(Job { id, address, port, protocol, timeout_millis }))
    }

    /// The address that a question goes to.
    pub(super) fn target(&self, question: &Question) -> Result<Option<IpAddr>, LabError> {
        let addresses = self.addresses(&question.to)?;
        let fits = |address: &&IpAddr| question.family.is_none_or(|family| Family::of(**address) == family);
        Ok(addresses.iter().find(fits).copied())
    }

    fn family(&self, question: &Question) -> Option<Family> {
        self.target(question).ok().flatten().map(Family::of)
    }

    /// Where the processes of an endpoint are started.
    pub(super) fn place(&self, endpoint: &Endpoint) -> Result<Place, LabError> {
        if let Endpoint::Pod { namespace, name } = endpoint {
            let pod = self.cluster.pods.get(namespace, name);
            return Ok(pod.ok_or_else(|| LabError::Unknown(format!("running pod {endpoint}")))?.place);
        }
        let space = host(endpoint).ok_or_else(|| LabError::Unknown(format!("host that is {endpoint}")))?;
        Ok(self.underlay.place(&space)?)
    }

    fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<IpAddr>, LabError> {
        let unknown = || LabError::Unknown(endpoint.to_string());
        let topology = self.underlay.topology();
        Ok(match endpoint {
            Endpoint::Address(address) => vec![*address],
            Endpoint::Pod { namespace, name } => {
                self.cluster.pods.get(namespace, name).ok_or_else(unknown)?.addresses
            }
            Endpoint::Node(name) => {
                let node = topology.node(name).ok_or_else(unknown)?;
                vec![node.ipv4.into(), node.ipv6.into()]
            }
            Endpoint::External(name) => {
                let host = topology.externals.iter().find(|host| host.name == *name).ok_or_else(unknown)?;
                vec![host.ipv4.into(), host.ipv6.into()]
            }
        })
    }
}

fn host(endpoint: &Endpoint) -> Option<Space> {
    match endpoint {
        Endpoint::Node(name) => Some(Space::Node(name.clone())),
        Endpoint::External(name) => Some(Space::External(name.clone())),
        Endpoint::Pod { .. } | Endpoint::Address(_) => None,
    }
}

fn unaskable(question: &Question) -> Finding {
    Finding {
        allowed: false,
        from: question.from.to_string(),
        to: question.to.to_string(),
        family: question.family,
        protocol: question.protocol,
        millis: 0.0,
        reason: "no address to ask".into(),
        seen_as: None,
    }
}

fn finding(question: &Question, family: Option<Family>, answer: &Answer) -> Finding {
    let to = question.to.to_string();
    let (allowed, reason, seen_as) = match &answer.outcome {
        // Another pod behind a pod's address is as bad as none.
        Outcome::Answered { by, .. } if matches!(question.to, Endpoint::Pod { .. }) && *by != to => {
            (false, format!("answered by {by} instead"), None)
        }
        Outcome::Answered { by, seen_as } => (true, format!("answered by {by}"), *seen_as),
        Outcome::Refused => (false, "refused".into(), None),
        Outcome::Silent => (false, format!("no answer in {} ms", question.timeout_millis), None),
        Outcome::Unreachable(text) | Outcome::Failed(text) => (false, text.clone(), None),
    };
    let (from, protocol, millis) = (question.from.to_string(), question.protocol, answer.millis);
    Finding { allowed, from, to, family, protocol, millis, reason, seen_as }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asked_pods_own_answer_counts() {
        let answered = |by: &str| Outcome::Answered { by: by.into(), seen_as: None };
        let cases = [
            ("itself", "default/b", answered("default/b"), true, "answered by default/b"),
            ("its successor", "default/b", answered("default/c"), false, "answered by default/c instead"),
            ("whoever has it", "10.0.0.1", answered("default/c"), true, "answered by default/c"),
            ("nobody", "default/b", Outcome::Silent, false, "no answer in 1000 ms"),
            ("RST", "default/b", Outcome::Refused, false, "refused"),
        ];
        for (why, to, outcome, allowed, reason) in cases {
            let question = Question::new("default/a".parse().unwrap(), to.parse().unwrap(), 80);
            let found = finding(&question, Some(Family::Ipv4), &Answer { id: 0, millis: 1.0, outcome });
            assert_eq!((found.allowed, found.reason.as_str()), (allowed, reason), "{why}");
        }
    }
}
