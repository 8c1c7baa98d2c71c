//! The statistics of drivers, under common headings.

use crate::vulkan::{Adapter, Executable, Value};
use ash::vk::DriverId;
use serde::Serialize;
use serde_json::Map;
use std::fmt::Write;

/// A statistic of a driver as a column.
struct Column {
    heading: &'static str,
    /// The name of the statistic in the driver.
    statistic: &'static str,
    /// The number of units of the driver per unit of the heading. The quotient is rounded up.
    divisor: u64,
}

const fn column(heading: &'static str, statistic: &'static str) -> Column {
    Column { heading, statistic, divisor: 1 }
}

/// A driver id that Khronos assigned after ash was generated.
const MESA_HONEYKRISP: DriverId = DriverId::from_raw(26);

/// The columns for each driver. Registers have 32 bits per lane.
const DRIVERS: [(DriverId, &[Column]); 3] = [
    (
        DriverId::MESA_RADV,
        &[
            column("registers", "VGPRs"),
            column("spilled registers", "Spilled VGPRs"),
            column("scratch bytes", "Scratch size"),
            column("instructions", "Instructions"),
            column("subgroups per SIMD", "Subgroups per SIMD"),
            column("workgroup memory", "LDS size"),
        ],
    ),
    (
        DriverId::INTEL_OPEN_SOURCE_MESA,
        &[
            column("spills", "Spill Count"),
            column("fills", "Fill Count"),
            column("scratch bytes", "Scratch Memory Size"),
            column("instructions", "Instruction Count"),
            column("cycles", "Cycle Count"),
            column("workgroup memory", "Workgroup Memory Size"),
        ],
    ),
    (
        MESA_HONEYKRISP,
        &[
            // The driver counts halves of 16 bits.
            Column { heading: "registers", statistic: "GPRs", divisor: 2 },
            column("spills", "Spills"),
            column("fills", "Fills"),
            column("scratch bytes", "Scratch"),
            column("instructions", "Instructions"),
            column("arithmetic", "ALU"),
            column("threads", "Threads"),
        ],
    ),
];

/// The statistics of the driver of one device.
#[derive(Serialize)]
pub struct Report {
    pub device: String,
    pub driver: String,
    pub driver_info: String,
    /// Whether the device was opened with robust access, as wgpu does.
    pub robust: bool,
    pub kernels: Vec<Row>,
    #[serde(skip)]
    id: DriverId,
}

/// A program that the driver compiled from a kernel, or the error.
#[derive(Serialize)]
pub struct Row {
    kernel: &'static str,
    /// The name that the driver gives the program. There may be several programs.
    executable: Option<String>,
    subgroup_size: Option<u32>,
    statistics: Map<String, serde_json::Value>,
    error: Option<String>,
    #[serde(skip)]
    values: Vec<(String, Value)>,
}

impl Row {
    pub fn new(kernel: &'static str, executable: &Executable) -> Self {
        let statistics = executable.statistics.iter().map(|(name, value)| (name.clone(), serde_json::json!(value)));
        Self {
            kernel,
            executable: Some(executable.name.clone()),
            subgroup_size: Some(executable.subgroup_size),
            statistics: statistics.collect(),
            error: None,
            values: executable.statistics.clone(),
        }
    }

    pub fn failed(kernel: &'static str, error: &anyhow::Error) -> Self {
        let error = Some(format!("{error:#}"));
        Self { kernel, executable: None, subgroup_size: None, statistics: Map::new(), error, values: Vec::new() }
    }

    fn value(&self, statistic: &str) -> Option<Value> {
        self.values.iter().find(|(name, _)| name == statistic).map(|&(_, value)| value)
    }

    /// The value of a column; empty if the driver does not report it.
    fn cell(&self, column: &Column) -> String {
        match (self.value(column.statistic), column.divisor) {
            (None, _) => String::new(),
            (Some(value), 1) => value.to_string(),
            (Some(Value::Uint(value)), divisor) => value.div_ceil(divisor).to_string(),
            (Some(value), _) => value.to_string(),
        }
    }
}

impl Report {
    pub fn new(adapter: &Adapter, robust: bool, kernels: Vec<Row>) -> Self {
        Self {
            device: adapter.name.clone(),
            driver: adapter.driver_name.clone(),
            driver_info: adapter.driver_info.clone(),
            robust,
            kernels,
            id: adapter.driver,
        }
    }

