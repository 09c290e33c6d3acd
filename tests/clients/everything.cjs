// Calls every tool of a server with the official TypeScript SDK 2.x: directly, and through the host. What either wrote is
// kept in FOLDER/direct and FOLDER/host; the ids of the calls are reported.
// PROTOCOL is what is spoken with the host, as in typescript_sdk_2.cjs.
const fs = require("node:fs");
const path = require("node:path");
const { Client } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const [server, folder, ...host] = process.argv.slice(2);
const { PROTOCOL } = process.env;
const pinned = /^\d/.test(PROTOCOL) ? { pin: PROTOCOL } : PROTOCOL;

const ARGUMENTS = {
  echo: { message: "Grüße \u2028 😀" },
  "get-annotated-message": { messageType: "success", includeImage: true },
  "get-resource-links": { count: 3 },
  "get-resource-reference": { resourceType: "Blob", resourceId: 1 },
  "get-structured-content": { location: "New York" },
  "get-sum": { a: 0.1, b: 0.2 },
  "gzip-file-as-resource": { name: "a.gz", data: "data:text/plain,hello", outputType: "resource" },
  "simulate-research-query": { topic: "bytes" },
  "trigger-long-running-operation": { duration: 0.2, steps: 2 },
  "trigger-sampling-request": { prompt: "Say hi", maxTokens: 5 },
  "trigger-url-elicitation": { url: "https://example.com/", message: "Look", elicitationId: "one" },
};

async function connect(name, command, mode) {
  const capabilities = { elicitation: { form: {}, url: {} }, sampling: { tools: {} }, roots: {} };
  const client = new Client({ name, version: "1" }, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", async (request) =>
    request.params.mode === "url" ? { action: "accept" } : { action: "accept", content: { name: "Ada", check: true } },
  );
  client.setRequestHandler("sampling/createMessage", async () => ({
    role: "assistant",
    content: { type: "text", text: "hi" },
    model: "none",
  }));
  client.setRequestHandler("roots/list", async () => ({ roots: [{ uri: "file:///home/ada", name: "home" }] }));
  const args = [path.join(__dirname, "tee.cjs"), path.join(folder, name), ...command];
  const transport = new StdioClientTransport({ command: process.execPath, args, env: process.env });
  const ids = [];
  const send = transport.send.bind(transport);
  transport.send = (message, options) => {
    if (message.method === "tools/call") ids.push(message.id);
    return send(message, options);
  };
  await client.connect(transport);
  return { client, lastId: () => ids.at(-1) };
}

/** Calls a tool; the id of the call in its last round. */
async function called({ client, lastId }, name, args) {
  try {
    return { result: await client.callTool({ name, arguments: args }), id: lastId() };
  } catch (error) {
    return { error: error.message, id: lastId() };
  }
}

async function main() {
  const direct = await connect("direct", [process.execPath, server], "legacy");
  const through = await connect("host", host, pinned);
  const code = fs.readFileSync(server, "utf8");
  const created = await called(through, "create-server-from-template", { language: "javascript", code });
  const serverId = created.result.structuredContent.serverId;
  // the server asks for roots by itself, half a second after the start
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const report = [];
  for (const { name } of (await direct.client.listTools()).tools) {
    const args = ARGUMENTS[name] ?? {};
    const one = await called(direct, name, args);
    const other = await called(through, "execute-tool", { serverId, toolName: name, args });
    report.push({ name, direct: one.id, host: other.id, refused: one.error ?? null, told: other.result ?? other.error });
  }
  await direct.client.close();
  await through.client.close();
  console.log(JSON.stringify(report));
}

main();
