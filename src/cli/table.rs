//! Tables for people.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use super::{Failure, console};

/// Prints rows under a heading; nothing but the heading's absence tells of no rows.
pub(super) fn print<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<(), Failure> {
    print_rows(head, rows)
}

/// The same of rows of which it is known at run time how many columns they have.
pub(super) fn print_rows<'a>(
    head: impl IntoIterator<Item = &'a str>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.into_iter().map(str::to_uppercase));
    for row in rows {
        table.add_row(row.into_iter());
    }
    let mut out = console::out();
    for line in table.lines() {
        writeln!(out, "{}", line.trim())?;
    }
    Ok(())
}
