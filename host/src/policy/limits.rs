use std::time::Duration;

use perennial_sdk::Limits;

use super::{Bounds, Refusal};
use crate::config;

/// How much a server may use: what it asks for, and what the operator has where it asks for nothing.
pub(super) fn judge(ceiling: &config::Limits, asked: &Limits, refused: &mut Vec<Refusal>) -> Bounds {
    let mut whole = |kind: &'static str, asked: Option<u64>, least: u64, most: u64| {
        bounded(kind, asked.map(|asked| asked as f64), least as f64, most as f64, refused)
            .map_or(most, |number| number as u64)
    };
    let memory_mb = whole("memory_mb", asked.memory_mb, 16, ceiling.memory_mb.get());
    let pids = whole("pids", asked.pids, 1, ceiling.pids.get());
    let files = whole("files", asked.files, 16, ceiling.files.get());
    let disk_mb = whole("disk_mb", asked.disk_mb, 1, ceiling.disk_mb.get());
    let most = ceiling.cpu.get();
    let cpu = bounded("cpu", asked.cpu, 0.01, most, refused).unwrap_or(most);
    let most = ceiling.call_timeout_s.duration().as_secs_f64();
    let call = bounded("call_timeout_s", asked.call_timeout_s, 0.001, most, refused).unwrap_or(most);
    Bounds { memory_mb, cpu, pids, files, disk_mb, call_timeout: Duration::from_secs_f64(call) }
}

fn bounded(kind: &'static str, asked: Option<f64>, least: f64, most: f64, refused: &mut Vec<Refusal>) -> Option<f64> {
    let asked = asked?;
    if !asked.is_finite() || asked < least.min(most) {
        refused.push(Refusal::invalid(kind, &asked.to_string(), format!("is less than {}", least.min(most))));
        return None;
    }
    if asked > most {
        let refusal = Refusal::denied(
            kind,
            &asked.to_string(),
            format!("is more than {most}, the most that a server may have"),
            number(asked),
        );
        refused
            .push(refusal.instead(format!("ask for `\"{kind}\": {most}` at most, or leave it out to have just that")));
        return None;
    }
    Some(asked)
}

fn number(number: f64) -> String {
    number.to_string()
}
