// The official TypeScript SDK, 2.x, over HTTP: `CODE_FILE URL TOKEN`. PROTOCOL is `legacy` (2025-11-25) or a version without
// a handshake.
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { run, text } = require("./workflow.cjs");

const { PROTOCOL } = process.env;
const mode = /^\d/.test(PROTOCOL) ? { pin: PROTOCOL } : PROTOCOL;

run(async (url, [token]) => {
  const client = new Client({ name: "typescript-sdk-2", version: "1" }, { versionNegotiation: { mode } });
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return {
    names: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args) => text(await client.callTool({ name, arguments: args })),
    close: () => client.close(),
  };
});
