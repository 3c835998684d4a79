"""The original design of the consumer: pika, one commit and one acknowledgement for each message, prefetch 10.

Arguments: AMQP URL, queue, database file, journal mode (delete or wal), how many messages to take.
Prints {"started": true} at the first message and {"seconds": s, "messages": n} after the last.
"""

import json
import sqlite3
import sys
import time

import pika

url, queue, file, journal, wanted = sys.argv[1:6]
database = sqlite3.connect(file, isolation_level=None)
database.execute("PRAGMA journal_mode = " + journal)
database.execute("PRAGMA synchronous = FULL")
database.execute(
    "CREATE TABLE message (id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, message_from TEXT,"
    " message_type TEXT, message_content TEXT, created_at REAL NOT NULL)"
)
database.execute("CREATE INDEX message_by_event ON message (event_id, id)")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.basic_qos(prefetch_count=10)
taken = 0
started_at = 0.0


def store(channel, method, properties, body):
    global taken, started_at
    if taken == 0:
        started_at = time.monotonic()
        print(json.dumps({"started": True}), flush=True)
    message = json.loads(body)
    database.execute("BEGIN")
    database.execute(
        "INSERT INTO message (event_id, message_from, message_type, message_content, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            message["event_id"],
            message.get("message_from"),
            message.get("message_type"),
            json.dumps(message.get("message_content")),
            time.time(),
        ),
    )
    database.execute("COMMIT")
    channel.basic_ack(method.delivery_tag)
    taken += 1
    if taken == int(wanted):
        print(json.dumps({"seconds": time.monotonic() - started_at, "messages": taken}), flush=True)


channel.basic_consume(queue, store)
channel.start_consuming()
