# Tells about the interpreter that runs it, as JSON; any Python from 2.7 on can run it, so that old ones are named
# by their version and not by a syntax error.
import json
import os
import sys
import sysconfig


def works(module):
    try:
        __import__(module)
        return True
    except ImportError:
        return False


base = getattr(sys, "_base_executable", None) or sys.executable
prefixes = [getattr(sys, name, sys.prefix) for name in ("base_prefix", "base_exec_prefix")]
roots = []
for prefix in prefixes + [os.path.realpath(p) for p in prefixes]:
    if prefix not in roots:
        roots.append(prefix)
real = os.path.realpath(base)
if not any(real.startswith(root + os.sep) for root in roots):
    roots.append(os.path.dirname(real))
print(
    json.dumps(
        {
            "version": "%d.%d.%d" % sys.version_info[:3],
            "path": real if os.path.basename(real).startswith("python") or os.name == "nt" else base,
            "roots": roots,
            "implementation": getattr(getattr(sys, "implementation", None), "name", "unknown"),
            "platform": sysconfig.get_platform(),
            "bits": 64 if sys.maxsize > 2**32 else 32,
            "venv": works("venv"),
            "ensurepip": works("ensurepip"),
            # A folder that changes when the system adds a part of the standard library that it ships apart.
            "watch": os.path.dirname(os.path.abspath(os.__file__)),
        }
    )
)
