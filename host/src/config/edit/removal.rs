use perennial_sdk::{Error, Result};
use toml_edit::{DocumentMut, Item, Table};

use crate::config::PluginName;

/// Removes a plugin's table. The comment right above it goes along; what stands further up, beyond an empty line, belongs
/// to the file and stays.
pub(super) fn remove(document: &mut DocumentMut, plugin: &PluginName) -> Result<()> {
    let plugins = document.get_mut("plugins").and_then(|plugins| plugins.as_table_like_mut());
    let removed = plugins.and_then(|plugins| plugins.remove(plugin.as_str()));
    let mut removed = removed.ok_or_else(|| Error::not_found(format!("the file has no table `[plugins.{plugin}]`")))?;
    let Item::Table(table) = &mut removed else { return Ok(()) };
    let mut headers = Vec::new();
    each_header(table, &mut |header| headers.extend(header.position().map(|at| (at, prefix(header)))));
    let Some((at, above)) = headers.into_iter().min_by_key(|(at, _)| *at) else { return Ok(()) };
    let stays = above.rfind("\n\n").map_or("", |end| &above[..=end]);
    if stays.trim().is_empty() {
        return Ok(());
    }
    let mut next: Option<isize> = None;
    each_header(document.as_table_mut(), &mut |header| {
        let position = header.position().filter(|position| *position > at);
        next = [next, position].into_iter().flatten().min();
    });
    let Some(next) = next else {
        let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing(format!("{stays}{trailing}"));
        return Ok(());
    };
    each_header(document.as_table_mut(), &mut |header| {
        if header.position() == Some(next) {
            let own = prefix(header);
            let parting = if own.starts_with('\n') { "" } else { "\n" };
            header.decor_mut().set_prefix(format!("{stays}{parting}{own}"));
        }
    });
    Ok(())
}

fn prefix(table: &Table) -> String {
    table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

/// Every table below and with this one that has a line of its own.
fn each_header(table: &mut Table, visit: &mut impl FnMut(&mut Table)) {
    if !table.is_implicit() && !table.is_dotted() {
        visit(table);
    }
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(table) => each_header(table, visit),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| each_header(table, visit)),
            _ => {}
        }
    }
}
