"""Publishes with pika and confirms: persistent, mandatory, one message after the other, which is its only way.

Arguments: AMQP URL, exchange, how many messages, how many events. Prints as publish-load.ts does.
"""

import json
import sys
import time
import uuid

import pika

url, exchange, messages, events = sys.argv[1:5]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()


def publish(count):
    for n in range(count):
        event_id = "e%d" % (n % int(events))
        message_id = str(uuid.uuid4())
        body = json.dumps(
            {
                "event_id": event_id,
                "message_from": "bench",
                "message_type": "note",
                "n": n,
                "message_content": "x" * 150,
                "message_id": message_id,
            }
        )
        properties = pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=message_id)
        channel.basic_publish(exchange, "notifications.frontend.%s.note" % event_id, body, properties, mandatory=True)


publish(50)
print(json.dumps({"started": True}), flush=True)
started_at = time.monotonic()
publish(int(messages))
seconds = time.monotonic() - started_at
print(json.dumps({"seconds": seconds, "promised": seconds}), flush=True)
connection.close()
