"""The guide's workflow across containers that share nothing but the volume."""

import json
import re
import time
import unittest

from client import Client
from engine import Volume, start

PACKAGE = "idna"
TEMPLATE = '''
import json, os, sys
IMPORT

TOOL = {"name": "encode", "description": "Encodes a host name",
        "inputSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    match message["method"]:
        case "initialize":
            result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "hosts", "version": "1"}}
        case "tools/list":
            result = {"tools": [TOOL]}
        case "tools/call":
            name = message["params"]["arguments"]["name"]
            result = {"content": [{"type": "text", "text": f"{ENCODED} by user {os.getuid()}"}]}
        case _:
            result = {}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
'''
SERVER = TEMPLATE.replace("IMPORT", f"import {PACKAGE}").replace("ENCODED", "idna.encode(name).decode()")
OLD_SERVER = TEMPLATE.replace("IMPORT", "").replace("ENCODED", "name.encode('idna').decode()")
ANSWER = "xn--bcher-kva.example by user"
SAVED_LINE = re.compile(
    r"^📄 Hosts \(ID: (server-[0-9a-f]+), Language: python, Saved: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\)$", re.M
)


def encode(client: Client, server: str) -> str:
    return client.call("execute-tool", serverId=server, toolName="encode", args={"name": "bücher.example"})


def create_and_save(client: Client) -> str:
    """Creates the server, waits for its dependency, saves it."""
    created = client.call(
        "create-server-from-template", language="python", code=SERVER, dependencies={PACKAGE: ">=3"}, name="Hosts"
    )
    server = json.JSONDecoder().raw_decode(created)[0]["serverId"]
    for _ in range(60):
        if "building" not in client.call("list-servers"):
            break
        time.sleep(1)
    assert encode(client, server).startswith(ANSWER)
    saved = client.call("save-server", serverId=server, name="Hosts")
    assert saved.startswith(f'✅ Server {server} saved as "Hosts"'), saved
    return server


def restore(client: Client) -> tuple[str, str]:
    """Loads what is saved: the saved id and what the loaded server answers."""
    listed = client.call("list-saved-servers")
    found = SAVED_LINE.search(listed)
    assert found, listed
    loaded = client.call("load-saved-server", savedServerId=found[1])
    server = re.match(r"✅ Saved server loaded as new server: (server-\S+)", loaded)[1]
    assert server != found[1]
    return found[1], encode(client, server)


class Guide(unittest.TestCase):
    def test_a_saved_server_comes_back_in_a_new_container_without_network(self):
        with Volume() as volume:
            with start(volume.name) as container:
                client = Client(container)
                created = create_and_save(client)
                self.assertEqual(client.close(), b"")
                self.assertEqual(container.wait(), 0)
            record = json.loads(volume.shell("cat /app/data/saved_servers.json"))[created]
            self.assertEqual((record["name"], record["language"]), ("Hosts", "python"))

            with start(volume.name, offline=True) as container:
                saved, answer = restore(Client(container))
                self.assertEqual((saved, answer), (created, f"{ANSWER} 1000"))
                self.assertEqual(container.stop(), 0)

            with start(volume.name, offline=True) as container:
                self.assertEqual(restore(Client(container))[0], created)

    def test_a_volume_of_the_old_system_is_taken_over(self):
        record = {
            "name": "Hosts",
            "code": OLD_SERVER,
            "language": "python",
            "savedAt": "2024-01-15T10:30:00.000Z",
            "serverId": "server-abc123",
        }
        with Volume() as volume:
            volume.shell(
                f"cat >/app/data/saved_servers.json <<'END'\n{json.dumps({'server-abc123': record}, indent=2)}\nEND\n"
                "chown -R 0:0 /app/data; chmod 755 /app/data; chmod 644 /app/data/saved_servers.json"
            )
            with start(volume.name, offline=True) as container:
                client = Client(container)
                self.assertEqual(restore(client), ("server-abc123", f"{ANSWER} 1000"))
                client.close()
                self.assertEqual(container.wait(), 0)

    def test_another_user_can_be_given(self):
        with Volume() as volume:
            volume.shell("chown -R 4321:4321 /app/data")
            with start(volume.name, user="4321:4321") as container:
                client = Client(container)
                create_and_save(client)
                self.assertEqual(restore(client)[1], f"{ANSWER} 4321")
                client.close()
                self.assertEqual(container.wait(), 0)

    def test_orphans_are_reaped_and_the_stop_signal_is_heeded(self):
        with Volume() as volume, start(volume.name) as container:
            client = Client(container)
            container.inside("(sleep 0.1 &) && sleep 1")
            orphans = container.inside("grep -l '^State:.*Z' /proc/[0-9]*/status || :")
            self.assertEqual(orphans, "")
            self.assertIn("tools", client.request("tools/list", {}))
            self.assertEqual(container.stop(), 0)
            self.assertEqual(client.process.stdout.read(), b"")


if __name__ == "__main__":
    unittest.main()
