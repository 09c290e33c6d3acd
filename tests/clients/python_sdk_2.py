"""The official Python SDK, 2.x. PROTOCOL is `legacy` (2025-11-25), `auto` or a version without a handshake."""

import os
from contextlib import asynccontextmanager

from mcp import Client, StdioServerParameters

import workflow


@asynccontextmanager
async def connect(command, arguments):
    parameters = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(parameters, mode=os.environ["PROTOCOL"], read_timeout_seconds=60) as client:
        yield workflow.of_sdk_2(client)


workflow.run(connect)
