//! The results as Markdown, to paste into `docs/performance.md`, and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::found::{Found, Packets, Results, Spread};
use super::machine::Machine;
use super::rows::{Measure, ROWS, Row, Targets};
use super::servers::Kind::{self, Coturn, Forwarder, Hairpin, Offload};

/// Two tables, of costs and of the rest, with what was measured on and what may be doubted.
pub(super) fn markdown(machine: &Machine, size: &str, rows: &[&Row], results: &Results) -> String {
    let mut text = format!("{} {size}. {}\n\n", machine.paragraph(), doubts(results));
    text += "CPU seconds of the server per million packets that arrived, unless the row names another unit: the median \
             (lowest–highest). Hairpin's to another's is the ratio of the medians, which is to be no more than the \
             target.\n\n\
             | load | Hairpin | coturn | forwarder | GSO forwarder | to coturn | target | to the better forwarder | target |\n\
             |---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        text += &costs(row, results);
    }
    let own: String = rows.iter().map(|row| beside(row, results)).collect();
    if !own.is_empty() {
        text += "\nHairpin's own rows beside one another, as ratios of their medians.\n\n\
                 | load | beside | cost | target | packets/s |\n\
                 |---|---|---|---|---|\n";
        text += &own;
    }
    text += "\nA second and in microseconds; medians.\n\n\
             | load | server | packets/s | lost | p50 | p99 | processor | outside the kernel | memory, MB |\n\
             |---|---|---|---|---|---|---|---|---|\n";
    for row in rows.iter().filter(|row| row.measure == Measure::Cost) {
        for kind in row.servers {
            text += &details(row, *kind, results);
        }
    }
    text
}

/// Every measurement, with the machine.
pub(super) fn json(machine: &Machine, size: &str, rows: &[&Row], results: &Results) -> String {
    let row = |row: &&Row| {
        let found = |kind: &Kind| {
            let rounds: Vec<&Found> = results.of(row, *kind).collect();
            (kind.to_string(), json!(rounds))
        };
        let servers: serde_json::Map<String, Value> = row.servers.iter().map(found).collect();
        json!({"name": row.name, "title": row.title, "load": row.load, "servers": servers})
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let all = json!({"machine": machine, "size": size, "rows": rows, "failures": results.failures});
    format!("{all:#}\n")
}

/// Whether the machine was quiet, and whether servers were the limit.
fn doubts(results: &Results) -> String {
    let of = |name: &str| {
        let shares = results.all().filter_map(|found| found.remark(name));
        (shares.clone().count(), Spread::of(shares))
    };
    let all = results.all().len();
    let share = |(count, spread): (usize, Option<Spread>), what: &str| {
        spread.map_or_else(
            || format!("{what} in none of the {all} measurements"),
            |spread| {
                format!(
                    "{what} in {count} of the {all} measurements (of a processor {:.0} % in the median, {:.0} % at most)",
                    spread.median * 100.0,
                    spread.highest * 100.0
                )
            },
        )
    };
    let mut text = share(of("disturbed"), "Other programs ran");
    text += &share(of("stolen"), "; the host took processor time");
    if let (count @ 1.., _) = of("generator_was_the_limit") {
        let _ = write!(
            text,
            "; in {count} the load generator was the limit, and not the server"
        );
    }
    for (wrong, of) in [
        ("DAMAGED", (|it| it.damaged) as fn(Packets) -> u64),
        ("ASTRAY", |it| it.astray),
        ("there TWICE", |it| it.duplicates),
    ] {
        let count: u64 = results.all().map(|found| of(found.packets)).sum();
        if count > 0 {
            let _ = write!(text, "; {count} packets were {wrong}");
        }
    }
    text + "."
}

fn costs(row: &Row, results: &Results) -> String {
    let spread = |kind| Spread::of(results.of(row, kind).filter_map(|it| it.compared(row)));
    let ours = spread(Hairpin);
    let ratio = |theirs: Option<Spread>| {
        let both = ours.zip(theirs);
        both.map_or_else(String::new, |(ours, theirs)| {
            format!("{:.2}", ours.median / theirs.median)
        })
    };
    let [plain, offload] = [Forwarder, Offload].map(spread);
    let better = [plain, offload].into_iter().flatten();
    let better = better.min_by(|one, other| one.median.total_cmp(&other.median));
    let Targets {
        coturn,
        forwarder,
        own,
    } = row.targets;
    let own = own.map_or_else(String::new, |own| format!(", target {own}"));
    let cells = [
        ours.map_or_else(String::new, |_| cell(ours) + &own),
        cell(spread(Coturn)),
        cell(plain),
        cell(offload),
        ratio(spread(Coturn)),
        target(coturn),
        ratio(better),
        target(forwarder),
    ];
    format!("| {} | {} |\n", row.title, cells.join(" | "))
}

/// A row of Hairpin beside another one of it; empty unless both were measured.
fn beside(row: &Row, results: &Results) -> String {
    let Some(its) = row.beside else {
        return String::new();
    };
    let other = ROWS.iter().find(|other| other.name == its.row);
    let ratio = |of: &dyn Fn(&Row, &Found) -> Option<f64>| {
        let median = |row: &Row| {
            let numbers = results.of(row, Hairpin).filter_map(|found| of(row, found));
            Spread::of(numbers).map(|spread| spread.median)
        };
        Some(median(row)? / median(other?)?)
    };
    let costs = ratio(&|row, found| found.compared(row));
    let rates = ratio(&|_, found| Some(found.rate()));
    let (Some(other), Some(costs), Some(rates)) = (other, costs, rates) else {
        return String::new();
    };
    format!(
        "| {} | {} | {costs:.2} | {} | {rates:.2} |\n",
        row.title,
        other.title,
        target(its.target)
    )
}

fn target(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| share.to_string())
}

