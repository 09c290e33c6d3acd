// An MCP server without dependencies: one JSON-RPC message a line, requests on stdin, answers on stdout.
// Everything else that is printed belongs on stderr: console.error("...").
import { createInterface } from "node:readline";

// `properties` is the JSON Schema of each argument.
const tools = {
  echo: {
    description: "Says the message back.",
    properties: { message: { type: "string" } },
    required: ["message"],
    run: ({ message }) => message,
  },
};

async function call(tool, args) {
  try {
    const result = await tool.run(args);
    const text = typeof result === "string" ? result : JSON.stringify(result);
    return { content: [{ type: "text", text }], isError: false };
  } catch (error) {
    return { content: [{ type: "text", text: String(error) }], isError: true };
  }
}

function listed([name, { description, properties, required = [] }]) {
  return { name, description, inputSchema: { type: "object", properties, required } };
}

async function answer(method, params) {
  switch (method) {
    case "initialize":
      return {
        protocolVersion: params.protocolVersion ?? "2025-11-25",
        capabilities: { tools: {} },
        serverInfo: { name: "my-server", version: "1.0.0" },
      };
    case "ping":
      return {};
    case "tools/list":
      return { tools: Object.entries(tools).map(listed) };
    case "tools/call":
      if (!Object.hasOwn(tools, params.name)) throw { code: -32602, message: "unknown tool" };
      return call(tools[params.name], params.arguments ?? {});
    default:
      throw { code: -32601, message: "unknown method" };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const { id, method, params } = JSON.parse(line);
  if (id === undefined || method === undefined) continue;
  answer(method, params ?? {}).then(
    (result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result })),
    (error) => console.log(JSON.stringify({ jsonrpc: "2.0", id, error })),
  );
}
