// The official TypeScript SDK, 2.x. PROTOCOL is `legacy` (2025-11-25), `auto` or a version without a handshake.
const { Client } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");
const { run, text } = require("./workflow.cjs");

const { PROTOCOL } = process.env;
const mode = /^\d/.test(PROTOCOL) ? { pin: PROTOCOL } : PROTOCOL;

run(async (command, args) => {
  const client = new Client({ name: "typescript-sdk-2", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(new StdioClientTransport({ command, args, env: process.env }));
  return {
    names: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args) => text(await client.callTool({ name, arguments: args })),
    close: () => client.close(),
  };
});
