//! The table and the JSON.

use std::{fmt::Write as _, io::Write, path::Path};

use perennial_sdk::Result;
use serde::Serialize;

use crate::environment::Environment;

/// Everything that was measured in one run.
#[derive(Serialize)]
pub(crate) struct Report {
    environment: Environment,
    figures: Vec<Figure>,
}

/// One measured value.
#[derive(Serialize)]
pub(crate) struct Figure {
    case: String,
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// What was promised.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, figures: Vec::new() }
    }

    /// A value that nothing was promised of.
    pub(crate) fn note(&mut self, case: impl ToString, what: impl Into<String>, value: f64, unit: &'static str) {
        let (case, what) = (case.to_string(), what.into());
        self.figures.push(Figure { case, what, value, unit, target: None, met: None });
    }

    /// A value with its target.
    pub(crate) fn judge(
        &mut self,
        case: impl ToString,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        let (case, what) = (case.to_string(), what.into());
        self.figures.push(Figure { case, what, value, unit, target: Some(target), met: Some(target.is_met(value)) });
    }

    /// The table, in Markdown, on standard output.
    pub(crate) fn print(&self) -> Result<()> {
        let Environment { commit, cores, processor, kernel, rustc, python, node, load } = &self.environment;
        let mut text = format!(
            "commit {commit}, {cores} cores ({processor}), Linux {kernel}, {rustc}, {python}, Node {node}, load {load} at the start\n\n"
        );
        text.push_str(&row(["", "measured", "target", ""].map(str::to_owned)));
        text.push_str("|---|---:|---:|---|\n");
        for figure in &self.figures {
            let target = match figure.target {
                None => String::new(),
                Some(Target::AtMost(most)) => format!("≤ {}", number(most)),
                Some(Target::AtLeast(least)) => format!("≥ {}", number(least)),
            };
            let verdict = match figure.met {
                None => "",
                Some(true) => "met",
                Some(false) => "**missed**",
            };
            let what = format!("{}: {}", figure.case, figure.what);
            let value = format!("{} {}", number(figure.value), figure.unit);
            text.push_str(&row([what, value.trim().to_owned(), target, verdict.to_owned()]));
        }
        Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
    }

    /// The same for programs.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, serde_json::to_string_pretty(self)?)?)
    }
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

fn row(cells: [String; 4]) -> String {
    let mut row = String::from("|");
    for (cell, width) in cells.iter().zip([64, 14, 10, 10]) {
        let _ = write!(row, " {cell:width$} |");
    }
    row.push('\n');
    row
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_its_target_meets_it_and_none_at_all_does_not() {
        assert!(Target::AtMost(60.0).is_met(60.0) && !Target::AtMost(60.0).is_met(60.1));
        assert!(Target::AtLeast(2.0).is_met(2.0) && !Target::AtLeast(2.0).is_met(1.9));
        assert!(!Target::AtMost(60.0).is_met(f64::NAN) && !Target::AtLeast(2.0).is_met(f64::NAN));
    }
}
