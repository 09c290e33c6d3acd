//! Which version of the official `mcp` package a source was written for.
//!
//! Version 2 has no `mcp.server.fastmcp` and no decorators on the low-level server, and models go on writing both.

use perennial_sdk::Result;

use crate::{requirement::Requirements, source};

/// Modules that version 2 no longer has, or only to say so.
const GONE_MODULES: &[&str] = &[
    "mcp.server.fastmcp",
    "mcp.server.websocket",
    "mcp.client.websocket",
    "mcp.shared.progress",
    "mcp.shared.session",
    "mcp.shared.version",
];

/// Decorators of the low-level server that version 2 no longer has.
const GONE_DECORATORS: &[&str] = &[
    ".list_tools()",
    ".call_tool(",
    ".list_resources()",
    ".read_resource()",
    ".list_prompts()",
    ".get_prompt()",
    ".list_resource_templates()",
];

/// Adds the SDK that the sources import and do not declare, and keeps version 1 for code that was written for it.
pub(crate) fn complete(requirements: &mut Requirements, sources: &[&str]) -> Result<()> {
    let lines: Vec<String> = sources.iter().flat_map(|source| source::code_lines(source)).collect();
    let imports = source::imports(&lines);
    let imported = |package: &str| imports.iter().any(|module| within(module, package));
    if imported("fastmcp") && !requirements.has("fastmcp") {
        requirements.add("fastmcp", None)?;
        requirements.notes.push("`fastmcp` was added to the dependencies, since the code imports it".into());
    }
    if !imported("mcp") {
        return Ok(());
    }
    let Some(what) = version_1_only(&imports, &lines) else {
        if !requirements.has("mcp") && !requirements.has("fastmcp") {
            requirements.add("mcp", None)?;
            requirements.notes.push("`mcp` was added to the dependencies, since the code imports it".into());
        }
        return Ok(());
    };
    let allows = |version| requirements.allows("mcp", version);
    if !allows([1, 999, 0]) {
        requirements.notes.push(format!("the code uses {what}, which the version of `mcp` asked for may not have"));
    } else if allows([2, 0, 0]) || allows([2, 999, 0]) || allows([99, 0, 0]) {
        requirements.add("mcp", Some("<2"))?;
        requirements.notes.push(format!("`mcp<2` was added to the dependencies, since version 2 has no {what}"));
    }
    Ok(())
}

fn version_1_only(imports: &[String], lines: &[String]) -> Option<String> {
    let module = GONE_MODULES.iter().find(|gone| imports.iter().any(|module| within(module, gone)));
    let decorator = || {
        let mut decorators = lines.iter().filter(|line| line.trim_start().starts_with('@'));
        decorators.find_map(|line| GONE_DECORATORS.iter().find(|gone| line.contains(**gone)))
    };
    let module = module.map(|module| format!("`{module}`"));
    module.or_else(|| decorator().map(|name| format!("`@server{}`", name.trim_end_matches(['(', ')']))))
}

fn within(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use perennial_sdk::Dependencies;
    use rstest::rstest;

    use super::*;

    const FAST: &str = "from mcp.server.fastmcp import FastMCP\n";
    const LOW_LEVEL: &str = "import mcp\n@app.list_tools()\nasync def tools(): ...\n";
    const CURRENT: &str = "from mcp.server import MCPServer\n";

    #[rstest]
    #[case(FAST, &[], "mcp<2\n", 1)]
    #[case(FAST, &["mcp"], "mcp\nmcp<2\n", 1)]
    #[case(FAST, &["mcp>=1.2"], "mcp<2\nmcp>=1.2\n", 1)]
    #[case(FAST, &["mcp[cli]>=1.2"], "mcp<2\nmcp[cli]>=1.2\n", 1)]
    #[case(FAST, &["mcp<2"], "mcp<2\n", 0)]
    #[case(FAST, &["mcp==1.9.4"], "mcp==1.9.4\n", 1)]
    #[case(FAST, &["mcp>=2"], "mcp>=2\n", 1)]
    #[case(LOW_LEVEL, &[], "mcp<2\n", 1)]
    #[case(CURRENT, &[], "mcp\n", 1)]
    #[case(CURRENT, &["mcp>=2"], "mcp>=2\n", 0)]
    #[case("from fastmcp import FastMCP", &[], "fastmcp\n", 1)]
    #[case("from fastmcp import FastMCP", &["fastmcp<3"], "fastmcp<3\n", 0)]
    #[case("import mcp_tools, json", &[], "", 0)]
    fn completes(#[case] code: &str, #[case] given: &[&str], #[case] text: &str, #[case] notes: usize) {
        let given = Dependencies::List(given.iter().map(ToString::to_string).collect());
        let mut requirements = Requirements::parse(&given).unwrap();
        complete(&mut requirements, &[code]).unwrap();
        assert_eq!(requirements.to_text(), text);
        assert_eq!(requirements.notes.len(), notes, "{:?}", requirements.notes);
    }
}
