#!/usr/bin/env python3
"""Publishes messages to deepsoc-gateway from Python. Copy this file beside your agent; it needs pika alone.

As a module:

    from agent import Publisher

    with Publisher(outbox="captain.db") as publisher:
        publisher.send({"event_id": "e-1", "message_from": "_captain", "message_type": "llm_response",
                        "message_content": {"data": {"text": "..."}}})

As a script, one message by flags or one per line on stdin:

    python3 agent.py --event-id e-1 --from _captain --type llm_response --content '{"data": {"text": "..."}}'
    python3 agent.py --outbox captain.db < messages.jsonl

RabbitMQ is named by RABBITMQ_URL, or by RABBITMQ_HOST, _PORT, _USER, _PASSWORD and _VHOST; the hosts of a cluster are
separated by commas. RABBITMQ_EXCHANGE and MAX_MESSAGE_BYTES are read too. RABBITMQ_URL and RABBITMQ_PASSWORD may lie in
files that RABBITMQ_URL_FILE and RABBITMQ_PASSWORD_FILE name. For amqps://, RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE and
RABBITMQ_KEY_FILE name files in PEM, which are read again at each connection.

What `send` promises: without an outbox it returns when RabbitMQ has confirmed the message, or raises a PublishError
within `send_timeout` seconds. With an outbox it returns when the message is durable in that SQLite file, and a thread
empties the file in its order, whatever happens to RabbitMQ or to this process meanwhile. Every message has a
message_id; the same message with the same id may be sent again and is stored once.
"""

import argparse
import collections
import contextlib
import json
import logging
import math
import os
import random
import re
import sqlite3
import ssl
import sys
import threading
import time
import unicodedata
import uuid
import warnings
from urllib.parse import quote

import pika
import pika.exceptions

# Seconds.
ANSWER_TIMEOUT = 30.0

HINTS = {
    "config_invalid": "Correct the arguments or the environment variables that the message names.",
    "invalid_message": "Correct the field that the message names.",
    "message_too_large": "Send a smaller body, or raise MAX_MESSAGE_BYTES of the gateway and here.",
    "queue_full": "Send more slowly, raise max_queued, or use an outbox.",
    "publisher_closed": "Send before close().",
    "broker_unreachable": "Check that RabbitMQ is running and that host and port are correct.",
    "broker_auth_failed": "Check the user name and password.",
    "broker_access_refused": "Create the vhost, and grant the user the write permission on the exchange.",
    "broker_tls_failed": "Check the port (usually 5671) and RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE.",
    "broker_blocked": "RabbitMQ has a memory or disk alarm: free memory or disk space on its host.",
    "exchange_missing": "Start the gateway, which declares the exchange, or correct RABBITMQ_EXCHANGE.",
    "publish_unroutable": "No queue is bound: start the gateway once, which declares queue and binding.",
    "publish_nacked": "A queue is probably at its length limit: check it and its consumer.",
    "publish_timed_out": "The message was not sent. Send it again.",
    "publish_confirm_timeout": "It may or may not be stored. Send it again with the same message_id and body.",
    "outbox_full": "Restore RabbitMQ, or raise max_queued.",
    "outbox_locked": "Use a separate file for each agent.",
    "outbox_not_ours": "Choose another path: this file is not an outbox of this version.",
    "outbox_unwritable": "Check disk space, permissions and the disk. Send it again with the same message_id.",
}


class PublishError(Exception):
    """Why a message was not published. `delivery_status`: "not_sent", "refused", or "unknown" (it may be stored)."""

    def __init__(self, code, message, delivery_status="not_sent"):
        super().__init__("%s: %s %s" % (code, message, HINTS[code]))
        self.code = code
        self.hint = HINTS[code]
        self.delivery_status = delivery_status


