// Calls every tool of a server (the reference server, or the one of the conformance suite), reads its resources and gets its
// prompts with the official TypeScript SDK 2.x: directly, and through the host. What either wrote is kept in FOLDER/direct and
// FOLDER/host; the ids of the calls are reported.
// PROTOCOL is what is spoken with the host, DIRECT what with the server itself, as in typescript_sdk_2.cjs.
const fs = require("node:fs");
const path = require("node:path");
const { Client } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const [server, folder, ...host] = process.argv.slice(2);
const { PROTOCOL, DIRECT } = process.env;
const pinned = (protocol) => (/^\d/.test(protocol) ? { pin: protocol } : protocol);

const SERVERS = {
  ".mjs": {
    name: "everything",
    language: "javascript",
    program: process.execPath,
    template: "demo://resource/dynamic/text/7",
    completed: { prompt: "completable-prompt", argument: { name: "department", value: "E" } },
  },
  ".py": {
    // short enough for every prompt of it to be called <name>__<prompt>
    name: "suite",
    language: "python",
    program: "python3",
    template: "test://template/7/data",
    completed: { prompt: "test_prompt_with_arguments", argument: { name: "arg1", value: "pa" } },
  },
};
const { name: NAME, language, program, template, completed } = SERVERS[path.extname(server)];

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
  json_schema_2020_12_tool: { name: "Ada", contactMethod: "phone", phone: "1", address: { street: "\u2028" } },
  test_elicitation: { message: "Who is it?" },
  test_sampling: { prompt: "Say hi" },
  "trigger-url-elicitation": { url: "https://example.com/", message: "Look", elicitationId: "one" },
};

// what the protocol allows a server of the older era alone, and the SDK does not answer to another
const ASKS_BY_ITSELF = /^test_(sampling|elicitation)/;

const PROMPT = { city: "Paris", state: "Texas", department: "Engineering", name: "Alice", resourceType: "Text" };

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
    if (message.id !== undefined && message.method) ids.push(message.id);
    return send(message, options);
  };
  await client.connect(transport);
  return { client, lastId: () => ids.at(-1) };
}

/** Calls a tool; the id of the call in its last round. */
function called(side, name, args) {
  return asked(side, (client) => client.callTool({ name, arguments: args }));
}

async function asked({ client, lastId }, ask) {
  try {
    return { result: await ask(client), id: lastId() };
  } catch (error) {
    return { error: error.message, id: lastId() };
  }
}

/** What is asked of the server itself, and of the host for it. */
async function requests(client) {
  const all = [];
  for (const { name } of (await client.listTools()).tools) {
    if (DIRECT !== "legacy" && ASKS_BY_ITSELF.test(name)) continue;
    all.push([`tool ${name}`, (c) => c.callTool({ name, arguments: ARGUMENTS[name] ?? {} }), null]);
  }
  for (const { uri } of (await client.listResources()).resources) {
    all.push([`resource ${uri}`, (c) => c.readResource({ uri })]);
  }
  all.push(["resource of a template", (c) => c.readResource({ uri: template })]);
  for (const prompt of (await client.listPrompts()).prompts) {
    const args = Object.fromEntries((prompt.arguments ?? []).map(({ name }) => [name, PROMPT[name] ?? "1"]));
    const get = (prefix) => (c) => c.getPrompt({ name: prefix + prompt.name, arguments: args });
    all.push([`prompt ${prompt.name}`, get(""), get(`${NAME}__`)]);
  }
  const { prompt, argument } = completed;
  const complete = (name) => (c) => c.complete({ ref: { type: "ref/prompt", name }, argument });
  all.push(["completion", complete(prompt), complete(`${NAME}__${prompt}`)]);
  return all;
}

async function main() {
  const direct = await connect("direct", [program, server], pinned(DIRECT));
  const through = await connect("host", host, pinned(PROTOCOL));
  const code = fs.readFileSync(server, "utf8");
  const created = await called(through, "create-server-from-template", { language, code });
  const serverId = created.result.structuredContent.serverId;
  await called(through, "save-server", { serverId, name: NAME });
  // the server asks for roots by itself, half a second after the start
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const report = [];
  for (const [name, ask, askHost] of await requests(direct.client)) {
    const one = await asked(direct, ask);
    const toolName = name.replace("tool ", "");
    const other = name.startsWith("tool ")
      ? await called(through, "execute-tool", { serverId, toolName, args: ARGUMENTS[toolName] ?? {} })
      : await asked(through, askHost ?? ask);
    report.push({ name, direct: one.id, host: other.id, refused: one.error ?? null, told: other.result ?? other.error });
  }
  await direct.client.close();
  await through.client.close();
  console.log(JSON.stringify(report));
}

main();
