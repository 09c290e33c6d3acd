use super::Refusal;
use crate::config::VariableName;

/// Names that one server may ask for.
const MOST_NAMES: usize = 50;

const KIND: &str = "env";

/// Variables that the host itself sets.
const SET_BY_HOST: &[&str] = &["HOME", "LANG", "PATH", "PERENNIAL_HOST", "TMPDIR", "TZ"];

/// The names whose values a server gets.
pub(super) fn judge(allowed: &[VariableName], asked: &[String], refused: &mut Vec<Refusal>) -> Vec<String> {
    let mut granted: Vec<String> = Vec::new();
    for (number, name) in asked.iter().enumerate() {
        if number == MOST_NAMES {
            refused.push(Refusal::invalid(KIND, name, format!("comes after {MOST_NAMES} others, which is the most")));
            break;
        }
        if !crate::bounds::is_variable(name) {
            // it may be a value
            refused.push(Refusal::invalid(KIND, &format!("entry {}", number + 1), "is not a variable's name"));
        } else if SET_BY_HOST.contains(&name.as_str()) || crate::egress::names_a_proxy(name) {
            refused
                .push(Refusal::invalid(KIND, name, "is set by the host").instead("call the variable something else"));
        } else if !allowed.iter().any(|allowed| allowed.as_str() == name) {
            refused.push(Refusal::denied(KIND, name, "is not among the names that the operator allows", name));
        } else if !granted.contains(name) {
            granted.push(name.clone());
        }
    }
    granted
}
