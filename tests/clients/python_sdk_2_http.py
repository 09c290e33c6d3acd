"""The official Python SDK, 2.x, over HTTP: `CODE_FILE URL TOKEN`. PROTOCOL is `legacy` (2025-11-25) or a version without a
handshake."""

import os
from contextlib import asynccontextmanager

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import workflow


@asynccontextmanager
async def connect(url, arguments):
    headers = {"Authorization": f"Bearer {arguments[0]}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=os.environ["PROTOCOL"], read_timeout_seconds=60) as client:
            yield workflow.of_sdk_2(client)


workflow.run(connect)
