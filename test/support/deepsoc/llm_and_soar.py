"""A language model (chat completions of OpenAI) and a SOAR for DeepSOC's agents, on one port of the loopback.

Argument: the port. The answers follow from the requests: one task in the first round, which a playbook does; the mission
is complete in the second round. An engineer's question gets an answer in Markdown after a second, as a real model takes
time.
"""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TASKS = [{"task_name": "查询攻击源的威胁情报", "task_assignee": "_analyst", "task_type": "query"}]
# Beyond what a double holds exactly.
PLAYBOOK = 12302548181076029


def plan(request):
    if request.get("round_id", 1) > 1:
        return {"response_type": "MISSION_COMPLETE", "response_text": "攻击源已处置，任务完成。"}
    return {
        "response_type": "TASK",
        "event_name": "邮件网关暴力破解",
        "response_text": "先取证，再封禁。\n请 <b>_analyst</b> 查询情报。",
        "tasks": TASKS,
    }


def split(request):
    actions = [
        {"task_id": task["task_id"], "action_name": "执行：" + task["task_name"], "action_type": task["task_type"], "action_assignee": "_operator"}
        for task in request["tasks"]
    ]
    return {"response_type": "ACTION", "response_text": "已拆解为动作", "actions": actions}


def command(action):
    return {
        "action_id": action["action_id"],
        "task_id": action["task_id"],
        "command_type": "playbook",
        "command_name": "查询情报",
        "command_assignee": "_executor",
        "command_entity": {"playbook_id": PLAYBOOK},
        "command_params": {"src": "192.0.2.7", "threshold": 1.10},
    }


def order(request):
    return {"response_type": "COMMAND", "response_text": "命令如下", "commands": [command(action) for action in request["actions"]]}


ROLES = {
    "generate_tasks_by_event": ("_captain", "_manager", plan),
    "generate_actions_by_tasks": ("_manager", "_operator", split),
    "generate_commands_by_actions": ("_operator", "_executor", order),
}


def request_in(text):
    block = re.search(r"```yaml\n(.*?)\n\s*```", text, re.S)
    try:
        request = yaml.safe_load(block.group(1)) if block else None
    except yaml.YAMLError:
        # Prompts for summaries quote results in such blocks.
        return {}
    return request if isinstance(request, dict) else {}


def answer(text):
    request = request_in(text)
    if request.get("type") in ROLES:
        sender, receiver, respond = ROLES[request["type"]]
        same = {key: request[key] for key in ("event_id", "round_id", "req_id", "res_id") if key in request}
        response = {"type": "llm_response", "from": sender, "to": receiver, **same, **respond(request)}
        return "```yaml\n%s```" % yaml.dump(response, allow_unicode=True, sort_keys=False)
    if "工程师问题" in text:
        time.sleep(1)
        return "**建议**：先隔离主机。\n\n```bash\niptables -A INPUT -s 192.0.2.7 -j DROP\n```\n"
    return "## 小结\n\n- 来源 **恶意**\n\n| 项 | 值 |\n|---|---|\n| 端口 | 22, 445 |\n"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Logs nothing."""

    def respond(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path.endswith("/chat/completions"):
            content = answer(request["messages"][-1]["content"])
            self.respond({"id": "1", "model": "fake", "choices": [{"message": {"content": content}}], "usage": {}})
        else:
            self.respond({"result": "activity-1"})

    def do_GET(self):
        if "/activity/" in self.path:
            self.respond({"result": {"executeStatus": "SUCCESS"}})
        else:
            self.respond({"result": {"verdict": "恶意", "score": 9.90, "asn": 12302548181076029, "tags": ["<script>alert(1)</script>"]}})


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