def uuid7():
    """A UUID of version 7: ids made later sort later."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def setting(name, usual=None, secret=False):
    if os.environ.get(name):
        return os.environ[name]
    file = os.environ.get(name + "_FILE") if secret else None
    if not file:
        return usual
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read().rstrip("\r\n") or usual
    except OSError as error:
        raise PublishError("config_invalid", "%s_FILE cannot be read: %s." % (name, error)) from error


def broker_url():
    url = setting("RABBITMQ_URL", secret=True)
    if url:
        return url
    host = setting("RABBITMQ_HOST")
    if not host:
        raise PublishError("config_invalid", "No broker is configured: set RABBITMQ_URL or RABBITMQ_HOST.")
    parts = [setting("RABBITMQ_USER", "guest"), setting("RABBITMQ_PASSWORD", "guest", secret=True)]
    user, password = (quote(part, safe="") for part in parts)
    vhost = quote(setting("RABBITMQ_VHOST", "/"), safe="")
    hosts = ",".join("%s:%s" % (one.strip(), setting("RABBITMQ_PORT", "5672")) for one in host.split(","))
    return "amqp://%s:%s@%s/%s" % (user, password, hosts, vhost)


def split_hosts(url):
    """One URL for each node of a cluster: amqp://user:password@mq1:5672,mq2/vhost."""
    start, hosts, end = re.match(r"(\w+://(?:[^/?#]*@)?)?([^/?#]*)(.*)", url).groups()
    return [(start or "") + host.strip() + end for host in hosts.split(",")]


def tls_options(host):
    """Trusts RABBITMQ_CA_FILE, or what Python trusts; the name in the certificate is always checked."""
    try:
        context = ssl.create_default_context(cafile=setting("RABBITMQ_CA_FILE"))
        certificate = setting("RABBITMQ_CERT_FILE")
        if certificate:
            context.load_cert_chain(certificate, setting("RABBITMQ_KEY_FILE"))
    except (OSError, ValueError) as error:
        raise PublishError("broker_tls_failed", "A file cannot be used: %s." % error) from error
    return pika.SSLOptions(context, host)


@contextlib.contextmanager
def answer_in_time(connection):
    """Ends a connection whose broker does not answer in time. In a cluster, a confirmation can fail to come for ever after the
    leader of the queue has died, and pika has no timeout for it."""
    internals = connection._impl
    error = pika.exceptions.AMQPConnectionError("RabbitMQ has not answered for %d s." % ANSWER_TIMEOUT)
    timer = internals.ioloop.call_later(ANSWER_TIMEOUT, lambda: internals._terminate_stream(error))
    try:
        yield
    finally:
        if connection.is_open:
            internals.ioloop.remove_timeout(timer)


