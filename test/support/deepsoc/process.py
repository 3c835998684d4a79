"""A process of DeepSOC with the bridge switched on, which writes rows to the message table and waits until all are published.

Arguments: the broker's URL, exchange, folder, first number, how many rows, how many events. The folder holds the table
and the outbox, and is shared by all processes. Its environment holds RABBITMQ_QUEUE. Every third row is one that DeepSOC
does not publish by itself.
"""

import json
import logging
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

url, exchange, folder, start, count, events = sys.argv[1:7]
os.chdir(folder)
os.environ.update(
    RABBITMQ_URL=url,
    RABBITMQ_EXCHANGE=exchange,
    DATABASE_URL="sqlite:///%s/deepsoc.db?timeout=60" % folder,
    BRIDGE_OUTBOX=os.path.join(folder, "bridge.db"),
)
# The first import of DeepSOC's main.py.
import deepsoc_model  # noqa: E402, F401

import deepsoc_bridge  # noqa: E402

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
logging.getLogger("pika").setLevel(logging.CRITICAL)

from app.models import Message  # noqa: E402
from sqlalchemy import create_engine  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

engine = create_engine(os.environ["DATABASE_URL"])
deepsoc_model.metadata.create_all(engine)
bridge = deepsoc_bridge.start()

from app.utils.mq_utils import RabbitMQPublisher  # noqa: E402

publisher = RabbitMQPublisher()
# Rows that are there before are old ones, which are published otherwise.
while bridge.outbox.position()[2] is None:
    time.sleep(0.01)
KINDS = (("_captain", "llm_response"), ("_executor", "command_result"), ("user", "user_message"))


def say(**told):
    print(json.dumps(told), flush=True)


for n in range(int(start), int(start) + int(count)):
    sender, kind = KINDS[n % 3]
    with Session(engine) as session:
        message = Message(
            event_id="e%d" % (n % int(events)),
            message_id="m%d" % n,
            message_from=sender,
            message_type=kind,
            message_content={"data": {"text": "内容" * 20}},
        )
        session.add(message)
        session.commit()
        if kind == "llm_response":
            publisher.publish_message(message.to_dict(), "notifications.frontend.%s.%s.%s" % (message.event_id, sender, kind))
    say(accepted=n - int(start) + 1)

table = deepsoc_bridge.MessageTable()
while True:
    state = deepsoc_bridge.status(table, bridge.outbox)
    left = state["rows_to_copy"] + state["messages_to_publish"]
    say(queued=left, fault=",".join(bridge.faults.values()) or None)
    if left == 0:
        break
    time.sleep(0.05)
bridge.stop()
