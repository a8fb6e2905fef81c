//! The table that people read and the file that is kept: the same figures.

use super::sample::Figure;

/// One line of a table: what, its figure, and how it stands to what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// Its figure.
    pub(super) figure: Figure,
    /// What its median is divided by, and the quotients.
    pub(super) ratios: Vec<(String, f64)>,
}

/// What one benchmark found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    /// What it is about.
    pub(super) title: String,
    /// Unit of all figures.
    pub(super) unit: &'static str,
    /// The figures.
    pub(super) rows: Vec<Row>,
    /// What a reader must know to understand them.
    pub(super) notes: Vec<String>,
}

/// All of one run.
#[derive(Clone, Debug)]
pub(super) struct Report {
    facts: Vec<(&'static str, String)>,
    sections: Vec<Section>,
}

impl Report {
    /// Without figures yet; `facts` say what ran where.
    pub(super) fn new(facts: Vec<(&'static str, String)>) -> Self {
        Self { facts, sections: Vec::new() }
    }

    pub(super) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// As a terminal shows it.
    pub(super) fn text(&self) -> String {
        let sections = self.sections.iter().map(|section| {
            let notes: String = section.notes.iter().map(|note| ["  ", note, "\n"].concat()).collect();
            format!("\n{} ({})\n{}{notes}", section.title, section.unit, table(&section.rows))
        });
        sections.collect()
    }

    /// As it is kept, with what ran where.
    pub(super) fn markdown(&self) -> String {
        let facts = self.facts.iter().map(|(name, value)| format!("- {name}: {value}\n"));
        let sections = self.sections.iter().map(|section| {
            let notes: String = section.notes.iter().map(|note| ["- ", note, "\n"].concat()).collect();
            let rows = table(&section.rows);
            format!("\n## {}, in {}\n\n```text\n{rows}```\n\n{notes}", section.title, section.unit)
        });
        std::iter::once("# Figures of one run of `cargo lab bench`\n\n".to_owned())
            .chain(facts)
            .chain(sections)
            .collect()
    }
}

fn table(rows: &[Row]) -> String {
    let head = [String::new(), "median".into(), "least".into(), "greatest".into(), "ratios".into()];
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let widths: Vec<usize> = (0..5)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let lines = lines.iter().map(|[what, median, least, greatest, ratio]| {
        let line = format!(
            "{what:<w0$}  {median:>w1$}  {least:>w2$}  {greatest:>w3$}  {ratio}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3],
        );
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn cells(row: &Row) -> [String; 5] {
    let number = |value: f64| format!("{value:.2}");
    let ratios: Vec<String> = row.ratios.iter().map(|(of, ratio)| format!("{ratio:.3} of {of}")).collect();
    let Figure { median, least, greatest } = row.figure;
    [row.what.clone(), number(median), number(least), number(greatest), ratios.join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: &str, median: f64, ratios: &[(&str, f64)]) -> Row {
        let figure = Figure { median, least: 1.0, greatest: 100.0 };
        Row {
            what: what.into(),
            figure,
            ratios: ratios.iter().map(|(of, ratio)| ((*of).to_owned(), *ratio)).collect(),
        }
    }

    #[test]
    fn columns_are_aligned_and_the_file_says_what_ran_where() {
        let mut report = Report::new(vec![("commit", "abc".to_owned())]);
        let rows = vec![row("ours, p50", 9.5, &[("theirs", 0.25), ("all", 0.2)]), row("theirs", 38.0, &[])];
        report.add(Section { title: "ADD".into(), unit: "ms", rows, notes: vec!["note".into()] });
        let table = "           median  least  greatest  ratios\n\
                     ours, p50    9.50   1.00    100.00  0.250 of theirs, 0.200 of all\n\
                     theirs      38.00   1.00    100.00\n";
        assert_eq!(report.text(), format!("\nADD (ms)\n{table}  note\n"));
        let file = format!(
            "# Figures of one run of `cargo lab bench`\n\n- commit: abc\n\n## ADD, in ms\n\n```text\n{table}```\n\n- note\n"
        );
        assert_eq!(report.markdown(), file);
    }
}