def key_word(text):
    """One word of a routing key; the key only routes, the gateway reads the event from the body."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64] or "_"


def is_id(value):
    if not isinstance(value, str) or not 1 <= len(value) <= 255:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def is_whole(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and value == int(value) and abs(value) < 2**53


def is_round(value):
    """A language model writes the round as a number or as text."""
    return re.fullmatch(r"[0-9]{1,15}", value) is not None if isinstance(value, str) else is_whole(value)


Item = collections.namedtuple("Item", "seq message_id key body")


def encode(message, most_bytes):
    """Checks a message by the gateway's rules. @returns an Item without a place in the order"""
    if not isinstance(message, dict):
        raise PublishError("invalid_message", "A message must be a dict.")
    event_id = message.get("event_id")
    # URLs resolve . and .. as folders.
    if not is_id(event_id) or event_id in (".", "..") or any(unicodedata.category(character) == "Cc" for character in event_id):
        raise PublishError(
            "invalid_message", "event_id must be a string of 1 to 255 characters without control characters, except . and .."
        )
    if message.get("message_id") is None:
        message = {**message, "message_id": uuid7()}
    if not is_id(message["message_id"]):
        raise PublishError("invalid_message", "message_id must be a string of 1 to 255 characters.")
    if message.get("round_id") is not None and not is_round(message["round_id"]):
        raise PublishError("invalid_message", "round_id must be an integer, or a string of 1 to 15 digits.")
    for name, alias in (("message_from", "source"), ("message_type", "type")):
        value = message.get(name) if message.get(name) is not None else message.get(alias)
        if value is not None and not isinstance(value, str):
            raise PublishError("invalid_message", name + " must be a string.")
    kind = message.get("message_type") if message.get("message_type") is not None else message.get("type")
    try:
        # Python would write NaN and Infinity, which are not JSON.
        body = json.dumps(message, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise PublishError("invalid_message", "The message cannot be encoded as JSON: %s." % error) from error
    if len(body) > most_bytes:
        raise PublishError("message_too_large", "The body has %d bytes; at most %d are allowed." % (len(body), most_bytes))
    key = "notifications.frontend.%s.%s" % (key_word(event_id), key_word("message" if kind is None else kind))
    return Item(None, message["message_id"], key, body), event_id


class Waiting:
    """A message whose caller waits."""

    def __init__(self, item):
        self.item = item
        self.started = False
        self.error = None
        self.done = threading.Event()


class Memory:
    """Messages that live as long as this process."""

    def __init__(self, max_queued):
        self.max_queued = max_queued
        self.waiting = collections.deque()

    def __len__(self):
        return len(self.waiting)

    def add(self, item, _event_id):
        if len(self.waiting) >= self.max_queued:
            raise PublishError("queue_full", "%d messages are already queued." % len(self.waiting))
        waiting = Waiting(item)
        self.waiting.append(waiting)
        return waiting

    def first(self):
        return self.waiting[0].item if self.waiting else None

    def sending(self, item):
        if self.waiting and self.waiting[0].item is item:
            self.waiting[0].started = True

    def take(self, item, error=None):
        if self.waiting and self.waiting[0].item is item:
            waiting = self.waiting.popleft()
            if error is not None and error.delivery_status != "refused":
                error.delivery_status = "unknown" if waiting.started else "not_sent"
            waiting.error = error
            waiting.done.set()

    def remove_taken(self):
        return False

    def give_up(self, waiting):
        if waiting in self.waiting:
            self.waiting.remove(waiting)

    def close(self):
        while self.waiting:
            waiting = self.waiting.popleft()
            delivery_status = "unknown" if waiting.started else "not_sent"
            waiting.error = PublishError("publisher_closed", "close() was called.", delivery_status)
            waiting.done.set()


def create_private(path):
    """Creates an empty file that only this user can access, unless there is a file; SQLite gives its WAL the same permissions."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def warn_if_shared(*paths):
    """Warns of files to which other users have access. Windows has no such permissions."""
    for path in paths:
        if os.name == "posix" and os.path.exists(path) and os.stat(path).st_mode & 0o077:
            warnings.warn("Other users have access to the outbox: chmod go= " + path, stacklevel=4)


class Outbox:
    """Messages in a SQLite file, of the same form as that of the TypeScript library: each can empty the other's."""

    APPLICATION = 0x44534F42
    SCHEMA = """
        CREATE TABLE outbox (seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL, message_id TEXT NOT NULL,
          routing_key TEXT NOT NULL, body BLOB NOT NULL);
        CREATE TABLE refused (seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, message_id TEXT NOT NULL,
          routing_key TEXT NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL, refused_at TEXT NOT NULL);
    """

    def __init__(self, path, max_queued):
        # SQLite follows a symbolic link, so the WAL is beside the file that it leads to.
        self.path = path = os.path.realpath(path)
        self.max_queued = max_queued
        try:
            create_private(path)
            warn_if_shared(path, path + "-wal")
        except OSError as error:
            raise PublishError("outbox_unwritable", "%s: %s." % (path, error)) from error
        try:
            self.db = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
            try:
                self.prepare()
            except BaseException:
                self.db.close()
                raise
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise PublishError("outbox_locked", path + " is open in another agent.") from error
            foreign = "not a database" in str(error)
            raise PublishError("outbox_not_ours" if foreign else "outbox_unwritable", "%s: %s." % (path, error)) from error
        self.count, last = self.db.execute("SELECT count(*), max(seq) FROM outbox").fetchone()
        self.seq = last or 0
        # Confirmed or refused, and not removed from the file yet: (seq, error).
        self.taken = collections.deque()
        self.taken_up_to = 0
        self.identity = self.identify()
        self.wal_size = os.path.getsize(path + "-wal")

    def prepare(self):
        # Held until this process ends, in whatever way: a second agent is kept out.
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        application, version = (self.pragma(name) for name in ("application_id", "user_version"))
        tables = [name for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ours = application == self.APPLICATION and version == 1
        if not ours and (application != 0 or tables):
            raise PublishError("outbox_not_ours", self.path + " is not an outbox.")
        self.db.execute("PRAGMA synchronous = FULL")
        if "outbox" not in tables:
            self.db.executescript(
                "BEGIN EXCLUSIVE; %s PRAGMA application_id = %d; PRAGMA user_version = 1; COMMIT;"
                % (self.SCHEMA, self.APPLICATION)
            )
        self.db.execute("PRAGMA journal_mode = WAL").fetchone()
        # A WAL file comes back at NORMAL, which may cost rows in a power cut.
        self.db.execute("PRAGMA synchronous = FULL")
        if self.pragma("journal_mode") != "wal" or self.pragma("synchronous") != 2:
            raise PublishError("outbox_unwritable", self.path + " cannot be made durable.")
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("COMMIT")

    def pragma(self, name):
        return self.db.execute("PRAGMA " + name).fetchone()[0]

    def identify(self):
        files = os.stat(self.path), os.stat(self.path + "-wal")
        return [(stat.st_dev, stat.st_ino) for stat in files]

    def assert_intact(self):
        # SQLite writes into removed files, and beyond the end of a truncated WAL, without an error.
        size = os.path.getsize(self.path + "-wal")
        if self.identify() != self.identity or size < self.wal_size:
            raise OSError("the file or its -wal was removed, replaced or truncated")
        self.wal_size = size

    def __len__(self):
        return self.count

    def add(self, item, event_id):
        if self.count >= self.max_queued:
            raise PublishError("outbox_full", "%d messages are queued in %s." % (self.count, self.path))
        try:
            self.assert_intact()
            row = (self.seq + 1, event_id, item.message_id, item.key, item.body)
            self.db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", row)
            self.assert_intact()
        except (sqlite3.Error, OSError) as error:
            raise PublishError("outbox_unwritable", "%s: %s." % (self.path, error), delivery_status="unknown") from error
        self.seq += 1
        self.count += 1

    def first(self):
        query = "SELECT seq, message_id, routing_key, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1"
        row = self.db.execute(query, (self.taken_up_to,)).fetchone()
        return Item(*row) if row else None

    def sending(self, item):
        pass

    def take(self, item, error=None):
        self.taken_up_to = item.seq
        self.taken.append((item.seq, error))
        self.count -= 1

    def remove_taken(self):
        """Removes one taken message from the file: all at once could need more space than a full disk has. Raises sqlite3.Error.

        @returns whether there was one
        """
        if not self.taken:
            return False
        seq, error = self.taken[0]
        self.db.execute("BEGIN IMMEDIATE")
        try:
            if error is not None:
                self.db.execute(
                    "INSERT INTO refused (event_id, message_id, routing_key, body, reason, refused_at)"
                    " SELECT event_id, message_id, routing_key, body, ?, datetime() FROM outbox WHERE seq = ?",
                    (str(error), seq),
                )
            self.db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
            self.db.execute("COMMIT")
        except sqlite3.Error:
            # A full disk has ended the transaction already.
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        self.taken.popleft()
        return True

    def close(self):
        self.db.close()


class Publisher:
    """Publishes from any thread; one thread of its own talks to RabbitMQ and sends one message after the other."""

    def __init__(self, url=None, exchange=None, outbox=None, max_queued=10_000, send_timeout=10.0, on_fault=None):
        """on_fault: called with each PublishError that keeps messages waiting; it is not raised anywhere else then.
        What on_fault itself raises is logged.
        """
        self.exchange = exchange or setting("RABBITMQ_EXCHANGE", "deepsoc_notifications_exchange")
        self.most_bytes = int(setting("MAX_MESSAGE_BYTES", "1048576"))
        self.send_timeout = threading.TIMEOUT_MAX if send_timeout is None else min(threading.TIMEOUT_MAX, send_timeout)
        self.on_fault = on_fault or (lambda error: None)
        self.nodes = [pika.URLParameters(one) for one in split_hosts(url or broker_url())]
        for node in self.nodes:
            node.heartbeat = 10
            node.socket_timeout = 10
            node.blocked_connection_timeout = 5
            node.client_properties = {"connection_name": "deepsoc-gateway/agent.py"}
        self.store = Outbox(outbox, max_queued) if outbox else Memory(max_queued)
        self.durable = outbox is not None
        self.changed = threading.Condition()
        self.fault = None
        self.closing = False
        self.remove_at = 0.0
        self.connection = None
        self.channel = None
        self.thread = threading.Thread(target=self.run, name="publisher", daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    @property
    def queued(self):
        """Messages that RabbitMQ has not confirmed yet."""
        with self.changed:
            return len(self.store)

    def send(self, message):
        """Publishes one message. Returns its message_id. Raises PublishError."""
        item, event_id = encode(message, self.most_bytes)
        with self.changed:
            if self.closing:
                raise PublishError("publisher_closed", "close() was called.")
            waiting = self.store.add(item, event_id)
            self.changed.notify_all()
        if not self.durable:
            self.wait_for(waiting)
        return item.message_id

    def close(self, timeout=5.0):
        """Waits for what is queued, up to `timeout` seconds. Returns how many messages are left unconfirmed."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while len(self.store) > 0 and time.monotonic() < deadline:
                self.changed.wait(min(threading.TIMEOUT_MAX, deadline - time.monotonic()))
            self.closing = True
            self.changed.notify_all()
        self.thread.join(2)
        with self.changed:
            left = len(self.store)
            self.store.close()
        return left

    def wait_for(self, waiting):
        if not waiting.done.wait(self.send_timeout):
            with self.changed:
                self.store.give_up(waiting)
                if not waiting.done.is_set():
                    delivery_status = "unknown" if waiting.started else "not_sent"
                    raise self.late(delivery_status) from self.fault
        if waiting.error is not None:
            raise waiting.error

    def late(self, delivery_status):
        fault = self.fault
        if fault is not None and (delivery_status == "not_sent" or fault.code == "broker_blocked"):
            return PublishError(fault.code, str(fault.__cause__ or fault.code) + ".", delivery_status)
        code = "publish_confirm_timeout" if delivery_status == "unknown" else "publish_timed_out"
        return PublishError(code, "No confirmation within %s s." % self.send_timeout, delivery_status)

    # What follows runs in the thread of its own.

    def run(self):
        attempt = 0
        while True:
            item = None
            try:
                self.remove_taken()
                with self.changed:
                    if self.closing:
                        break
                    item = self.store.first()
                    if item is None:
                        self.changed.wait(1)
                if item is None:
                    self.keep_alive()
                    continue
                self.publish(item)
                self.settle(item)
                attempt = 0
            except Exception as error:
                # Without this thread nothing would be sent any more, so no error may end it.
                attempt += 1
                if not isinstance(error, PublishError):
                    error = PublishError("outbox_unwritable", "%s: %s." % (type(error).__name__, error))
                self.meet(item, error, attempt)
        self.drop()

    def publish(self, item):
        try:
            channel = self.open()
            properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")
            # The property holds 255 bytes; the body's own message_id wins in any case.
            if len(item.message_id.encode()) <= 255:
                properties.message_id = item.message_id
            with self.changed:
                self.store.sending(item)
            with answer_in_time(self.connection):
                channel.basic_publish(self.exchange, item.key, item.body, properties, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            raise PublishError("publish_unroutable", "No queue takes %s." % item.key, "refused") from error
        except pika.exceptions.NackError as error:
            # In a cluster a channel can get a nack for every message after the leader of the queue has died; another one does not.
            self.drop()
            raise PublishError("publish_nacked", "RabbitMQ refused the message.", "refused") from error
        except PublishError:
            raise
        except Exception as error:
            # pika also lets errors through that are not its own, such as UnicodeError for a host name.
            self.drop()
            raise self.name(error) from error

    def open(self):
        if self.channel is None or not self.channel.is_open:
            self.drop()
            for node in self.nodes:
                if node.ssl_options is not None:
                    node.ssl_options = tls_options(node.host)
            self.connection = pika.BlockingConnection(self.nodes)
            with answer_in_time(self.connection):
                channel = self.connection.channel()
                channel.exchange_declare(self.exchange, passive=True)
                channel.confirm_delivery()
            self.channel = channel
        return self.channel

    def keep_alive(self):
        if self.connection is None:
            return
        try:
            self.connection.process_data_events(0)
        except Exception:
            self.drop()

    def drop(self):
        connection, self.connection, self.channel = self.connection, None, None
        try:
            if connection is not None and connection.is_open:
                connection.close()
        except Exception:
            # It is gone, which is what was wanted.
            pass

    def name(self, error):
        text = "%s: %s." % (type(error).__name__, error)
        if isinstance(error, pika.exceptions.ChannelClosedByBroker):
            codes = {404: "exchange_missing", 403: "broker_access_refused", 406: "message_too_large"}
            code = codes.get(error.reply_code, "broker_unreachable")
            return PublishError(code, text, "refused" if code == "message_too_large" else "unknown")
        if isinstance(error, pika.exceptions.ConnectionBlockedTimeout):
            return PublishError("broker_blocked", text, "unknown")
        if isinstance(error, pika.exceptions.AuthenticationError):
            return PublishError("broker_auth_failed", text)
        if isinstance(error, pika.exceptions.ProbableAuthenticationError):
            return PublishError("broker_auth_failed", text)
        if isinstance(error, pika.exceptions.ProbableAccessDeniedError):
            return PublishError("broker_access_refused", text)
        if isinstance(error, pika.exceptions.ConnectionClosedByBroker) and error.reply_code == 530:
            return PublishError("broker_access_refused", text)
        # pika wraps what the handshake came to; only its text tells.
        if "SSL" in text or "certificate" in text.lower():
            return PublishError("broker_tls_failed", text)
        return PublishError("broker_unreachable", text, "unknown")

    def settle(self, item, error=None):
        with self.changed:
            self.store.take(item, error)
            self.fault = None
            self.changed.notify_all()

    def remove_taken(self):
        """A failure holds back no message: it is retried a second later, and after a restart what is left is sent again."""
        try:
            removed = time.monotonic() >= self.remove_at
            while removed:
                with self.changed:
                    removed = self.store.remove_taken()
        except sqlite3.Error as error:
            self.remove_at = time.monotonic() + 1
            if not self.closing:
                self.report(PublishError("outbox_unwritable", "%s." % error))

    def meet(self, item, error, attempt):
        """A refusal is told to the caller who waits; in an outbox the message keeps its place and is sent again."""
        self.fault = error
        lasting = error.code in ("broker_auth_failed", "broker_access_refused", "exchange_missing")
        told = not self.durable and (lasting or error.delivery_status == "refused")
        if item is not None and (told or error.code == "message_too_large"):
            self.settle(item, error)
            if told:
                return
        self.report(error)
        if error.code == "message_too_large":
            return
        pause = min(5.0, 0.1 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)
        with self.changed:
            if not self.closing:
                self.changed.wait_for(lambda: self.closing, pause)

    def report(self, error):
        try:
            self.on_fault(error)
        except (Exception, SystemExit):
            logging.getLogger(__name__).exception("on_fault has failed.")


def messages_of(options, lines):
    if options.event_id is None:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line
        return
    try:
        content = json.loads(options.content)
    except ValueError:
        content = options.content
    message = {"event_id": options.event_id, "message_from": options.sender, "message_type": options.type}
    yield 1, json.dumps({**message, "message_content": content})


def main():
    parser = argparse.ArgumentParser(description="Publishes messages to deepsoc-gateway.", epilog="Environment: RABBITMQ_URL.")
    parser.add_argument("--event-id", help="publish one message; without it, JSON lines are read from stdin")
    parser.add_argument("--from", dest="sender", default=None)
    parser.add_argument("--type", default=None)
    parser.add_argument("--content", default="", help="JSON, or plain text")
    parser.add_argument("--outbox", help="SQLite file that keeps messages until RabbitMQ has them")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait for an outbox to be emptied (30)")
    options = parser.parse_args()
    failed = 0
    try:
        publisher = Publisher(outbox=options.outbox, on_fault=lambda error: print(error, file=sys.stderr))
    except PublishError as error:
        print(error, file=sys.stderr)
        return 2
    for number, line in messages_of(options, sys.stdin):
        try:
            print(publisher.send(json.loads(line)), flush=True)
        except (PublishError, ValueError) as error:
            failed += 1
            print("line %d: %s" % (number, error), file=sys.stderr)
    left = publisher.close(options.wait)
    if left > 0:
        print("%d messages wait in %s for the next start." % (left, options.outbox), file=sys.stderr)
    return 1 if failed or left else 0


if __name__ == "__main__":
    sys.exit(main())
