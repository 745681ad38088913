"""An MCP server in a few lines, over its standard input and output, as a process that starts in no time.

``python -I -S mcp_server.py FOLDER [NAME]…``: the NAMEs are more tools. It writes each call it gets into ``FOLDER/calls`` and
its process id into ``FOLDER/pid``; a file ``FOLDER/extra`` is one tool more, announced when ``echo`` is called.
"""

import json
import os
import sys

FOLDER, MORE = sys.argv[1], sys.argv[2:]
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def tool(name, **hints):
    return {"name": name, "description": f"The tool {name}.", "inputSchema": TEXT, "annotations": hints}


def tools():
    names = [
        tool("echo"),
        tool("die"),
        tool("die_safely", idempotentHint=True),
        tool("secret"),
        tool("fail"),
        tool("slow"),
    ]
    names += [tool(name) for name in MORE]
    return [*names, tool("extra")] if os.path.exists(f"{FOLDER}/extra") else names


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(id, text, error=False):
    send(id=id, result={"content": [{"type": "text", "text": text}], "isError": error})


def call(id, params):
    name, arguments, meta = params["name"], params.get("arguments", {}), params.get("_meta", {})
    with open(f"{FOLDER}/calls", "a") as calls:
        calls.write(f"{name} {meta.get('dragoman/idempotency_key')}\n")
    if name == "die" or (name == "die_safely" and not os.path.exists(f"{FOLDER}/died")):
        open(f"{FOLDER}/died", "w").close()
        os._exit(1)
    if name == "secret":
        return answer(id, os.environ.get("SECRET", "none"))
    if name == "fail":
        return answer(id, "It is out of stock.", error=True)
    if name == "slow":
        token = meta.get("progressToken")
        send(
            method="notifications/progress",
            params={"progressToken": token, "progress": 1, "total": 2, "message": "half"},
        )
        return None
    if os.path.exists(f"{FOLDER}/extra"):
        send(method="notifications/tools/list_changed")
    return answer(id, f"{name}: {arguments.get('text')}")


with open(f"{FOLDER}/pid", "w") as pid:
    pid.write(str(os.getpid()))
for line in sys.stdin:
    asked = json.loads(line)
    id, method, params = asked.get("id"), asked.get("method"), asked.get("params", {})
    if method == "initialize":
        send(
            id=id,
            result={
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "test", "version": "1"},
            },
        )
    elif method == "tools/list":
        send(id=id, result={"tools": tools()})
    elif method == "tools/call":
        call(id, params)
    elif id is not None:
        send(id=id, error={"code": -32601, "message": "unknown"})
