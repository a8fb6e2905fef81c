//! Findings as a square table for people: who reaches whom.

use std::fmt::Write as _;

use super::Finding;

/// Rows ask, columns are asked. A cell holds one mark for each family that was tried: `4` and `6`
/// for a way that is open, `x` for one that is closed; `.` was not asked.
pub fn render(findings: &[Finding]) -> String {
    let rows = names(findings.iter().map(|finding| finding.from.as_str()));
    let asked = names(findings.iter().map(|finding| finding.to.as_str()));
    // Whoever is in both stands at the same place in both, so that the diagonal is one.
    let in_both = rows.iter().filter(|name| asked.contains(name)).copied();
    let columns = names(in_both.chain(asked.iter().copied()));
    let first = rows.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut text = format!("{:first$}", "");
    for column in &columns {
        let _ = write!(text, "  {column}");
    }
    for row in rows {
        let _ = write!(text, "\n{row:first$}");
        for column in &columns {
            let _ = write!(text, "  {:^width$}", cell(findings, row, column), width = column.len());
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn cell(findings: &[Finding], from: &str, to: &str) -> String {
    let mut found: Vec<&Finding> =
        findings.iter().filter(|finding| finding.from == from && finding.to == to).collect();
    found.sort_by_key(|finding| finding.family);
    let marks: Vec<&str> = found
        .iter()
        .map(|finding| match (finding.allowed, finding.family) {
            (true, Some(super::Family::Ipv4)) => "4",
            (true, Some(super::Family::Ipv6)) => "6",
            (true, None) => "?",
            (false, _) => "x",
        })
        .collect();
    if marks.is_empty() { ".".into() } else { marks.join(" ") }
}

/// Each name once, in the order of its first appearance.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::{Family, Protocol};
    use super::*;

    #[test]
    fn cells_show_each_family() {
        let finding = |from: &str, to: &str, family, allowed| Finding {
            allowed,
            from: from.into(),
            to: to.into(),
            family: Some(family),
            protocol: Protocol::Tcp,
            millis: 0.5,
            reason: String::new(),
            seen_as: None,
        };
        let findings = [
            finding("web", "database", Family::Ipv6, false),
            finding("web", "database", Family::Ipv4, true),
            finding("database", "web", Family::Ipv4, true),
            finding("database", "web", Family::Ipv6, true),
        ];
        let expected = "          web  database\nweb        .     4 x\ndatabase  4 6     .\n";
        assert_eq!(render(&findings), expected);
    }
}
