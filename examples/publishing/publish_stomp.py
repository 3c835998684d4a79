"""Publishes one message over STOMP (plugin rabbitmq_stomp) with stomp.py, and waits for its receipt.

Called as `python3 publish_stomp.py HOST PORT`. RabbitMQ gives the receipt also if no queue takes the message.
"""

import json
import sys

import stomp
from stomp.listener import WaitingListener

message = {
    "event_id": "e-1",
    "message_id": "stomp-1",  # the same whenever the message is sent again
    "message_from": "stomp",
    "message_type": "chat",
    "message_content": "先取证，再封禁",
}
connection = stomp.Connection12([(sys.argv[1], int(sys.argv[2]))], vhost="/")
received = WaitingListener("1")
connection.set_listener("", received)
connection.connect("guest", "guest", wait=True)
connection.send(
    "/exchange/deepsoc_notifications_exchange/notifications.frontend.e-1.chat",
    json.dumps(message, allow_nan=False),
    "application/json",
    headers={"persistent": "true", "receipt": "1"},
)
received.wait_on_receipt()
connection.disconnect()
