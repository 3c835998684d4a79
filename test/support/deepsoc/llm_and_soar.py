"""A language model (chat completions of OpenAI) and a SOAR for DeepSOC's agents, on one port of the loopback.

Argument: the port. The answers follow from the requests: three tasks in the first round, of which one is done, one
fails in the SOAR and one is for a person; the mission is complete in the second round. An engineer's question gets an
answer in Markdown after a second, as a real model takes time.
"""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TASKS = [
    {"task_name": "查询攻击源的威胁情报", "task_assignee": "_analyst", "task_type": "query"},
    {"task_name": "封禁攻击源", "task_assignee": "_operator", "task_type": "write"},
    {"task_name": "通知值班负责人", "task_assignee": "_coordinator", "task_type": "notify"},
]
PLAYBOOKS = [12302548181076029, 404]


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


def command(index, action):
    ids = {"action_id": action["action_id"], "task_id": action["task_id"]}
    if index >= len(PLAYBOOKS):
        return {**ids, "command_type": "manual", "command_name": "电话通知", "command_assignee": "_coordinator", "command_params": {}}
    return {
        **ids,
        "command_type": "playbook",
        "command_name": "剧本 %d" % (index + 1),
        "command_assignee": "_executor",
        "command_entity": {"playbook_id": PLAYBOOKS[index]},
        "command_params": {"src": "192.0.2.7", "threshold": 1.10},
    }


def order(request):
    commands = [command(index, action) for index, action in enumerate(request["actions"])]
    return {"response_type": "COMMAND", "response_text": "命令如下", "commands": commands}


ROLES = {
    "generate_tasks_by_event": ("_captain", "_manager", plan),
    "generate_actions_by_tasks": ("_manager", "_operator", split),
    "generate_commands_by_actions": ("_operator", "_executor", order),
}


def answer(text):
    block = re.search(r"```yaml\n(.*?)\n\s*```", text, re.S)
    request = yaml.safe_load(block.group(1)) if block else None
    if isinstance(request, dict) and request.get("type") in ROLES:
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
        elif request.get("executorInstanceId") == 404:
            self.respond({"error": "no such playbook"}, 500)
        else:
            self.respond({"result": "activity-1"})

    def do_GET(self):
        if "/activity/" in self.path:
            self.respond({"result": {"executeStatus": "SUCCESS"}})
        else:
            self.respond({"result": {"verdict": "恶意", "score": 9.90, "asn": 12302548181076029, "tags": ["<script>alert(1)</script>"]}})


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
