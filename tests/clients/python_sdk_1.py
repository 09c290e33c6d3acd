"""The official Python SDK, 1.x."""

import os
from contextlib import asynccontextmanager

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import workflow


@asynccontextmanager
async def connect(command, arguments):
    parameters = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()

        async def names():
            return [tool.name for tool in (await session.list_tools()).tools]

        async def call(tool, arguments):
            result = await session.call_tool(tool, arguments)
            assert not result.isError, result
            return "\n".join(part.text for part in result.content)

        yield names, call


workflow.run(connect)
