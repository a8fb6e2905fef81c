//! Commands that are one request to a lab's supervisor.

use std::collections::BTreeSet;
use std::net::ToSocketAddrs as _;

use anyhow::Result;

use super::FamilyArgument;
use crate::lab::control::{self, Request, Status};
use crate::lab::directory;
use crate::lab::topology::RouterKind;
use crate::probe::{Family, Finding, Protocol};

pub(super) fn down(name: &str) -> Result<()> {
    Ok(control::down(&directory::of(name)?)?)
}

pub(super) fn kubeconfig(name: &str) -> Result<()> {
    let status: Status = control::ask(&directory::of(name)?, &Request::Status)?;
    println!("{}", status.kubeconfig.display());
    Ok(())
}

pub(super) fn probe(
    name: &str,
    from: String,
    to: String,
    port: u16,
    protocol: Protocol,
    family: Option<Family>,
    timeout_millis: u64,
) -> Result<()> {
    let request = Request::Probe { from, to, port, protocol, family, timeout_millis };
    let finding: Finding = control::ask(&directory::of(name)?, &request)?;
    println!("{}", serde_json::to_string(&finding)?);
    Ok(())
}

pub(super) fn family(argument: FamilyArgument) -> Family {
    match argument {
        FamilyArgument::Ipv4 => Family::Ipv4,
        FamilyArgument::Ipv6 => Family::Ipv6,
    }
}

pub(super) fn lookup(name: &str) -> Result<()> {
    let addresses: BTreeSet<_> = (name, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    for address in addresses {
        println!("{address}");
    }
    Ok(())
}

pub(super) fn status(name: &str) -> Result<()> {
    let status: Status = control::ask(&directory::of(name)?, &Request::Status)?;
    print!("{}", text(name, &status));
    Ok(())
}

fn text(name: &str, status: &Status) -> String {
    let shape = &status.shape;
    let router = match shape.router {
        RouterKind::Own => "tortie-bgp",
        RouterKind::Bird => "BIRD",
    };
    let peering = if shape.mesh { "nodes in a mesh" } else { "nodes peer with their ToRs" };
    let mut lines = format!(
        "lab         {name}, supervisor {}\nshape       {} racks, {} nodes, {router}, {peering}\nkubeconfig  {}\n",
        status.supervisor,
        shape.racks,
        shape.nodes,
        status.kubeconfig.display(),
    );
    let process = |pid: Option<u32>| pid.map_or("-".to_owned(), |pid| pid.to_string());
    let nodes = status.nodes.iter().map(|node| {
        vec![
            node.name.clone(),
            node.rack.clone(),
            node.asn.to_string(),
            node.addresses.join("  "),
            process(node.holder),
            process(node.daemon),
        ]
    });
    lines += &table(&["NODE", "RACK", "AS", "ADDRESSES", "HOLDER", "DAEMON"], nodes);
    let routers = status.routers.iter().map(|router| {
        let socket = router.socket.display().to_string();
        vec![
            router.name.clone(),
            router.asn.to_string(),
            router.address.clone(),
            process(router.holder),
            socket,
        ]
    });
    lines += &table(&["ROUTER", "AS", "ADDRESS", "HOLDER", "CONTROL SOCKET"], routers);
    let pods =
        status.pods.iter().map(|pod| vec![pod.name.clone(), pod.node.clone(), pod.addresses.join("  ")]);
    lines + &table(&["POD", "NODE", "ADDRESSES"], pods)
}

/// Columns as wide as their widest cell, two blanks between, an empty line above.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = all[0].len();
    let width = |column: usize| all.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    std::iter::once("\n".to_owned()).chain(all.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_have_no_trailing_blanks() {
        let rows =
            [["a".to_owned(), "10.0.0.1".into()].to_vec(), ["long-name".to_owned(), String::new()].to_vec()];
        let found = table(&["POD", "ADDRESS"], rows.into_iter());
        assert_eq!(found, "\nPOD        ADDRESS\na          10.0.0.1\nlong-name\n");
    }
}
