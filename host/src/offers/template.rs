//! Which URIs a template of resources stands for.

/// How many characters of `uri` the template says itself; none when the URI is not one of its own.
///
/// Every expression of RFC 6570 stands for one or more characters here: whether the server has such a resource is its own
/// to say.
pub(super) fn fit(template: &str, uri: &str) -> Option<usize> {
    let (first, expressions) = match template.split_once('{') {
        Some((first, expressions)) => (first, expressions.split('{')),
        None => return (template == uri).then_some(template.len()),
    };
    let behind: Vec<&str> = expressions.map(|part| Some(part.split_once('}')?.1)).collect::<Option<_>>()?;
    let (last, between) = behind.split_last()?;
    let mut left = uri.strip_prefix(first)?.strip_suffix(last)?;
    for literal in between {
        let expression = left.chars().next()?.len_utf8();
        let at = left[expression..].find(literal)? + expression;
        left = &left[at + literal.len()..];
    }
    (!left.is_empty()).then(|| first.len() + behind.iter().map(|literal| literal.len()).sum::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_knows_its_own() {
        for (template, uri, own) in [
            ("demo://text/{id}", "demo://text/1", Some(12)),
            ("demo://text/{id}", "demo://text/", None),
            ("demo://text/{id}", "demo://blob/1", None),
            ("file:///{+path}", "file:///a/b/c.txt", Some(8)),
            ("db://{table}/rows/{id}", "db://people/rows/7", Some(11)),
            ("db://{table}/rows/{id}", "db://people/columns/7", None),
            ("db://{table}/rows", "db://people/rows", Some(10)),
            ("db://{table}/rows", "db://people/rows/7", None),
            ("db://{table}/rows", "db://rows/rows", Some(10)),
            ("a://{x}{y}", "a://bc", Some(4)),
            ("a://b", "a://b", Some(5)),
            ("a://b", "a://bc", None),
            ("a://{broken", "a://b", None),
            ("ä://{x}", "ä://é", Some(5)),
        ] {
            assert_eq!(fit(template, uri), own, "{template} {uri}");
        }
    }
}
