"""A stdio server with just enough behaviour to see what the bridge does to messages. It ends with its input."""

import json
import os
import sys
from typing import Any

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def say(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def progress(request: dict[str, Any]) -> None:
    token = request["params"]["_meta"]["progressToken"]
    say(method="notifications/progress", params={"progressToken": token, "progress": 1})
    say(id=request["id"], result={})


def subscribe(request: dict[str, Any]) -> None:
    tag = {"_meta": {SUBSCRIPTION: request["id"]}}
    say(method="notifications/subscriptions/acknowledged", params=tag)
    say(method="notifications/tools/list_changed", params=tag)


def serve() -> None:
    cancelled: list[Any] = []
    asked: list[Any] = []
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize" | "pid" | "tools/call":
                say(id=message["id"], result={"pid": os.getpid()})
            case "progress":
                progress(message)
            case "fail":
                say(id=message["id"], error={"code": message["params"]["code"], "message": "As you wish"})
            case "wait":
                say(method="notifications/message", params={"level": "info", "data": message["id"]})
            case "subscriptions/listen":
                subscribe(message)
            case "notifications/cancelled":
                cancelled.append(message["params"]["requestId"])
            case "next_cancelled":
                while not cancelled:
                    cancelled.append(json.loads(sys.stdin.readline())["params"]["requestId"])
                say(id=message["id"], result={"cancelled": cancelled})
            case "ask":
                asked.append(message["id"])
                say(id="question", method="roots/list")
            case "exit":
                return
            case None:
                say(id=asked.pop(), result={"answered": message["result"]})


if __name__ == "__main__":
    serve()
