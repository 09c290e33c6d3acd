const { createInterface } = require("node:readline");
const punycode = require("punycode/");

const encode = {
  name: "encode",
  description: "Encodes a host name",
  inputSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const results = {
    initialize: () => ({
      protocolVersion: params.protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: "hosts", version: "1" },
    }),
    "tools/list": () => ({ tools: [encode] }),
    "tools/call": () => {
      const text = `${punycode.toASCII(params.arguments.name)} by user ${process.getuid()}`;
      return { content: [{ type: "text", text }] };
    },
  };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, result: results[method]() }));
});
