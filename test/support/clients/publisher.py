"""Publishes JSON lines from stdin to RabbitMQ with pika, as an agent would.

A line is {"key", "exchange"?, "body" | "body_base64" | "py", "properties"?}: "body" is the text to send,
"py" a value (JSON, or a Python literal) that goes through json.dumps. A header {"type": "L", "value": "..."}
is sent as that AMQP field type. For every line one JSON line comes back on stdout, in order:
{"n": 1, "ok": true} or {"n": 1, "ok": false, "error": "..."}, with "attempts" where there were several.
"""

import argparse
import ast
import base64
import json
import os
import queue
import struct
import sys
import threading
import time

import pika
import pika.data
import pika.exceptions

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "python"))
sys.dont_write_bytecode = True

from agent import answer_in_time  # noqa: E402

# How each fixed-size AMQP field type is packed, by RabbitMQ's reading of the types.
FIXED = {
    "t": "?", "b": "b", "B": "B", "s": "h", "u": "H", "U": "h", "I": "i", "i": "I",
    "l": "q", "L": "q", "f": "f", "d": "d", "T": "Q",
}


class Typed:
    """A header value whose AMQP field type is chosen by the sender."""

    def __init__(self, kind, value):
        self.kind = kind
        self.value = value

    def encode(self):
        tag = self.kind.encode()
        if self.kind in FIXED:
            number = float(self.value) if self.kind in "fd" else int(self.value)
            code = FIXED[self.kind]
            if self.kind in "lL" and number >= 2**63:
                code = "Q"
            return tag + struct.pack(">" + code, number)
        if self.kind in "Sx":
            raw = self.value.encode("utf-8", "surrogatepass")
            return tag + struct.pack(">I", len(raw)) + raw
        if self.kind == "V":
            return tag
        raise ValueError("no encoder for AMQP field type " + self.kind)


original_encode_value = pika.data.encode_value


def encode_value(pieces, value):
    if not isinstance(value, Typed):
        return original_encode_value(pieces, value)
    encoded = value.encode()
    pieces.append(encoded)
    return len(encoded)


# pika has no way to choose a field type: it sends an integer beyond 32 bits as "l", never as "L".
pika.data.encode_value = encode_value


def typed(value):
    if isinstance(value, dict):
        if set(value) == {"type", "value"} and isinstance(value["type"], str) and len(value["type"]) == 1:
            return Typed(value["type"], value["value"])
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return value


def body_of(line):
    if "body_base64" in line:
        return base64.b64decode(line["body_base64"])
    if "py" in line:
        try:
            value = json.loads(line["py"])
        except ValueError:
            value = ast.literal_eval(line["py"])
        return json.dumps(value).encode()
    return line["body"].encode("utf-8", "surrogatepass")


def properties_of(line):
    given = {"content_type": "application/json", "delivery_mode": 2, **line.get("properties", {})}
    # JSON has no bytes, which pika takes as they are.
    if "message_id_base64" in given:
        given["message_id"] = base64.b64decode(given.pop("message_id_base64"))
    if "headers" in given:
        given["headers"] = typed(given["headers"])
    return pika.BasicProperties(**given)


class Link:
    """One connection and channel, made when needed and replaced after a loss."""

    def __init__(self, options):
        self.options = options
        self.connection = None
        self.channel = None
        self.declared = set()

    def open(self):
        if self.channel is not None and self.channel.is_open:
            return self.channel
        self.drop()
        self.connection = pika.BlockingConnection(pika.URLParameters(self.options.url))
        with answer_in_time(self.connection):
            self.channel = self.connection.channel()
            if not self.options.no_confirms:
                self.channel.confirm_delivery()
        return self.channel

    def publish(self, exchange, key, body, properties):
        channel = self.open()
        if self.options.declare and exchange not in self.declared:
            channel.exchange_declare(exchange=exchange, exchange_type="topic", durable=True)
            self.declared.add(exchange)
        with answer_in_time(self.connection):
            channel.basic_publish(exchange, key, body, properties, mandatory=self.options.mandatory)

    def idle(self):
        if self.connection is None:
            return
        try:
            self.connection.process_data_events(0)
        except pika.exceptions.AMQPError:
            self.drop()

    def drop(self):
        connection, self.connection, self.channel = self.connection, None, None
        self.declared = set()
        try:
            if connection is not None and connection.is_open:
                connection.close()
        except (pika.exceptions.AMQPError, OSError):
            pass


def describe(error):
    return (type(error).__name__ + ": " + str(error)).rstrip(": ")


def send(link, line, retry):
    attempts = 0
    while True:
        attempts += 1
        try:
            exchange = line.get("exchange", link.options.exchange)
            link.publish(exchange, line["key"], body_of(line), properties_of(line))
            return attempts, None
        except (pika.exceptions.UnroutableError, pika.exceptions.NackError) as error:
            if not (retry and isinstance(error, pika.exceptions.NackError)):
                return attempts, describe(error)
            # In a cluster, one channel can get a nack for every message after the queue has another leader.
            link.drop()
        except (pika.exceptions.AMQPError, OSError) as error:
            link.drop()
            if not retry:
                return attempts, describe(error)
        except (KeyError, TypeError, ValueError, struct.error) as error:
            return attempts, describe(error)
        time.sleep(min(2.0, 0.05 * 2 ** min(attempts, 6)))


def read_lines(lines):
    for text in sys.stdin:
        if text.strip():
            lines.put(text)
    lines.put(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--exchange", default="deepsoc_notifications_exchange")
    parser.add_argument("--declare", action="store_true", help="declare the exchange, durable topic, as DeepSOC does")
    parser.add_argument("--no-confirms", action="store_true", help="answer when written, not when confirmed")
    parser.add_argument("--mandatory", action="store_true", help="an unroutable message is an error")
    parser.add_argument("--retry", action="store_true", help="reconnect and send again until confirmed")
    options = parser.parse_args()
    link = Link(options)
    lines = queue.Queue(maxsize=10_000)
    threading.Thread(target=read_lines, args=(lines,), daemon=True).start()
    n = 0
    while True:
        try:
            text = lines.get(timeout=1)
        except queue.Empty:
            link.idle()
            continue
        if text is None:
            break
        n += 1
        attempts, error = send(link, json.loads(text), options.retry)
        answer = {"n": n, "ok": error is None}
        if error is not None:
            answer["error"] = error
        if attempts > 1:
            answer["attempts"] = attempts
        print(json.dumps(answer), flush=True)
    link.drop()


main()
