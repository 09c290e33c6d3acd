"""An MCP client on the standard streams of a container, strict about its standard output."""

import json
import threading


class Client:
    """Speaks to the process of a container; anything on its standard output that is not JSON-RPC is a failure."""

    def __init__(self, container):
        self.process = container.process
        self.last_id = 0
        self.request(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "container-test", "version": "1"},
            },
        )
        self.send({"method": "notifications/initialized"})

    def send(self, message: dict) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        self.process.stdin.flush()

    def request(self, method: str, params: dict, timeout: float = 120) -> dict:
        """The result of a request; notifications before it are passed over."""
        self.last_id += 1
        self.send({"id": self.last_id, "method": method, "params": params})
        watchdog = threading.Timer(timeout, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                message = json.loads(line)
                if message.get("id") == self.last_id and "method" not in message:
                    if "error" in message:
                        raise AssertionError(f"{method}: {message['error']}")
                    return message["result"]
        finally:
            watchdog.cancel()
        raise AssertionError(f"{method}: the container went away")

    def call(self, tool: str, **arguments) -> str:
        """The text of a tool's result, which must not be an error."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        text = "\n".join(part.get("text", "") for part in result["content"])
        if result.get("isError"):
            raise AssertionError(f"{tool}: {text}")
        return text

    def close(self) -> bytes:
        """Ends the conversation, and returns what else was said."""
        self.process.stdin.close()
        return self.process.stdout.read()
