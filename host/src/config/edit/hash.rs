use toml_edit::{InlineTable, Item, Key, TableLike, Value};

/// The hash of a plugin's file on one platform.
#[derive(Debug, Clone, Copy)]
pub struct Hash<'a> {
    /// Operating system and architecture.
    pub platform: &'a str,
    /// In hex.
    pub sha256: &'a str,
}

/// Where a new key goes.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In the place of the key.
    Instead,
    /// After it.
    Behind,
}

const KEY: &str = "sha256";

/// Writes a hash into a plugin's table and answers the one that was there for the platform.
pub(super) fn write(table: &mut dyn TableLike, hash: &Hash<'_>) -> Option<String> {
    let platforms: Vec<String> = match table.get("path").and_then(Item::as_table_like) {
        Some(paths) => paths.iter().map(|(platform, _)| platform.to_owned()).collect(),
        None => Vec::new(),
    };
    let old = match table.get_mut(KEY) {
        None => {
            let value = if platforms.is_empty() { hash.sha256.into() } else { each([(hash.platform, hash.sha256)]) };
            match table.contains_key("trust") {
                true => put(table, "trust", Place::Instead, value),
                false => put(table, "path", Place::Behind, value),
            }
            None
        }
        Some(item) => match item.as_table_like_mut() {
            Some(each) => {
                let old = each.get(hash.platform).and_then(Item::as_str).map(str::to_owned);
                match each.get_mut(hash.platform).and_then(Item::as_value_mut) {
                    Some(value) => exchange(value, hash.sha256.into()),
                    None => drop(each.insert(hash.platform, Item::Value(hash.sha256.into()))),
                }
                old
            }
            None => {
                let old = item.as_str().map(str::to_owned);
                if let Some(value) = item.as_value_mut() {
                    // the one hash was that of the other platforms, too
                    let others = platforms.iter().map(String::as_str).filter(|other| *other != hash.platform);
                    let all: Vec<_> = others.zip(std::iter::repeat(old.as_deref().unwrap_or_default())).collect();
                    match all.is_empty() {
                        true => exchange(value, hash.sha256.into()),
                        false => exchange(value, each([(hash.platform, hash.sha256)].into_iter().chain(all))),
                    }
                }
                old
            }
        },
    };
    table.remove("trust");
    old
}

fn each<'a>(hashes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    Value::InlineTable(hashes.into_iter().collect::<InlineTable>())
}

/// Replaces a value and keeps the space and the comment around it.
fn exchange(value: &mut Value, new: Value) {
    let decor = value.decor().clone();
    *value = new;
    *value.decor_mut() = decor;
}

/// Puts the hash in the place of the key `at`, or behind it; what comes after it stays in its order.
fn put(table: &mut dyn TableLike, at: &str, place: Place, mut value: Value) {
    let keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
    let from = keys.iter().position(|key| key == at).map_or(keys.len(), |found| match place {
        Place::Instead => found,
        Place::Behind => found + 1,
    });
    let after: Vec<(Key, Item)> = keys[from..]
        .iter()
        .filter_map(|name| {
            let key = table.key(name)?.clone();
            Some((key, table.remove(name)?))
        })
        .collect();
    let mut key = Key::new(KEY);
    let after = match (place, after.split_first()) {
        (Place::Instead, Some(((old, item), rest))) => {
            key = key.with_leaf_decor(old.leaf_decor().clone()).with_dotted_decor(old.dotted_decor().clone());
            if let Some(old) = item.as_value() {
                *value.decor_mut() = old.decor().clone();
            }
            rest
        }
        _ => &after,
    };
    table.entry_format(&key).or_insert(Item::Value(value));
    for (key, item) in after {
        table.entry_format(key).or_insert(item.clone());
    }
}
