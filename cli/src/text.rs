//! Formats numbers, facts and tables as text.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A list of names, with values in a second column.
#[derive(Debug, Default)]
pub struct Facts {
    lines: Vec<(&'static str, String)>,
}

impl Facts {
    /// Adds a line.
    pub fn add(&mut self, name: &'static str, value: impl Into<String>) -> &mut Self {
        self.lines.push((name, value.into()));
        self
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.lines {
            writeln!(f, "{name:width$}  {value}")?;
        }
        Ok(())
    }
}

/// A table with a single rule, below its heading. Columns whose heading starts with `>` are right-aligned.
pub fn table(headings: &[&str]) -> Table {
    const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
    let mut table = Table::new();
    table.load_style(RULED);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for (index, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// The lines of a table without trailing blanks.
pub fn lines(table: &Table) -> Vec<String> {
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1u32 << 20))
}

/// A time in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A time as text, in milliseconds below a second and in seconds above.
pub fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", milliseconds(time))
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

/// A whole number with thousands separators.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Today's date in UTC, as 2026-11-24.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since.as_secs() / 86_400)
}

/// The date `days` days after 1970-01-01, by Hinnant's `civil_from_days`. It counts in eras of 400 years, and starts
/// years in March, so that the leap day is the last day of a year.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(time(Duration::from_millis(12)), "12.0 ms");
        assert_eq!(time(Duration::from_millis(1234)), "1.23 s");
    }

    #[test]
    fn days_are_dates() {
        let dates = [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_781, "2026-11-24")];
        for (days, want) in dates {
            assert_eq!(date(days), want);
        }
        assert_eq!(today().len(), 10);
    }

    #[test]
    fn tables_align() {
        let mut table = table(&["name", ">size"]);
        table.add_row(["a", "1"]).add_row(["bb", "1000"]);
        assert_eq!(lines(&table), ["name  size", "────────────", "a        1", "bb    1000"]);
    }
}
