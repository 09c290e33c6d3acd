"""Starts the image as `docker run -i --rm -v VOLUME:/app/data IMAGE` would: by an engine, or by hand without one."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

TOOL = os.environ["CONTAINER_TOOL"]
IMAGE = os.environ["IMAGE"]
RUN_OPTIONS = shlex.split(os.environ.get("RUN_OPTIONS", ""))
GRACE = 10  # seconds, as in `docker stop`


class Container:
    """One run of the image: `process` has its standard streams."""

    process: subprocess.Popen

    def stop(self) -> int:
        """Asks it to end as `docker stop` does, and tells its exit status; 137 means that it had to be killed."""
        raise NotImplementedError

    def inside(self, script: str) -> str:
        """Runs a shell script beside it, as `docker exec` does: as root, with the container's process 1 around."""
        raise NotImplementedError

    def wait(self) -> int:
        """Its exit status, after its standard input was closed."""
        return self.process.wait(timeout=GRACE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream and not stream.closed:
                stream.close()


class EngineContainer(Container):
    """Docker or Podman."""

    def __init__(self, volume: str, *arguments: str, user: str = "", offline: bool = False, entrypoint: str = "",
                 stderr=None):
        self.name = f"perennial-test-{uuid.uuid4().hex[:12]}"
        command = [TOOL, "run", "-i", "--rm", "--name", self.name, "-v", f"{volume}:/app/data", *RUN_OPTIONS]
        command += ["--user", user] if user else []
        command += ["--network", "none"] if offline else []
        command += ["--entrypoint", entrypoint] if entrypoint else []
        self.process = subprocess.Popen(
            [*command, IMAGE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )

    def stop(self) -> int:
        subprocess.run([TOOL, "stop", "--time", str(GRACE), self.name], check=True, stdout=subprocess.DEVNULL)
        return self.process.wait(timeout=GRACE)

    def inside(self, script: str) -> str:
        command = [TOOL, "exec", "--user", "0", self.name, "sh", "-c", script]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def __exit__(self, *exception):
        subprocess.run([TOOL, "rm", "--force", self.name], check=False, capture_output=True)
        super().__exit__(*exception)


class ChrootContainer(Container):
    """A root file system that buildah mounted, in new namespaces, with the capabilities that Docker leaves to root."""

    CAPABILITIES = "-all," + ",".join(
        f"+{name}"
        for name in (
            "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod "
            "audit_write setfcap"
        ).split()
    )
    # $1 root file system, $2 volume, $3 user or nothing, then `SOURCE:TARGET` pairs, `--`, and the command.
    SETUP = """
        set -e
        root=$1 volume=$2 user=$3; shift 3
        mount --bind "$volume" "$root/app/data"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        while [ "$1" != -- ]; do
          target="$root/${1#*:}"
          [ -d "${1%%:*}" ] && mkdir -p "$target" || { mkdir -p "${target%/*}"; [ -e "$target" ] || : >"$target"; }
          mount --bind "${1%%:*}" "$target"; shift
        done
        shift
        ip link set lo up 2>/dev/null || :
        exec setpriv --bounding-set="$capabilities" --inh-caps=-all \\
          chroot ${user:+--userspec="$user"} "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$@"
    """

    def __init__(self, volume: str, *arguments: str, user: str = "", offline: bool = False, entrypoint: str = "",
                 stderr=None):
        self.name = buildah("from", "--pull-never", IMAGE)
        root = buildah("mount", self.name)
        inspected = json.loads(buildah("inspect", self.name))["OCIv1"]["config"]
        self.stop_signal = signal.Signals[inspected["StopSignal"]]
        environment = dict(pair.split("=", 1) for pair in inspected["Env"])
        volumes = ["/etc/resolv.conf:/etc/resolv.conf"]
        options = iter(RUN_OPTIONS)
        for option in options:
            if option in ("--volume", "-v"):
                volumes.append(":".join(next(options).split(":")[:2]))
            elif option in ("--env", "-e"):
                environment.update([next(options).split("=", 1)])
            else:
                raise ValueError(f"without an engine RUN_OPTIONS takes --volume and --env only, not {option}")
        command = [entrypoint] if entrypoint else inspected["Entrypoint"]
        command += arguments or ([] if entrypoint else inspected["Cmd"])
        if user and ":" not in user:
            user += ":0"
        unshare = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        unshare += ["--net"] if offline else []
        self.process = subprocess.Popen(
            [*unshare, "sh", "-c", self.SETUP, "sh", root, volume, user, *volumes, "--", inspected["WorkingDir"],
             *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment | {"capabilities": self.CAPABILITIES},
        )

    @property
    def first(self) -> int:
        """The container's process 1 as it is called outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def stop(self) -> int:
        os.kill(self.first, self.stop_signal)
        return self.process.wait(timeout=GRACE)

    def inside(self, script: str) -> str:
        command = ["nsenter", "--target", str(self.first), "--all", "--root", "--wd", "sh", "-c", script]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def __exit__(self, *exception):
        super().__exit__(*exception)
        buildah("rm", self.name)


def buildah(*arguments: str) -> str:
    """What a buildah command printed."""
    return subprocess.run(["buildah", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Volume:
    """An empty volume that nobody has mounted yet: a folder without an engine, a named volume with one."""

    def __init__(self):
        self.name = tempfile.mkdtemp() if TOOL == "buildah" else f"perennial-test-{uuid.uuid4().hex[:12]}"
        # A new named volume takes over the owner of the folder in the image; a folder has to be told.
        if TOOL == "buildah":
            os.chown(self.name, 1000, 1000)

    def shell(self, script: str) -> str:
        """Runs a shell script as root in a container of its own, with the volume at /app/data."""
        with start(self.name, "-c", script, entrypoint="/bin/sh") as container:
            output, _ = container.process.communicate(timeout=60)
            if container.process.returncode != 0:
                raise AssertionError(f"{script!r} ended with {container.process.returncode}")
        return output.decode().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if TOOL == "buildah":
            shutil.rmtree(self.name)
        else:
            subprocess.run([TOOL, "volume", "rm", "--force", self.name], check=True, stdout=subprocess.DEVNULL)


def start(volume: str, *arguments: str, **options) -> Container:
    """Starts the image; without arguments it serves MCP."""
    return (ChrootContainer if TOOL == "buildah" else EngineContainer)(volume, *arguments, **options)
