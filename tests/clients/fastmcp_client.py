"""fastmcp's client."""

import os
from contextlib import asynccontextmanager

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

import workflow


@asynccontextmanager
async def connect(command, arguments):
    transport = StdioTransport(command=command, args=arguments, env=dict(os.environ), keep_alive=False)
    async with Client(transport, timeout=60) as client:

        async def names():
            return [tool.name for tool in await client.list_tools()]

        async def call(tool, arguments):
            result = await client.call_tool(tool, arguments)
            return "\n".join(part.text for part in result.content)

        yield names, call


workflow.run(connect)
