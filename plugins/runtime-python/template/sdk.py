"""An MCP server on the official SDK, version 2."""

from mcp.server import MCPServer

server = MCPServer("my-server")


@server.tool()
def echo(message: str) -> str:
    """Says the message back."""
    return message


if __name__ == "__main__":
    server.run()
