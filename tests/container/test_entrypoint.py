"""Whose volume it is, who the process becomes, and what it says on standard output: nothing."""

import subprocess
import tempfile
import unittest

from engine import Volume, start

OWNERS = "stat -c '%n %u:%g' /app/data /app/data/* | sort"


class Entrypoint(unittest.TestCase):
    def run_as(self, volume: Volume, **options) -> tuple[str, str, int]:
        """Standard output, standard error and status of `perennial --version`."""
        with tempfile.TemporaryFile() as stderr, start(volume.name, "--version", stderr=stderr, **options) as container:
            output, _ = container.process.communicate(timeout=60)
            stderr.seek(0)
            return output.decode(), stderr.read().decode(), container.process.returncode

    def test_a_volume_that_root_left_changes_hands(self):
        with Volume() as volume:
            volume.shell("echo {} >/app/data/saved_servers.json; chown -R 0:0 /app/data; chmod 600 /app/data/*")
            output, error, status = self.run_as(volume)
            self.assertEqual((error, status), ("", 0))
            self.assertLessEqual(len(output.splitlines()), 1)
            self.assertEqual(volume.shell(OWNERS), "/app/data 1000:1000\n/app/data/saved_servers.json 1000:1000")

    def test_a_volume_of_another_user_stays_theirs(self):
        with Volume() as volume:
            volume.shell("touch /app/data/ours /app/data/left; chown -R 4321:4321 /app/data; chown 0:0 /app/data/left")
            _, error, status = self.run_as(volume)
            self.assertEqual((error, status), ("", 0))
            self.assertEqual(
                volume.shell(OWNERS), "/app/data 4321:4321\n/app/data/left 4321:4321\n/app/data/ours 4321:4321"
            )

    def test_a_link_in_the_volume_gives_nothing_away(self):
        with Volume() as volume:
            volume.shell("mkdir /app/data/d; ln -s /etc/shadow /app/data/d/file; ln -s /etc /app/data/d/folder")
            script = "chown -Rh 0:0 /app/data; /usr/local/bin/perennial-entrypoint --version >/dev/null; "
            script += "stat -c %u /etc /etc/shadow /etc/passwd; stat -c %u /app/data/d/file /app/data/d/folder"
            self.assertEqual(volume.shell(script).split(), ["0", "0", "0", "1000", "1000"])

    def test_a_user_given_at_start_changes_nothing_and_is_told(self):
        with Volume() as volume:
            volume.shell("chown 0:0 /app/data; chmod 755 /app/data")
            output, error, _ = self.run_as(volume, user="4321:4321")
            self.assertIn("/app/data is not writable for user 4321", error)
            self.assertNotIn("not writable", output)
            self.assertEqual(volume.shell("stat -c %u:%g /app/data"), "0:0")


if __name__ == "__main__":
    unittest.main()
