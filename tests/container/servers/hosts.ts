import { createInterface } from "node:readline";
import punycode from "punycode/punycode.js";

type Params = { protocolVersion?: string; arguments?: { name: string } };

enum Method {
  Initialize = "initialize",
  List = "tools/list",
  Call = "tools/call",
}

const encode = {
  name: "encode",
  description: "Encodes a host name",
  inputSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
};

function answer(method: Method, params: Params): object {
  switch (method) {
    case Method.Initialize:
      return {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: "hosts", version: "1" },
      };
    case Method.List:
      return { tools: [encode] };
    case Method.Call: {
      const text = `${punycode.toASCII(params.arguments!.name)} by user ${process.getuid!()}`;
      return { content: [{ type: "text", text }] };
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line) as { id?: number; method: Method; params: Params };
  if (id === undefined) continue;
  console.log(JSON.stringify({ jsonrpc: "2.0", id, result: answer(method, params) }));
}
