"""A server whose tool `attack` does harm for as long as it may: it is measured what its siblings notice."""

import json
import os
import subprocess
import sys
import threading


def spin():
    for _ in range(4):
        threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
    while True:
        pass


def forks():
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            pass


def memory():
    while True:
        held = [b"\1" * (1 << 20) for _ in range(64)]
        del held


def disk():
    while True:
        with open("filling", "wb") as file:
            for _ in range(16):
                file.write(b"\1" * (1 << 20))
                file.flush()
                os.fsync(file.fileno())


def output():
    while True:
        sys.stdout.write('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n' * 100)
        sys.stdout.flush()


def programs():
    while True:
        subprocess.run(["/bin/true"], check=False)


for line in sys.stdin:
    message = json.loads(line)
    params = message.get("params") or {}
    result = {}
    if message.get("method") == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}}
        result["serverInfo"] = {"name": "attacker", "version": "1"}
    elif message.get("method") == "tools/list":
        result = {"tools": [{"name": "attack", "inputSchema": {"type": "object"}}]}
    elif message.get("method") == "tools/call":
        globals()[params["arguments"]["what"]]()
    if "id" in message:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}) + "\n")
        sys.stdout.flush()
