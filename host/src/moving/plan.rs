use perennial_sdk::Version;

/// What one version is, as far as it matters for moving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A record with this [digest](super::digest).
    Record(String),
    /// A tombstone.
    Deleted,
    /// Something that cannot be read: it is like nothing else.
    Unreadable,
}

/// How the versions of a source go onto those of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Those from this place on are new to the target.
    From(usize),
    /// The target has them all, and they are its newest.
    Same,
    /// The target has them all, and newer ones of its own.
    Ahead,
    /// The target's history is another.
    Conflict,
}

/// Finds where two histories of one server, oldest first, go together.
///
/// The target may lack versions that the source has, but what it has the source must know, except for the oldest ones,
/// which storages collect: a history that does not begin with version 1 is silent about what was before.
pub fn plan(source: &[(Version, Mark)], target: &[(Version, Mark)]) -> Plan {
    if target.is_empty() {
        return Plan::From(0);
    }
    match within(target, source) {
        Some(last) if last + 1 == source.len() => Plan::Same,
        Some(last) => Plan::From(last + 1),
        None if within(source, target).is_some() => Plan::Ahead,
        None => Plan::Conflict,
    }
}

/// Where the last version of `part` is in `whole`, when every version of `part` is there, in order. Tombstones are all
/// alike and prove nothing by themselves.
fn within(part: &[(Version, Mark)], whole: &[(Version, Mark)]) -> Option<usize> {
    let silent_before = whole.first()?.0 > Version(1);
    let (mut last, mut proved, mut end) = (None, false, whole.len());
    for (_, mark) in part.iter().rev() {
        let found = whole[..end].iter().rposition(|(_, known)| known == mark && *known != Mark::Unreadable);
        match found {
            Some(place) => {
                last.get_or_insert(place);
                proved |= matches!(mark, Mark::Record(_));
                end = place;
            }
            None if silent_before && last.is_some() => break,
            None => return None,
        }
    }
    last.filter(|_| proved)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A letter is a record, `-` a tombstone, `?` what cannot be read, `.` a version that was collected.
    fn marks(text: &str) -> Vec<(Version, Mark)> {
        let mark = |letter: char| match letter {
            '-' => Mark::Deleted,
            '?' => Mark::Unreadable,
            letter => Mark::Record(letter.to_string()),
        };
        let numbered = (1..).map(Version).zip(text.chars());
        numbered.filter(|(_, letter)| *letter != '.').map(|(version, letter)| (version, mark(letter))).collect()
    }

    #[rstest]
    #[case::nothing_there("abc", "", Plan::From(0))]
    #[case::all_there("abc", "abc", Plan::Same)]
    #[case::begun("abc", "a", Plan::From(1))]
    #[case::deleted_since("ab-", "ab", Plan::From(2))]
    #[case::saved_there_since("ab", "abc", Plan::Ahead)]
    #[case::deleted_there_since("ab", "ab-", Plan::Ahead)]
    #[case::the_source_was_collected("..cd", "abc", Plan::From(1))]
    #[case::the_target_was_collected("abcd", ".bc", Plan::From(3))]
    #[case::both_were_collected("..cd", ".bc", Plan::From(1))]
    #[case::collected_and_ahead("ab", ".bc", Plan::Ahead)]
    #[case::the_target_has_some("abcd", "ac", Plan::From(3))]
    #[case::the_target_has_some_and_the_last("abcd", "ad", Plan::Same)]
    #[case::the_source_lost_some("acd", "abcd", Plan::Ahead)]
    #[case::an_older_version_of_its_own("bcd", "abcd", Plan::Ahead)]
    #[case::the_same_content_again("abab", "ab", Plan::Same)]
    #[case::another("abc", "xyz", Plan::Conflict)]
    #[case::another_before("abc", "xb", Plan::Conflict)]
    #[case::both_went_on("abc", "abd", Plan::Conflict)]
    #[case::a_tombstone_proves_nothing(".-b", "xy-", Plan::Conflict)]
    #[case::two_versions_swapped("abc", "ba", Plan::Conflict)]
    #[case::damaged("a?", "a?", Plan::Conflict)]
    #[case::nothing_to_bring("", "a", Plan::Conflict)]
    fn histories_go_together_or_not(#[case] source: &str, #[case] target: &str, #[case] expected: Plan) {
        assert_eq!(plan(&marks(source), &marks(target)), expected);
    }
}