    /// Whether the driver compiled every kernel.
    pub fn is_complete(&self) -> bool {
        self.kernels.iter().all(|row| row.error.is_none())
    }

    /// The report as Markdown: a heading, a line about the driver, and the table.
    pub fn markdown(&self) -> String {
        let columns = DRIVERS.iter().find(|(id, _)| *id == self.id).map(|&(_, columns)| columns);
        match columns {
            Some(columns) => {
                let is_reported =
                    |column: &&Column| self.kernels.iter().any(|row| row.value(column.statistic).is_some());
                let columns: Vec<&Column> = columns.iter().filter(is_reported).collect();
                let headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
                self.table(&headings, |row| columns.iter().map(|column| row.cell(column)).collect())
            }
            None => {
                let names = self.statistics();
                let cell = |row: &Row, name: &str| row.value(name).map_or_else(String::new, |value| value.to_string());
                self.table(&names, |row| names.iter().map(|name| cell(row, name)).collect())
            }
        }
    }

    /// The names of all statistics of the driver, in its order.
    fn statistics(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, _) in self.kernels.iter().flat_map(|row| &row.values) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    fn table(&self, headings: &[&str], cells: impl Fn(&Row) -> Vec<String>) -> String {
        let mut text = String::new();
        let robustness = if self.robust { "robust access, as wgpu asks for" } else { "without robust access" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "## {}\n\n{}, {}; {robustness}\n", self.device, self.driver, self.driver_info);
        let _ = writeln!(text, "| kernel | subgroup | {} |", headings.join(" | "));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(headings.len() + 1));
        for row in &self.kernels {
            let mut name = row.kernel.to_owned();
            let several = self.kernels.iter().filter(|other| other.kernel == row.kernel).count() > 1;
            if let Some(executable) = row.executable.as_ref().filter(|_| several) {
                let _ = write!(name, ", {executable}");
            }
            if let Some(error) = &row.error {
                let _ = write!(name, ": {error}");
            }
            let subgroup = row.subgroup_size.map_or_else(String::new, |size| size.to_string());
            let cells: Vec<String> = [name, subgroup].into_iter().chain(cells(row)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: DriverId, statistics: &[(&str, Value)]) -> Report {
        let statistics = statistics.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let executable =
            Executable { name: "SIMD8".to_owned(), subgroup_size: 8, statistics, representations: Vec::new() };
        Report {
            device: "device".to_owned(),
            driver: "driver".to_owned(),
            driver_info: "1.2".to_owned(),
            robust: true,
            kernels: vec![Row::new("sum", &executable), Row::failed("relu", &anyhow::anyhow!("no"))],
            id,
        }
    }

    #[test]
    fn known_drivers_have_columns_of_what_they_tell() {
        let statistics = [("Spills", Value::Uint(7)), ("GPRs", Value::Uint(255)), ("Loops", Value::Uint(4))];
        let report = report(MESA_HONEYKRISP, &statistics);
        assert!(!report.is_complete());
        let text = report.markdown();
        assert!(text.contains("| kernel | subgroup | registers | spills |\n| --- | ---: | ---: | ---: |\n"), "{text}");
        assert!(text.contains("| sum | 8 | 128 | 7 |\n| relu: no |  |  |  |\n"), "{text}");
    }

    #[test]
    fn others_have_their_own_names_in_their_own_order() {
        let statistics = [("Zebras", Value::Float(1.25)), ("Apples", Value::Bool(true)), ("Int", Value::Int(-3))];
        let text = report(DriverId::MESA_NVK, &statistics).markdown();
        assert!(text.contains("| kernel | subgroup | Zebras | Apples | Int |\n"), "{text}");
        assert!(text.contains("| sum | 8 | 1.2 | true | -3 |\n"), "{text}");
    }

    #[test]
    fn json_has_everything() {
        let statistics = [("Loops", Value::Uint(4)), ("Time", Value::Float(0.5))];
        let json = serde_json::to_value(report(DriverId::MESA_RADV, &statistics)).unwrap();
        assert_eq!(json["kernels"][0]["statistics"], serde_json::json!({"Loops": 4, "Time": 0.5}));
        assert_eq!(json["kernels"][1]["error"], "no");
    }
}
