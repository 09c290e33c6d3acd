"""The guide's workflow across containers that share nothing but the volume."""

import json
import os
import re
import time
import unittest
from pathlib import Path

from client import Client
from engine import Volume, start

SERVERS = Path(__file__).parent / "servers"
OLD_IDNA = "class idna:\n    encode = lambda name: name.encode('idna')\n"
LANGUAGES = {
    "python": ("hosts.py", {"idna": ">=3"}),
    "typescript": ("hosts.ts", {"punycode": "^2"}),
    "javascript": ("hosts.js", {"punycode": "^2"}),
    "rust": ("hosts.rs", {"punycode": "0.4", "serde_json": "1"}),
}
NEEDS = {"python": "python", "typescript": "node", "javascript": "node", "rust": "rust"}
CARRIED = (os.environ.get("LANGUAGES") or "python node rust").split()
MISSING = [language for language in LANGUAGES if NEEDS[language] not in CARRIED]
ANSWER = "xn--bcher-kva.example by user"
SAVED_LINE = re.compile(
    r"^📄 Hosts \(ID: (server-[0-9a-f]+), Language: (\w+), Saved: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\)$", re.M
)


def encode(client: Client, server: str) -> str:
    return client.call("execute-tool", serverId=server, toolName="encode", args={"name": "bücher.example"})


def create_and_save(client: Client, language: str = "python") -> str:
    """Creates the server, waits for its dependencies, saves it."""
    file, dependencies = LANGUAGES[language]
    created = client.call(
        "create-server-from-template",
        language=language,
        code=(SERVERS / file).read_text(),
        dependencies=dependencies,
        name="Hosts",
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
        for language in LANGUAGES.keys() - MISSING:
            with self.subTest(language), Volume() as volume:
                with start(volume.name) as container:
                    client = Client(container)
                    created = create_and_save(client, language)
                    self.assertEqual(client.close(), b"")
                    self.assertEqual(container.wait(), 0)
                record = json.loads(volume.shell("cat /app/data/saved_servers.json"))[created]
                self.assertEqual((record["name"], record["language"]), ("Hosts", language))

                with start(volume.name, offline=True) as container:
                    saved, answer = restore(Client(container))
                    self.assertEqual((saved, answer), (created, f"{ANSWER} 1000"))
                    self.assertEqual(container.stop(), 0)

                with start(volume.name, offline=True) as container:
                    self.assertEqual(restore(Client(container))[0], created)

    @unittest.skipUnless(MISSING, "the image carries every language")
    def test_a_language_that_the_image_does_not_carry_is_said_to_be_missing(self):
        with Volume() as volume, start(volume.name, offline=True) as container:
            client = Client(container)
            for language in MISSING:
                with self.subTest(language), self.assertRaisesRegex(AssertionError, "install|found"):
                    client.call("create-server-from-template", language=language)
            self.assertEqual(client.close(), b"")

    def test_a_volume_of_the_old_system_is_taken_over(self):
        record = {
            "name": "Hosts",
            "code": (SERVERS / "hosts.py").read_text().replace("import idna", OLD_IDNA),
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
