"""The guide's workflow, for every Python client: two sessions with a restart between them.

A client gives an asynchronous context manager that connects and yields two functions: `names()` lists the tools, and
`call(tool, arguments)` gives the text of a result. The report goes to stdout as JSON.
"""

import asyncio
import json
import re
import sys


def run(connect):
    """Runs `connect(command, arguments)` through the workflow: `DRIVER CODE_FILE COMMAND ARGUMENT…`."""
    code_file, command, *arguments = sys.argv[1:]
    with open(code_file) as file:
        code = file.read()
    json.dump(asyncio.run(workflow(lambda: connect(command, arguments), code)), sys.stdout)


def of_sdk_2(client):
    """`names` and `call` of a client of the official SDK 2.x."""

    async def names():
        return [tool.name for tool in (await client.list_tools()).tools]

    async def call(tool, arguments):
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result
        return "\n".join(part.text for part in result.content)

    return names, call


async def workflow(connect, code):
    report = {}
    async with connect() as (names, call):
        report["tools"] = await names()
        report["created"] = await call("create-server-from-template", {"language": "python", "code": code})
        server = json.loads(report["created"].splitlines()[0])["serverId"]
        report["running"] = await call("list-servers", {})
        hello = {"serverId": server, "toolName": "echo", "args": {"message": "Hello"}}
        report["echoed"] = await call("execute-tool", hello)
        report["saved"] = await call("save-server", {"serverId": server, "name": "Mon serveur de calcul v1.0"})
    async with connect() as (names, call):
        report["listed"] = await call("list-saved-servers", {})
        report["loaded"] = await call("load-saved-server", {"savedServerId": server})
        loaded = re.search(r"server-[0-9a-f]{12}", report["loaded"].splitlines()[0]).group()
        hello = {"serverId": loaded, "toolName": "echo", "args": {"message": "Hello again"}}
        report["echoed_again"] = await call("execute-tool", hello)
        report["deleted"] = await call("delete-saved-server", {"savedServerId": server})
        report["emptied"] = await call("list-saved-servers", {})
    return report | {"server": server, "loaded_server": loaded}
