"""The official Python SDK, 2.x, with all that passes through beside results: `ASKING OFFERING COMMAND ARGUMENT...`, the
first two being files with the code of servers. PROTOCOL as in python_sdk_2.py."""

import asyncio
import json
import os
import sys

import mcp_types as types
from mcp import Client, StdioServerParameters

asking, offering, command, *arguments = sys.argv[1:]
mode = os.environ["PROTOCOL"]
logged, told = [], asyncio.Queue()


async def elicit(context, params):
    assert params.message == "Your name?", params
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def sample(context, params):
    content = types.TextContent(type="text", text=f"at most {params.max_tokens}")
    return types.CreateMessageResult(role="assistant", content=content, model="none")


async def roots(context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///home/ada", name="home")])


async def log(params):
    logged.append(params.level)


async def message(message):
    if isinstance(message, types.ResourceUpdatedNotification):
        await told.put(message.params.uri)


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
REQUESTS = [
    {"method": "elicitation/create", "params": {"message": "Your name?", "requestedSchema": SCHEMA}},
    {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 5}},
    {"method": "roots/list"},
]


async def text(client, tool, arguments):
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return "\n".join(part.text for part in result.content)


async def main():
    parameters = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(
        parameters,
        mode=mode,
        read_timeout_seconds=60,
        elicitation_callback=elicit,
        sampling_callback=sample,
        list_roots_callback=roots,
        logging_callback=log,
        log_level="info",
        message_handler=message,
    ) as client:

        async def made(file, name):
            with open(file) as code:
                created = await text(client, "create-server-from-template", {"language": "python", "code": code.read()})
            server = json.loads(created.splitlines()[0])["serverId"]
            await text(client, "save-server", {"serverId": server, "name": name})
            return server

        server = await made(asking, "asking")
        answers = json.loads(await text(client, "asking__ask", {"requests": REQUESTS}))
        if isinstance(answers, dict):
            answers = list(answers["inputResponses"].values())
        assert answers[0] == {"action": "accept", "content": {"name": "Ada"}}, answers
        assert answers[1]["content"]["text"] == "at most 5", answers
        assert answers[2]["roots"][0]["uri"] == "file:///home/ada", answers
        await text(client, "execute-tool", {"serverId": server, "toolName": "log", "args": {}})
        assert logged[-2:] == ["info", "error"], logged

        await made(offering, "one")
        while "one__greet" not in [prompt.name for prompt in (await client.list_prompts()).prompts]:
            await asyncio.sleep(0.05)
        got = await client.get_prompt("one__greet", {"who": "Ada"})
        assert got.messages[0].content.text.startswith("one: greet Ada"), got
        assert "note://one" in [str(one.uri) for one in (await client.list_resources()).resources]
        templates = (await client.list_resource_templates()).resource_templates
        assert "note://one/{id}" in [one.uri_template for one in templates]
        assert (await client.read_resource("note://one/7")).contents[0].text == "one"
        reference = types.PromptReference(type="ref/prompt", name="one__greet")
        completed = await client.complete(reference, {"name": "who", "value": "A"})
        assert completed.completion.values == ["one greet A"], completed

        async def watched(tell):
            while "note://one" not in await text(client, "one__watched", {}):
                await asyncio.sleep(0.05)
            await text(client, "one__touch", {"uri": "note://one"})
            assert await asyncio.wait_for(tell(), 30) == "note://one"

        if client.protocol_version < "2026":
            await client.subscribe_resource("note://one")
            await watched(told.get)
        else:
            async with client.listen(resource_subscriptions=["note://one"]) as subscription:
                events = aiter(subscription)

                async def tell():
                    return (await anext(events)).uri

                await watched(tell)
        print(client.protocol_version)


asyncio.run(main())
