use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The changed text, with the lines of `old` as they were wherever a line is the same: whoever writes TOML again gives
/// all lines one end, and leaves a byte order mark out.
pub(super) fn keep(old: &str, new: &str) -> String {
    let (mark, text) = old.split_at(old.strip_prefix('\u{feff}').map_or(0, |rest| old.len() - rest.len()));
    let (old_lines, new_lines): (Vec<_>, Vec<_>) =
        (text.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let bare: Vec<_> = old_lines.iter().map(|line| line.replace('\r', "")).collect();
    let bare: Vec<_> = bare.iter().map(String::as_str).collect();
    let newline = newline(text);
    let mut kept = mark.to_owned();
    for change in capture_diff_slices(Algorithm::Myers, &bare, &new_lines) {
        match change {
            DiffOp::Equal { old_index, len, .. } => kept.extend(old_lines[old_index..old_index + len].iter().copied()),
            change => kept.extend(new_lines[change.new_range()].iter().map(|line| line.replace('\n', newline))),
        }
    }
    kept
}

/// What the lines of a text end with, as the first one shows.
pub(super) fn newline(text: &str) -> &'static str {
    if text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
}
