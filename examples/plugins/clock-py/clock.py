"""A tool plugin out of process: what time is it, in which zone?"""
import datetime, json, sys, zoneinfo

TOOL = {
    "name": "clock",
    "description": "Tells the time in a zone such as Europe/Paris.",
    "inputSchema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}
CONFIG = {"format": "%H:%M"}


class Problem(Exception):
    def __init__(self, code, message, **facts):
        super().__init__(message)
        self.data = {"code": code, **facts}


def init(config, **_):
    for key in config or {}:
        if key not in CONFIG:
            raise Problem("invalid", f"unknown field `{key}`, expected `format`", path=[key])
    CONFIG.update(config or {})
    return {"id": "clock", "version": "1.0.0", "provides": ["tools"]}


def call(name, arguments=None, **_):
    if name != "clock":
        raise Problem("not_found", f"there is no tool `{name}`")
    zone = (arguments or {}).get("zone")
    try:
        now = datetime.datetime.now(zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, TypeError, ValueError, OSError):
        raise Problem("invalid", f"there is no zone `{zone}`", hint="name one such as `Europe/Paris`")
    return {"content": [{"type": "text", "text": now.strftime(CONFIG["format"])}]}


METHODS = {"plugin/init": init, "plugin/shutdown": lambda **_: None, "tools/call": call,
           "tools/list": lambda **_: {"tools": [TOOL]}}

for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue  # a notification, such as `plugin/cancel`
    answer = {"jsonrpc": "2.0", "id": request["id"]}
    try:
        if method := METHODS.get(request["method"]):
            answer["result"] = method(**request.get("params") or {})
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
    except Problem as problem:
        answer["error"] = {"code": 1, "message": str(problem), "data": problem.data}
    print(json.dumps(answer), flush=True)
