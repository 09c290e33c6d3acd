// The inspector's two command lines: `mcpdo`, which keeps a connection between commands, runs the workflow;
// `mcp-inspector --cli` lists the tools and checks that their schemas are portable.
const { execFileSync } = require("node:child_process");
const { mkdtempSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { dirname, join } = require("node:path");
const { run, text } = require("./workflow.cjs");

const programs = join(process.env.NODE_PATH, ".bin");
const node = join(process.env.NODE_PATH, "node/bin/node");
const env = {
  ...process.env,
  PATH: `${dirname(node)}:${process.env.PATH}`,
  MCP_INSPECTOR_DAEMON_DIR: mkdtempSync(join(tmpdir(), "inspector-")),
  MCP_INSPECTOR_SECRET_STORE: "memory",
};
const inspect = (program, ...args) => {
  try {
    return execFileSync(node, [join(programs, program), ...args], { env, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(`${program} ${args.join(" ")}\n${error.stdout}\n${error.stderr}`);
  }
};
const mcpdo = (...args) => JSON.parse(inspect("mcpdo", "--format", "json", "--connection", "main", ...args));
const variables = Object.entries(process.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);

run(async (command, args) => {
  const listed = inspect("mcp-inspector", "--cli", command, ...args, ...variables, "--method", "tools/list", "--strict");
  inspect("mcpdo", "connect", "--conn", "main", ...variables, "--era", process.env.PROTOCOL, "--", command, ...args);
  return {
    names: async () => JSON.parse(listed).tools.map((tool) => tool.name),
    call: async (name, args) => text(mcpdo("tools/call", name, JSON.stringify(args))),
    close: async () => {
      inspect("mcpdo", "disconnect", "main");
      inspect("mcpdo", "daemon", "stop");
    },
  };
});
