// The official TypeScript SDK, 1.x.
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { run, text } = require("./workflow.cjs");

run(async (command, args) => {
  const client = new Client({ name: "typescript-sdk-1", version: "1" });
  await client.connect(new StdioClientTransport({ command, args, env: process.env }));
  return {
    names: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args) => text(await client.callTool({ name, arguments: args })),
    close: () => client.close(),
  };
});
