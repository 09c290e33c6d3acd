use std::{
    fs::File,
    io::{ErrorKind, IsTerminal, Write},
    sync::OnceLock,
};

use perennial_sdk::Error;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

/// Standard output, after it was moved to where only [`print`] finds it.
static APART: OnceLock<File> = OnceLock::new();

/// Leaves standard error in the place of standard output for everything but [`print`]: what a loaded plugin prints does
/// not belong to an answer.
pub(super) fn keep_apart() {
    use rustix::{
        io::fcntl_dupfd_cloexec,
        stdio::{dup2_stdout, stderr, stdout},
    };
    if let Ok(real) = fcntl_dupfd_cloexec(stdout(), 3)
        && dup2_stdout(stderr()).is_ok()
    {
        let _ = APART.set(real.into());
    }
}

/// Writes to standard output. A reader that has seen enough (`perennial list | head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let written = match APART.get() {
        Some(mut apart) => apart.write_all(text.as_bytes()),
        None => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
    };
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::from(error).context("failed to write to standard output"))
        }
        _ => Ok(()),
    }
}

/// A value as JSON for programs, and a newline.
pub(super) fn json(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Columns of equal width, the first row as headings. Cells are made plain and one line each.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(&cell.replace(['\n', '\t'], " "))).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.width()));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Text of others without what could move a terminal's cursor, colour it or turn its direction around.
pub(super) fn plain(text: &str) -> String {
    let harmless = |character: char| match character {
        '\n' | '\t' => character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    text.chars().map(harmless).collect()
}

/// Bytes for people, in units of 1000.
pub(super) fn size(bytes: u64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.into_iter().find(|(_, unit)| bytes as f64 >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit),
        None => format!("{bytes} B"),
    }
}

/// A number of things: `1 version`, `2 versions`.
pub(super) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Whether to colour what goes there.
pub(super) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
