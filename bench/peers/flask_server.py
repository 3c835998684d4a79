"""A Flask-SocketIO server under eventlet: a room for each event, POST /pub/EVENT publishes into it."""

import eventlet

eventlet.monkey_patch()

import sys  # noqa: E402

from flask import Flask, request  # noqa: E402
from flask_socketio import SocketIO, join_room  # noqa: E402

app = Flask(__name__)
# The load driver answers no pings; none come within a run.
socketio = SocketIO(app, async_mode="eventlet", ping_interval=3600, ping_timeout=3600, cors_allowed_origins="*")


@socketio.on("connect")
def connect(auth=None):
    join_room(request.args.get("event", ""))


@app.post("/pub/<event>")
def publish(event):
    socketio.emit("new_message", request.get_json(), to=event)
    return "ok"


socketio.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_output=False)
