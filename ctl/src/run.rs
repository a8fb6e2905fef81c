//! From the command line to the text that is printed.

use anyhow::Result;
use api::control::{BlockStatus, NodeStatus, PeerStatus, PodPolicyStatus, Request, RouteStatus};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    args::{Args, BgpCommand, Command, IpamCommand, LogCommand, NodeCommand, Output, PolicyCommand},
    bgp, client, ipam, node, policy,
};

/// The text to print.
///
/// # Errors
/// No daemon, or why it refuses.
pub fn run(args: &Args) -> Result<String> {
    match &args.command {
        Command::Node(NodeCommand::Status) => {
            show(args, &Request::Node, |status: &NodeStatus| node::status(status))
        }
        Command::Bgp(BgpCommand::Peers) => {
            show(args, &Request::Peers, |peers: &Vec<PeerStatus>| bgp::peers(peers))
        }
        Command::Bgp(BgpCommand::Routes) => {
            show(args, &Request::Routes, |routes: &Vec<RouteStatus>| bgp::routes(routes))
        }
        Command::Bgp(BgpCommand::Peer { peer }) => {
            show_part(args, &Request::Peers, |peers: Vec<PeerStatus>| bgp::find_peer(peers, peer), bgp::peer)
        }
        Command::Bgp(BgpCommand::Why { destination }) => show_part(
            args,
            &Request::Routes,
            |routes: Vec<RouteStatus>| bgp::find_route(routes, destination),
            |route| bgp::routes(std::slice::from_ref(route)),
        ),
        Command::Ipam(IpamCommand::Show) => {
            show(args, &Request::Ipam, |blocks: &Vec<BlockStatus>| ipam::blocks(blocks))
        }
        Command::Policy(PolicyCommand::Show(pod)) => {
            let (namespace, pod) = pod.key();
            show(args, &Request::Policy { namespace, pod }, |status: &PodPolicyStatus| policy::pod(status))
        }
        Command::Log(LogCommand::Level { level }) => {
            let request = Request::LogLevel { level: level.clone() };
            show(args, &request, |level: &String| format!("log level is now {level}\n"))
        }
    }
}

/// As [`show`], for a part of what the daemon answers.
fn show_part<T: DeserializeOwned, P: Serialize>(
    args: &Args,
    request: &Request,
    part: impl Fn(T) -> Result<P>,
    text: impl Fn(&P) -> String,
) -> Result<String> {
    let value = part(client::ask(&args.socket, request)?)?;
    match args.output {
        Output::Table => Ok(text(&value)),
        Output::Json => Ok(serde_json::to_string_pretty(&value)? + "\n"),
    }
}

fn show<T: Serialize + DeserializeOwned>(
    args: &Args,
    request: &Request,
    text: impl Fn(&T) -> String,
) -> Result<String> {
    let value: T = client::ask(&args.socket, request)?;
    match args.output {
        Output::Table => Ok(text(&value)),
        Output::Json => Ok(serde_json::to_string_pretty(&value)? + "\n"),
    }
}