fn cell(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |it| {
        format!("{:.2} ({:.2}–{:.2})", it.median, it.lowest, it.highest)
    })
}

fn details(row: &Row, kind: Kind, results: &Results) -> String {
    let median = |of: &dyn Fn(&Found) -> Option<f64>| {
        Spread::of(results.of(row, kind).filter_map(of)).map(|spread| spread.median)
    };
    let Some(rate) = median(&|it| Some(it.rate())) else {
        // It was not asked for, or failed.
        return String::new();
    };
    let number = |found: Option<f64>, digits: usize| {
        found.map_or_else(String::new, |number| format!("{number:.digits$}"))
    };
    let percent = |found: Option<f64>, digits: usize| {
        found.map_or_else(String::new, |share| format!("{:.digits$} %", share * 100.0))
    };
    format!(
        "| {} | {kind} | {rate:.0} | {} | {} | {} | {} | {} | {} |\n",
        row.title,
        percent(median(&|it| Some(it.loss())), 2),
        number(median(&|it| it.latency.map(|it| it.p50)), 0),
        number(median(&|it| it.latency.map(|it| it.p99)), 0),
        number(median(&Found::processors), 2),
        percent(median(&Found::user_share), 0),
        number(median(&|it| it.resident().map(|bytes| bytes / 1e6)), 1),
    )
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    fn found(cost: f64) -> Found {
        let told = format!(
            r#"{{"measured": {{
                "seconds": 1.0, "packets": {{"sent": 1000, "received": 1000, "damaged": 0}},
                "latency": {{"p50": 10.0, "p99": 20.0}},
                "cost": {{"cpu_seconds_per_million": {cost}, "user_share": 0.1, "processors": 0.9,
                          "resident": 2000000, "per_allocation": null}},
                "remarks": [{{"disturbed": 0.1}}]}}}}"#
        );
        Found::read(&told).unwrap()
    }

    #[test]
    fn a_row_has_medians_their_spread_and_ratios_to_others() {
        let row = ROWS.iter().find(|row| row.name == "burst-up-160").unwrap();
        let mut results = Results::default();
        for (kind, costs) in [
            (Hairpin, [2.0, 3.0, 4.0]),
            (Coturn, [6.0; 3]),
            (Offload, [2.0; 3]),
        ] {
            for cost in costs {
                results.add(row, kind, found(cost));
            }
        }
        results.add(row, Forwarder, found(4.0));
        assert_eq!(
            costs(row, &results),
            "| bursts of 8, up, 160 B | 3.00 (2.00–4.00) | 6.00 (6.00–6.00) | 4.00 (4.00–4.00) | 2.00 (2.00–2.00) \
             | 0.50 | 0.55 | 1.50 | 1.15 |\n"
        );
        assert_eq!(
            details(row, Hairpin, &results),
            "| bursts of 8, up, 160 B | Hairpin | 1000 | 0.00 % | 10 | 20 | 0.90 | 10 % | 2.0 |\n"
        );
        assert!(doubts(&results).starts_with("Other programs ran in 10 of the 10"));
    }

    #[test]
    fn a_row_that_was_not_measured_leaves_its_cells_empty() {
        let results = Results::default();
        assert_eq!(
            costs(&ROWS[0], &results),
            "| up, 160 B |  |  |  |  |  | 0.9 |  | 1.05 |\n"
        );
        assert_eq!(details(&ROWS[0], Hairpin, &results), "");
    }

    #[test]
    fn rows_of_hairpin_stand_beside_one_another_with_costs_and_rates() {
        let row = |name| ROWS.iter().find(|row| row.name == name).unwrap();
        let (indications, both) = (row("indications"), row("both-160"));
        let mut results = Results::default();
        results.add(indications, Hairpin, found(4.2));
        assert_eq!(beside(indications, &results), "", "the other is missing");
        results.add(both, Hairpin, found(4.0));
        assert_eq!(
            beside(indications, &results),
            "| indications, both ways, 160 B | both ways, 160 B | 1.05 | 1.05 | 1.00 |\n"
        );
        assert_eq!(beside(both, &results), "");
    }

    #[test]
    fn a_figure_that_has_a_target_by_itself_names_it() {
        let idle = ROWS.iter().find(|row| row.name == "idle").unwrap();
        let told = r#"{"measured": {"seconds": 1.0, "packets": {"sent": 9, "received": 9}, "latency": null,
            "cost": {"cpu_seconds_per_million": null, "user_share": 0.1, "processors": 0.9, "resident": 1,
                     "per_allocation": 1536.0}, "remarks": []}}"#;
        let mut results = Results::default();
        results.add(idle, Hairpin, Found::read(told).unwrap());
        assert_eq!(
            costs(idle, &results),
            "| idle, KiB per allocation | 1.50 (1.50–1.50), target 1.5 |  |  |  |  |  |  |  |\n"
        );
    }

    #[test]
    fn packets_that_were_not_as_they_should_be_are_said_before_the_table() {
        let told = r#"{"measured": {"seconds": 1.0, "cost": null, "latency": null, "remarks": [], "packets":
            {"sent": 9, "received": 9, "duplicates": 2, "astray": 3, "damaged": 4}}}"#;
        let mut results = Results::default();
        results.add(&ROWS[0], Hairpin, Found::read(told).unwrap());
        let told = doubts(&results);
        for wrong in [
            "4 packets were DAMAGED",
            "3 packets were ASTRAY",
            "2 packets were there TWICE",
        ] {
            assert!(told.contains(wrong), "{wrong} in {told}");
        }
    }
}
