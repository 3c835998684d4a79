"""Publishes one message with pika: persistent, mandatory and confirmed. examples/python/agent.py does much more."""

import json
import os

import pika

message = {
    "event_id": "e-1",
    "message_id": "pika-1",  # the same whenever the message is sent again
    "message_from": "pika",
    "message_type": "chat",
    "message_content": "先取证，再封禁",
}
connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
channel = connection.channel()
channel.confirm_delivery()
# Raises UnroutableError or NackError if RabbitMQ does not accept it.
channel.basic_publish(
    "deepsoc_notifications_exchange",
    "notifications.frontend.e-1.chat",
    json.dumps(message, allow_nan=False),
    pika.BasicProperties(delivery_mode=2, content_type="application/json"),
    mandatory=True,
)
connection.close()
