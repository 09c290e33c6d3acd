"""An MCP server without dependencies: one JSON-RPC message a line, requests on stdin, answers on stdout.

Everything else that is printed belongs on stderr: print("...", file=sys.stderr).
"""

import json
import sys

TOOLS = []
FUNCTIONS = {}


def tool(description, properties, required=()):
    """Makes a function callable: `properties` is the JSON Schema of each of its arguments."""

    def register(function):
        schema = {"type": "object", "properties": properties, "required": list(required)}
        TOOLS.append({"name": function.__name__, "description": description, "inputSchema": schema})
        FUNCTIONS[function.__name__] = function
        return function

    return register


@tool("Says the message back.", {"message": {"type": "string"}}, required=["message"])
def echo(message):
    return message


def call(name, arguments):
    try:
        result = FUNCTIONS[name](**arguments)
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        return {"content": [{"type": "text", "text": text}], "isError": False}
    except Exception as error:
        return {"content": [{"type": "text", "text": f"{type(error).__name__}: {error}"}], "isError": True}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion", "2025-11-25"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "my-server", "version": "1.0.0"},
        }
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call" and params.get("name") in FUNCTIONS:
        return call(params["name"], params.get("arguments") or {})
    return None


for line in sys.stdin:
    if not line.strip():
        continue
    message = json.loads(line)
    if "method" not in message or "id" not in message:
        continue
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    result = answer(message["method"], message.get("params") or {})
    if result is None:
        known = message["method"] == "tools/call"
        reply["error"] = {"code": -32602 if known else -32601, "message": "unknown tool" if known else "unknown method"}
    else:
        reply["result"] = result
    print(json.dumps(reply, ensure_ascii=False), flush=True)
