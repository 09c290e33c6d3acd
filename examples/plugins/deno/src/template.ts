// An MCP server: one JSON-RPC message a line, requests on stdin, answers on stdout. Print everything else with console.error.
import { createInterface } from "node:readline";
import process from "node:process";

const tools = {
  echo: {
    description: "Says the message back.",
    inputSchema: { type: "object", properties: { message: { type: "string" } }, required: ["message"] },
    run: ({ message }: Record<string, unknown>) => String(message),
  },
};

function answer(method: string, params: Record<string, any>): unknown {
  switch (method) {
    case "initialize":
      return {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: "my-server", version: "1.0.0" },
      };
    case "tools/list":
      return { tools: Object.entries(tools).map(([name, { run: _, ...tool }]) => ({ name, ...tool })) };
    case "tools/call":
      return { content: [{ type: "text", text: tools[params.name as keyof typeof tools].run(params.arguments ?? {}) }] };
    case "ping":
      return {};
  }
  throw new Error(`unknown method ${method}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue;
  try {
    console.log(JSON.stringify({ jsonrpc: "2.0", id, result: answer(method, params ?? {}) }));
  } catch (error) {
    console.log(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32603, message: String(error) } }));
  }
}
