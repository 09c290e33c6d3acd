use std::collections::BTreeMap;

/// The sections of a file of `~/.aws`, by their whole head: `default`, `profile work`, `sso-session team`.
pub(super) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Reads what the AWS tools write. Settings below a setting, which are indented, are not for us.
pub(super) fn parse(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut section = None;
    for line in text.lines() {
        let indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if indented || line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some((head, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let head = head.split_whitespace().collect::<Vec<_>>().join(" ");
            section = Some(head.clone());
            sections.entry(head).or_default();
        } else if let (Some(section), Some((key, value))) = (&section, line.split_once('=')) {
            let value = value.split(" #").next().unwrap_or_default().trim();
            let settings = sections.entry(section.clone()).or_default();
            settings.insert(key.trim().to_lowercase(), value.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_aws_tools_write_is_read() {
        let text = "# c\n[default]\nAWS_access_key_id = A\n\n[ profile   work ] # c\nregion=eu-west-1 # c\n\
                    s3 =\n  region = no\nsession_token = a=b==\n[sso-session x]\n";
        let sections = parse(text);
        assert_eq!(sections["default"]["aws_access_key_id"], "A");
        assert_eq!(sections["profile work"]["region"], "eu-west-1");
        assert_eq!(sections["profile work"]["session_token"], "a=b==");
        assert!(sections["sso-session x"].is_empty());
    }
}
