//! Tables of the documents: a row is found by its first cell, which therefore names something.

use crate::failure::Failure;
use crate::markdown;
use crate::workspace::Workspace;

/// Fails on each row whose first cell is a question or a clause ("who …", "those that …") in place of a name.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for (path, text) in markdown::files(workspace)? {
        let rows = markdown::prose(&text).filter_map(|(number, line)| {
            Some((number, first_cell(line).filter(|cell| is_clause(cell))?))
        });
        findings.extend(rows.map(|(number, cell)| {
            let path = path.display();
            format!("{path}:{number}: a row begins with a clause, not with a name: {cell}")
        }));
    }
    Failure::unless_empty(findings)
}

/// The text of the first cell of a line of a table.
fn first_cell(line: &str) -> Option<&str> {
    let (cell, _) = line.trim_start().strip_prefix('|')?.split_once('|')?;
    Some(cell.trim())
}

/// Whether the text begins as a question or as a clause without the noun that it is about.
fn is_clause(cell: &str) -> bool {
    let cell = cell.trim_start_matches('*').to_lowercase();
    let mut words = cell.split_whitespace();
    let [first, second] = [(); 2].map(|()| words.next().unwrap_or_default());
    match first {
        "who" | "whom" | "whose" | "whoever" | "what" | "whatever" | "which" | "whichever" => true,
        "those" | "they" => ["who", "whom", "whose", "which", "that"].contains(&second),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_begins_with_a_name() {
        let begins = |line| first_cell(line).is_some_and(is_clause);
        for line in [
            "| who sends to whom | everybody |",
            "| **What nobody signed is not obeyed.** | x |",
            "| those who choose a server | features |",
            "  | what | before | after |",
        ] {
            assert!(begins(line), "{line}");
        }
        for line in [
            "| people who choose a server | features |",
            "| `what` | a key |",
            "| | mesh | SFU |",
            "|---|---|",
            "no table, but what | a | b",
        ] {
            assert!(!begins(line), "{line}");
        }
    }
}
