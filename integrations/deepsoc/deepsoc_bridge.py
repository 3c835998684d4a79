#!/usr/bin/env python3
"""Publishes every message of DeepSOC's war rooms to deepsoc-gateway, by whichever role it was written.

Copy this file beside DeepSOC's main.py and make this the first line of main.py, which all its processes start with:

    import deepsoc_bridge; deepsoc_bridge.start()

From then on one of the processes copies the rows of DeepSOC's message table, in the order of their ids, into a SQLite
file, the outbox, and publishes them from there, each confirmed by RabbitMQ. When that process ends, another one takes
over. DeepSOC's own publisher is replaced by the class RabbitMQPublisher of this file, which never waits for RabbitMQ.

The table is polled, since only that finds rows of every process, whatever wrote them. A row is in the table as soon as
DeepSOC has committed it, so nothing is lost while RabbitMQ, the gateway or this bridge is away. After a crash a message
can be published again with the same message_id and body, which the gateway stores once.

As a script, in DeepSOC's folder:

    python3 deepsoc_bridge.py status              # how far the bridge is
    python3 deepsoc_bridge.py export FILE         # all messages as JSON lines; continues a FILE that is there

Environment, or .env in the current folder: DATABASE_URL and RABBITMQ_HOST, _PORT, _USER, _PASSWORD, _VHOST as DeepSOC
reads them; or RABBITMQ_URL, for amqps:// with RABBITMQ_CA_FILE, _CERT_FILE and _KEY_FILE. The hosts of a cluster are
separated by commas in RABBITMQ_URL; DeepSOC's own connections take only one RABBITMQ_HOST. RABBITMQ_EXCHANGE,
RABBITMQ_QUEUE and RABBITMQ_BINDING as the gateway has them. BRIDGE_OUTBOX is the path of the outbox (instance/deepsoc-bridge.db).
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
import uuid
from urllib.parse import quote

import pika
import pika.exceptions
from dotenv import find_dotenv, load_dotenv
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

logger = logging.getLogger("deepsoc_bridge")

# The event of messages that belong to none, such as notices to all.
GENERAL_EVENT = "general"
POLL_SECONDS = 0.2
# Rows that are copied at once; twice as many wait in the outbox at most, since the table keeps the others.
PAGE = 500
# A missing id can belong to a transaction that has not committed yet: rows behind it wait this long.
GAP_SECONDS = 2.0
# Missing ids that were passed are looked up again for this long, and as many of them.
LATE_SECONDS = 3600.0
MAX_GAPS = 10_000
LATE_POLL_SECONDS = 2.0
# A fault that lasts is logged again after this time.
FAULT_LOG_SECONDS = 60.0
ANSWER_TIMEOUT = 30.0
# Messages that RabbitMQPublisher leaves in the outbox at most.
MAX_QUEUED = 100_000

HINTS = {
    "config_invalid": "Correct the environment variable or argument that the message names.",
    "invalid_message": "Correct the argument that the message names.",
    "broker_unreachable": "Check that RabbitMQ is running and that host and port are correct.",
    "broker_auth_failed": "Check the user name and password.",
    "broker_access_refused": "Create the vhost, and grant the user the write permission on the exchange and on amq.default.",
    "broker_tls_failed": "Check the port (usually 5671) and RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE.",
    "broker_blocked": "RabbitMQ has a memory or disk alarm: free memory or disk space on its host.",
    "queue_missing": "Start the gateway, which declares both, or correct RABBITMQ_EXCHANGE and RABBITMQ_QUEUE.",
    "publish_unroutable": "No queue is bound: start the gateway once, which declares queue and binding.",
    "publish_nacked": "A queue is probably at its length limit: check it and its consumer.",
    "message_too_large": "Raise max_message_size of RabbitMQ. The message is in the table `refused` of the outbox.",
    "row_unreadable": "Correct the row in DeepSOC's database. The reason is in the table `refused` of the outbox.",
    "table_unreadable": "Check DATABASE_URL, and that DeepSOC's database is running and initialised.",
    "outbox_full": "Restore RabbitMQ. Messages of the message table are not affected.",
    "outbox_not_ours": "Choose another path in BRIDGE_OUTBOX: this file is not an outbox of this version.",
    "outbox_unwritable": "Check disk space and permissions. A damaged file can be moved away: the bridge then begins at the"
    " first row, and the gateway stores nothing twice.",
}


class BridgeError(Exception):
    """Why something was not published. `is_final`: the same message would fail again."""

    def __init__(self, code, message, is_final=False):
        super().__init__("%s: %s %s" % (code, message, HINTS[code]))
        self.code = code
        self.hint = HINTS[code]
        self.is_final = is_final


# Settings


def root_folder():
    """The folder of DeepSOC's main.py."""
    import app

    return os.path.dirname(os.path.dirname(os.path.abspath(app.__file__)))


def database_url():
    text = os.environ.get("DATABASE_URL")
    if not text:
        raise BridgeError("config_invalid", "DATABASE_URL is not set.")
    url = make_url(text)
    path = url.database
    if url.get_backend_name() == "sqlite" and path and path != ":memory:" and not os.path.isabs(path):
        # As Flask-SQLAlchemy reads a relative path.
        url = url.set(database=os.path.join(root_folder(), "instance", path))
    return url


def broker_url():
    if os.environ.get("RABBITMQ_URL"):
        return os.environ["RABBITMQ_URL"]
    names = (("USER", "guest"), ("PASSWORD", "guest"), ("VHOST", "/"))
    user, password, vhost = (quote(os.environ.get("RABBITMQ_" + name) or usual, safe="") for name, usual in names)
    host = os.environ.get("RABBITMQ_HOST") or "127.0.0.1"
    port = os.environ.get("RABBITMQ_PORT") or "5672"
    hosts = ",".join("%s:%s" % (one.strip(), port) for one in host.split(","))
    return "amqp://%s:%s@%s/%s" % (user, password, hosts, vhost)


def split_hosts(url):
    """One URL for each node of a cluster: amqp://user:password@mq1:5672,mq2/vhost."""
    start, hosts, end = re.match(r"(\w+://(?:[^/?#]*@)?)?([^/?#]*)(.*)", url).groups()
    return [(start or "") + host.strip() + end for host in hosts.split(",")]


def configured_exchange():
    return os.environ.get("RABBITMQ_EXCHANGE") or "deepsoc_notifications_exchange"


def binding_key():
    return os.environ.get("RABBITMQ_BINDING") or "notifications.frontend.#"


def queue_name():
    return os.environ.get("RABBITMQ_QUEUE") or "frontend_notifications_queue"


def outbox_path():
    if os.environ.get("BRIDGE_OUTBOX"):
        return os.environ["BRIDGE_OUTBOX"]
    # Flask's folder for data, which DeepSOC's repository ignores.
    folder = os.path.join(root_folder(), "instance")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return os.path.join(folder, "deepsoc-bridge.db")


# Messages

Item = collections.namedtuple("Item", "message_id exchange routing_key body")


def key_word(text):
    """One word of a routing key; the key only routes, the gateway reads the event from the body."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64] or "_"


def finite(value):
    """Replaces what JSON does not have, NaN and the infinities, by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def to_json(message):
    """The text that DeepSOC's own publisher makes of it: the gateway takes an equal body for the same message."""
    try:
        return json.dumps(message, allow_nan=False)
    except ValueError:
        return json.dumps(finite(message))


def to_item(message, is_old=False):
    """How a row is published, by what Message.to_dict returned, with a user's names.

    @param is_old whether it was there before the bridge
    """
    kind = message.get("message_type") or "message"
    words = (message["event_id"], message.get("message_from") or "_", kind)
    key = "notifications.frontend." + ".".join(map(key_word, words))
    exchange = configured_exchange()
    if is_old or kind == "user_message":
        # DeepSOC's page has these already, and would show a user's line a second time if DeepSOC's own queue got it.
        exchange, key = "", queue_name()
    return Item(message["message_id"], exchange, key, to_json(message))


class Unreadable:
    """A row that the database driver or SQLAlchemy cannot decode."""

    def __init__(self, row_id, error):
        self.id = row_id
        self.reason = str(BridgeError("row_unreadable", "Row %d: %s." % (row_id, error)))


class MessageTable:
    """Reads DeepSOC's message table through its own model, with a connection of its own."""

    def __init__(self):
        from app.models import Message, User

        self.message = Message
        self.user = User
        url = database_url()
        # A connection that a firewall has cut would otherwise be waited for without end.
        timeouts = {"connect_timeout": 10, "read_timeout": 30, "write_timeout": 30} if url.get_driver_name() == "pymysql" else {}
        self.engine = create_engine(url, pool_pre_ping=True, pool_recycle=1800, connect_args=timeouts)

    def session(self):
        """A transaction of its own: an older one would not see new rows in MySQL."""
        return Session(self.engine)

    def newest_id(self, session):
        return session.execute(select(func.max(self.message.id))).scalar() or 0

    def message_id_at(self, session, row_id):
        return session.execute(select(self.message.message_id).where(self.message.id == row_id)).scalar()

    def after(self, session, row_id, limit=PAGE):
        """Rows with a greater id, ascending, as (id, message) or Unreadable."""
        return self.read(session, select(self.message).where(self.message.id > row_id).order_by(self.message.id).limit(limit))

    def at(self, session, row_ids):
        return self.read(session, select(self.message).where(self.message.id.in_(row_ids)).order_by(self.message.id))

    def read(self, session, query):
        try:
            rows = session.execute(query).scalars().all()
        except ValueError:
            ids = session.execute(query.with_only_columns(self.message.id)).scalars().all()
            return [self.read_one(session, row_id) for row_id in ids]
        names = self.names_of(session, rows)
        return [(row.id, self.to_message(row, names)) for row in rows]

    def read_one(self, session, row_id):
        try:
            row = session.execute(select(self.message).where(self.message.id == row_id)).scalar_one()
        except ValueError as error:
            return Unreadable(row_id, error)
        return row.id, self.to_message(row, self.names_of(session, [row]))

    def names_of(self, session, rows):
        ids = {row.user_id for row in rows if row.message_type == "user_message" and row.user_id}
        if not ids:
            return {}
        return {user.user_id: user for user in session.execute(select(self.user).where(self.user.user_id.in_(ids))).scalars()}

    def to_message(self, row, names):
        message = row.to_dict()
        if not message.get("event_id"):
            message["event_id"] = GENERAL_EVENT
        # Only in messages that DeepSOC does not publish by itself, so that two bodies of one message never differ.
        user = names.get(row.user_id) if row.message_type == "user_message" else None
        if user is not None:
            message["user_nickname"] = user.nickname or user.username
            message["user_username"] = user.username
        return message


# The outbox


def open_private(path, flags):
    """Opens a file; if it is created, only this user can access it."""
    return os.open(path, flags, 0o600)


def create_private(path):
    """Creates an empty file, unless there is one. SQLite gives the files beside it the same permissions."""
    with contextlib.suppress(FileExistsError):
        os.close(open_private(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def warn_if_shared(*paths):
    """Warns of files to which other users have access. Windows has no such permissions."""
    for path in paths:
        if os.name == "posix" and os.path.exists(path) and os.stat(path).st_mode & 0o077:
            logger.warning("Other users have access to messages: chmod go= %s", path)


class Outbox:
    """A SQLite file that all DeepSOC processes of a host share: messages to publish, and how far the table is copied."""

    APPLICATION = 0x44534247
    SCHEMA = """
        CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, exchange TEXT NOT NULL,
          routing_key TEXT NOT NULL, body TEXT NOT NULL);
        CREATE TABLE refused (message_id TEXT NOT NULL, routing_key TEXT NOT NULL, body TEXT NOT NULL, reason TEXT NOT NULL,
          refused_at TEXT NOT NULL);
        CREATE TABLE position (id INTEGER NOT NULL, message_id TEXT, old_up_to INTEGER);
        CREATE TABLE gap (id INTEGER PRIMARY KEY, until REAL NOT NULL);
        INSERT INTO position VALUES (0, NULL, NULL);
    """

    def __init__(self, path):
        self.path = path
        self.lock = threading.RLock()
        self.db = None

    def open(self):
        if self.db is not None and self.is_replaced():
            self.close()
        if self.db is None:
            create_private(self.path)
            db = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
            try:
                self.prepare(db)
            except BaseException:
                db.close()
                raise
            self.db = db
            self.file = self.identify()
        return self.db

    def prepare(self, db):
        application, version = (db.execute("PRAGMA " + name).fetchone()[0] for name in ("application_id", "user_version"))
        if application == 0:
            db.execute("BEGIN IMMEDIATE")
            # Another process may have made it meanwhile.
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in self.SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("PRAGMA application_id = %d" % self.APPLICATION)
                db.execute("PRAGMA user_version = 1")
            db.execute("COMMIT")
            application, version = (db.execute("PRAGMA " + name).fetchone()[0] for name in ("application_id", "user_version"))
        if application != self.APPLICATION or version != 1:
            raise BridgeError("outbox_not_ours", self.path + " is not an outbox.")
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        # WAL files come back at NORMAL, which may cost rows in a power cut.
        db.execute("PRAGMA synchronous = FULL")

    def identify(self):
        stat = os.stat(self.path)
        return stat.st_dev, stat.st_ino

    def is_replaced(self):
        # SQLite writes into a removed file without an error.
        try:
            return self.identify() != self.file
        except OSError:
            return True

    @contextlib.contextmanager
    def transaction(self):
        """A durable transaction. @throws BridgeError outbox_unwritable, outbox_not_ours"""
        with self.lock:
            try:
                db = self.open()
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    # A failed COMMIT may have ended it already.
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                raise BridgeError("outbox_unwritable", "%s: %s." % (self.path, error)) from error

    def count(self):
        with self.transaction() as db:
            return db.execute("SELECT count(*) FROM outbox").fetchone()[0]

    def position(self):
        """The id and message_id of the last row that was copied, and the last id from before the bridge; at first 0 and nulls."""
        with self.transaction() as db:
            return db.execute("SELECT id, message_id, old_up_to FROM position").fetchone()

    def gaps(self):
        """Missing ids that were passed and can still come."""
        with self.transaction() as db:
            db.execute("DELETE FROM gap WHERE until < ?", (time.time(),))
            return [row_id for (row_id,) in db.execute("SELECT id FROM gap ORDER BY id")]

    def add(self, item):
        with self.transaction() as db:
            if db.execute("SELECT count(*) FROM outbox").fetchone()[0] >= MAX_QUEUED:
                raise BridgeError("outbox_full", "%d messages wait in %s." % (MAX_QUEUED, self.path))
            insert(db, item)

    def first(self, limit, after=0):
        """The oldest messages with a greater seq, as [(seq, Item)]."""
        with self.transaction() as db:
            rows = db.execute(
                "SELECT seq, message_id, exchange, routing_key, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            ).fetchall()
        return [(seq, Item(*rest)) for seq, *rest in rows]

    def remove(self, done):
        """@param done reasons by (seq, message_id): in a file that was replaced, a seq can be that of another message"""
        with self.transaction() as db:
            for (seq, message_id), reason in done.items():
                if reason is not None:
                    db.execute(
                        "INSERT INTO refused SELECT message_id, routing_key, body, ?, datetime() FROM outbox"
                        " WHERE seq = ? AND message_id = ?",
                        (reason, seq, message_id),
                    )
            db.executemany("DELETE FROM outbox WHERE seq = ? AND message_id = ?", list(done))

    def close(self):
        with self.lock:
            if self.db is not None:
                self.db.close()
            self.db = None


def insert(db, item):
    db.execute("INSERT INTO outbox (message_id, exchange, routing_key, body) VALUES (?, ?, ?, ?)", item)


def copy_row(db, row, old_up_to):
    """@param row (id, message) or Unreadable. @returns its id and message_id"""
    if isinstance(row, Unreadable):
        logger.error(row.reason)
        db.execute("INSERT INTO refused VALUES (?, '', '', ?, datetime())", ("row %d" % row.id, row.reason))
        return row.id, None
    row_id, message = row
    insert(db, to_item(message, row_id <= old_up_to))
    return row_id, message["message_id"]


class Copier:
    """Copies new rows of the table into the outbox, in the order of their ids, together with the new position."""

    def __init__(self, table, outbox, now=time.monotonic):
        self.table = table
        self.outbox = outbox
        self.now = now
        # (time, greatest id at that time)
        self.seen = collections.deque()
        self.late_at = 0.0

    def copy(self):
        """Copies a page, unless the outbox is full. @returns whether there may be more at once"""
        if self.outbox.count() >= 2 * PAGE:
            return False
        position, last_message_id, old_up_to = self.outbox.position()
        gaps = self.outbox.gaps() if self.now() >= self.late_at else []
        # Read before the outbox is locked, since DeepSOC's database can take long.
        with self.table.session() as session:
            newest = self.table.newest_id(session)
            is_new_table = self.is_another_table(session, position, last_message_id, newest)
            if is_new_table:
                position, gaps = 0, []
                self.seen.clear()
            late = [row for at in range(0, len(gaps), PAGE) for row in self.table.at(session, gaps[at : at + PAGE])]
            rows = self.table.after(session, position)
        if self.now() >= self.late_at:
            self.late_at = self.now() + LATE_POLL_SECONDS
        is_first = old_up_to is None or is_new_table
        if is_first:
            old_up_to = newest
        settled = self.settled_id(newest)
        with self.outbox.transaction() as db:
            if is_new_table:
                logger.warning("DeepSOC's message table is a new one: it is copied from its first row.")
                db.execute("DELETE FROM gap")
            if is_first:
                db.execute("UPDATE position SET id = 0, message_id = NULL, old_up_to = ?", (old_up_to,))
            for row in late:
                row_id, message_id = copy_row(db, row, old_up_to)
                db.execute("DELETE FROM gap WHERE id = ?", (row_id,))
                logger.warning("Row %d (%s) was committed late, so it is published behind later ones.", row_id, message_id)
            copied = self.copy_page(db, position, rows, settled, old_up_to)
        return copied == PAGE or len(late) > 0

    def copy_page(self, db, position, rows, settled, old_up_to):
        """Copies rows up to a missing id that can still come. @returns how many"""
        copied = 0
        message_id = None
        for row in rows:
            row_id = row.id if isinstance(row, Unreadable) else row[0]
            if row_id > position + 1:
                if row_id > settled:
                    break
                watch(db, range(max(position + 1, row_id - MAX_GAPS), row_id))
            position, message_id = copy_row(db, row, old_up_to)
            copied += 1
        if copied > 0:
            db.execute("UPDATE position SET id = ?, message_id = ?", (position, message_id))
            oldest = "SELECT id FROM gap ORDER BY id DESC LIMIT 1 OFFSET ?"
            db.execute("DELETE FROM gap WHERE id < (%s)" % oldest, (MAX_GAPS - 1,))
        return copied

    def is_another_table(self, session, position, last_message_id, newest):
        if position == 0:
            return False
        if newest < position:
            return True
        found = self.table.message_id_at(session, position)
        return found is not None and last_message_id is not None and found != last_message_id

    def settled_id(self, newest):
        """The greatest id of GAP_SECONDS ago: what is missing below it was rolled back, or belongs to a long transaction."""
        now = self.now()
        self.seen.append((now, newest))
        while len(self.seen) > 1 and self.seen[1][0] <= now - GAP_SECONDS:
            self.seen.popleft()
        at, newest_then = self.seen[0]
        return newest_then if at <= now - GAP_SECONDS else 0


def watch(db, ids):
    """Notes missing ids, to copy their rows late if they come."""
    until = time.time() + LATE_SECONDS
    db.executemany("INSERT OR IGNORE INTO gap VALUES (?, ?)", [(missing, until) for missing in ids])


# RabbitMQ


def tls_options(host):
    """Trusts RABBITMQ_CA_FILE, or what Python trusts; the name in the certificate is always checked."""
    try:
        context = ssl.create_default_context(cafile=os.environ.get("RABBITMQ_CA_FILE") or None)
        if os.environ.get("RABBITMQ_CERT_FILE"):
            context.load_cert_chain(os.environ["RABBITMQ_CERT_FILE"], os.environ.get("RABBITMQ_KEY_FILE") or None)
    except (OSError, ValueError) as error:
        raise BridgeError("broker_tls_failed", "A file cannot be used: %s." % error) from error
    return pika.SSLOptions(context, host)


def to_bridge_error(error):
    """The BridgeError of an error of pika or of a socket."""
    # Some errors of pika have no text of their own.
    text = "%r." % error
    if isinstance(error, pika.exceptions.ChannelClosedByBroker):
        codes = {404: "queue_missing", 403: "broker_access_refused", 406: "message_too_large"}
        code = codes.get(error.reply_code, "broker_unreachable")
        return BridgeError(code, text, is_final=code == "message_too_large")
    if isinstance(error, pika.exceptions.ConnectionBlockedTimeout):
        return BridgeError("broker_blocked", text)
    if isinstance(error, (pika.exceptions.AuthenticationError, pika.exceptions.ProbableAuthenticationError)):
        return BridgeError("broker_auth_failed", text)
    is_refused = isinstance(error, pika.exceptions.ConnectionClosedByBroker) and error.reply_code == 530
    if is_refused or isinstance(error, pika.exceptions.ProbableAccessDeniedError):
        return BridgeError("broker_access_refused", text)
    # pika wraps what the handshake came to, so that only its text names it.
    if "SSL" in text or "certificate" in text.lower():
        return BridgeError("broker_tls_failed", text)
    return BridgeError("broker_unreachable", text)


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


class Sender:
    """A connection to RabbitMQ that is opened when it is needed."""

    def __init__(self):
        self.nodes = [pika.URLParameters(one) for one in split_hosts(broker_url())]
        for node in self.nodes:
            node.heartbeat = 10
            node.socket_timeout = 10
            node.blocked_connection_timeout = 5
            node.client_properties = {"connection_name": "deepsoc-gateway/deepsoc_bridge.py"}
        self.connection = None
        self.channel = None

    def publish(self, item):
        """Returns when RabbitMQ has confirmed the message. @throws BridgeError"""
        try:
            channel = self.open()
        except BridgeError:
            raise
        except Exception as error:
            self.drop()
            fault = to_bridge_error(error)
            # Nothing was sent, so that no message is at fault.
            fault.is_final = False
            raise fault from error
        try:
            properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")
            # The property holds 255 bytes; the body's own message_id wins in any case.
            if len(item.message_id.encode()) <= 255:
                properties.message_id = item.message_id
            with answer_in_time(self.connection):
                channel.basic_publish(item.exchange, item.routing_key, item.body.encode(), properties, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            self.drop()
            raise BridgeError("publish_unroutable", "No queue takes %s." % item.routing_key) from error
        except pika.exceptions.NackError as error:
            # In a cluster, one channel can get a nack for every message after the leader of the queue has died.
            self.drop()
            raise BridgeError("publish_nacked", "RabbitMQ refused the message.") from error
        except Exception as error:
            self.drop()
            raise to_bridge_error(error) from error

    def open(self):
        if self.channel is None or not self.channel.is_open:
            self.drop()
            for node in self.nodes:
                if node.ssl_options is not None:
                    # Read again, so that a renewed certificate is used.
                    node.ssl_options = tls_options(node.host)
            self.connection = pika.BlockingConnection(self.nodes)
            with answer_in_time(self.connection):
                channel = self.connection.channel()
                # DeepSOC's own queue would take and confirm what the gateway's queue misses.
                channel.queue_declare(queue_name(), passive=True)
                self.bind()
                channel.confirm_delivery()
            self.channel = channel
        return self.channel

    def bind(self):
        """Binds the queue as the gateway does, which can have declared it and not bound it yet."""
        try:
            with self.connection.channel() as channel:
                channel.queue_bind(queue_name(), configured_exchange(), binding_key())
        except pika.exceptions.ChannelClosedByBroker as error:
            if error.reply_code != 403:
                raise
            # Not permitted: the gateway itself binds within milliseconds.
            self.connection.sleep(1)

    def keep_alive(self):
        try:
            if self.connection is not None:
                self.connection.process_data_events(0)
        except Exception:
            # Not only pika's own errors: any other one would end the thread of the bridge.
            self.drop()

    def drop(self):
        connection, self.connection, self.channel = self.connection, None, None
        try:
            if connection is not None and connection.is_open:
                connection.close()
        except Exception:
            # It is gone, which was the purpose.
            pass


class Bridge(threading.Thread):
    """Copies and publishes while this process holds the lock of the outbox."""

    def __init__(self, outbox, copier=None, sender=None):
        """@param copier null while only RabbitMQPublisher fills the outbox"""
        super().__init__(name="deepsoc-bridge", daemon=True)
        self.outbox = outbox
        self.copier = copier
        self.sender = sender or Sender()
        self.leadership = None
        self.stopping = threading.Event()
        self.faults = {}
        self.log_again_at = 0.0
        self.attempt = 0
        self.retry_at = 0.0
        # (seq, message_id) of what was published, or refused for a reason, and could not be removed from the outbox yet.
        self.done = {}

    def run(self):
        silence_pika(self.name)
        while not self.stopping.is_set():
            is_busy = False
            for step in (self.lead, self.copy, self.send):
                is_busy = self.attempt_step(step) or is_busy
                if self.leadership is None:
                    break
            if not is_busy:
                self.sender.keep_alive()
                self.stopping.wait(POLL_SECONDS)
        self.sender.drop()
        if self.leadership is not None:
            self.leadership.close()

    def attempt_step(self, step):
        """Never raises: a fault is logged, and the step is attempted again. @returns whether it goes on at once"""
        name = step.__name__
        try:
            is_busy = step()
        except Exception as error:
            usual = {"lead": "outbox_unwritable", "copy": "table_unreadable", "send": "broker_unreachable"}[name]
            fault = error if isinstance(error, BridgeError) else BridgeError(usual, "%s: %s." % (type(error).__name__, error))
            if self.faults.get(name) != fault.code or time.monotonic() >= self.log_again_at:
                logger.error("%s Messages wait until it is corrected.", fault)
                self.log_again_at = time.monotonic() + FAULT_LOG_SECONDS
            self.faults[name] = fault.code
            return False
        # A step that only waits for its next attempt has not recovered.
        if is_busy is not None and self.faults.pop(name, None) is not None:
            logger.info("The step %r works again.", name)
        return bool(is_busy)

    def lead(self):
        if self.leadership is None:
            self.leadership = take_lock(self.outbox.path + ".lock")
            if self.leadership is not None:
                logger.info("This process publishes DeepSOC's messages.")
        return False

    def copy(self):
        return self.copier.copy() if self.copier is not None else False

    def send(self):
        """Publishes some messages. @returns whether there were any; null while it waits for the next attempt"""
        if time.monotonic() < self.retry_at:
            return None
        try:
            try:
                count = self.publish_some()
            finally:
                self.remove_done()
        except Exception:
            self.attempt += 1
            self.retry_at = time.monotonic() + min(5.0, 0.1 * 2 ** min(self.attempt, 10)) * random.uniform(0.5, 1)
            raise
        self.attempt = 0
        return count > 0

    def publish_some(self):
        """@returns how many"""
        items = self.outbox.first(100, after=max((seq for seq, _ in self.done), default=0))
        for seq, item in items:
            reason = None
            try:
                self.sender.publish(item)
            except BridgeError as error:
                if not error.is_final:
                    raise
                logger.error("Message %s was refused: %s", item.message_id, error)
                reason = str(error)
            self.done[seq, item.message_id] = reason
        return len(items)

    def remove_done(self):
        if self.done:
            self.outbox.remove(self.done)
            self.done.clear()

    def stop(self):
        """Ends the thread, so that another process takes over. DeepSOC need not call it."""
        self.stopping.set()
        if self.is_alive():
            self.join()


def take_lock(path):
    """Returns the connection that holds the lock, until it is closed or the process ends; null if another one has it."""
    create_private(path)
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("BEGIN EXCLUSIVE")
        return db
    except sqlite3.Error as error:
        db.close()
        if "locked" in str(error):
            return None
        raise BridgeError("outbox_unwritable", "%s: %s." % (path, error)) from error


def silence_pika(thread_name):
    """Drops pika's own log lines of this thread: several for each attempt, and the bridge logs the cause."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "pika":
            logging.getLogger(name).addFilter(lambda record: record.threadName != thread_name)


# What DeepSOC calls

_bridge = None
_guard = threading.Lock()


def load_settings():
    # As DeepSOC's main.py does: its file wins over the environment.
    load_dotenv(find_dotenv(usecwd=True), override=True)


def start():
    """Publishes the rows of the message table from now on, and replaces DeepSOC's publisher. Repeated calls do nothing.

    @throws BridgeError config_invalid, outbox_not_ours, outbox_unwritable
    """
    load_settings()
    bridge = start_thread()
    with _guard:
        if bridge.copier is None:
            bridge.copier = Copier(MessageTable(), bridge.outbox)
    import app.utils.mq_utils as original

    replaced = original.RabbitMQPublisher
    for module in list(sys.modules.values()):
        # Modules that were imported before have it under a name of their own.
        if getattr(module, "__dict__", {}).get("RabbitMQPublisher") is replaced:
            module.RabbitMQPublisher = RabbitMQPublisher
    return bridge


def start_thread():
    global _bridge
    with _guard:
        if _bridge is None:
            outbox = Outbox(outbox_path())
            # A wrong file or folder ends the start, and not a message later on.
            outbox.count()
            warn_if_shared(*(outbox.path + suffix for suffix in ("", "-wal", "-shm", ".lock")))
            bridge = Bridge(outbox)
            bridge.start()
            _bridge = bridge
        return _bridge


class RabbitMQPublisher:
    """A replacement of DeepSOC's class of this name that waits for the outbox only, and never for RabbitMQ.

    Without start(), its calls are all that is published: import it instead of DeepSOC's. The arguments of the connection
    are those of the environment; others are accepted and not used.
    """

    def __init__(self, host=None, port=None, username=None, password=None, virtual_host=None, max_retries=None, retry_delay=None):
        self.bridge = start_thread()

    def ensure_connection(self):
        """Does nothing: the connection is made when a message waits."""

    def publish_message(
        self,
        message_body,
        routing_key,
        exchange_name=None,
        exchange_type="topic",
        content_type="application/json",
        persistent=True,
    ):
        """Returns when the message is durable in the outbox.

        After start(), a row of the message table is not added, since it is published from the table, in its order.
        @throws BridgeError invalid_message, config_invalid, outbox_full, outbox_unwritable
        """
        configured = configured_exchange()
        if exchange_name not in (None, configured):
            raise BridgeError("config_invalid", "exchange_name is %s, RABBITMQ_EXCHANGE %s." % (exchange_name, configured))
        if len(routing_key.encode()) > 255:
            raise BridgeError("invalid_message", "routing_key has more than 255 bytes.")
        message_id = str(uuid.uuid4())
        if isinstance(message_body, dict):
            if self.bridge.copier is not None and message_body.get("id") is not None and message_body.get("message_id"):
                return
            message_body = {**message_body, "message_id": message_body.get("message_id") or message_id}
            message_id = message_body["message_id"]
            message_body = to_json(message_body)
        elif not isinstance(message_body, str):
            raise BridgeError("invalid_message", "message_body is of type %s." % type(message_body).__name__)
        self.bridge.outbox.add(Item(message_id, configured, routing_key, message_body))

    def close(self):
        """Does nothing: what waits is published by this process or the next one."""


# The script


def export(table, path, report):
    """Appends all rows behind those that FILE has, as JSON lines. @returns how many rows could not be read"""
    unreadable = count = 0
    with contextlib.ExitStack() as stack:
        if path == "-":
            out, position = sys.stdout.buffer, 0
        else:
            out = stack.enter_context(open(path, "a+b", opener=open_private))
            warn_if_shared(path)
            position = resume(out)
        while True:
            with table.session() as session:
                rows = table.after(session, position, 4 * PAGE)
            for row in rows:
                if isinstance(row, Unreadable):
                    report(row.reason)
                    unreadable += 1
                    position = row.id
                    continue
                position, message = row
                out.write(to_json(message).encode() + b"\n")
                count += 1
            out.flush()
            if not rows:
                break
        if path != "-":
            os.fsync(out.fileno())
    report("%d messages written, the last one has the id %d." % (count, position))
    return unreadable


def resume(out):
    """Cuts off an incomplete last line. @returns the id of the last message, 0 if there is none"""
    end = out.seek(0, os.SEEK_END)
    tail = b""
    while end > 0 and tail.rstrip(b"\n").count(b"\n") < 2:
        step = min(end, 65536)
        end = out.seek(end - step)
        tail = out.read(step) + tail
    whole = tail[: tail.rfind(b"\n") + 1]
    out.truncate(end + len(whole))
    lines = whole.splitlines()
    return json.loads(lines[-1])["id"] if lines else 0


def status(table, outbox):
    """What an operator checks. @returns a dict for JSON"""
    with outbox.transaction() as db, table.session() as session:
        position = db.execute("SELECT id FROM position").fetchone()[0]
        count = select(func.count()).select_from(table.message).where(table.message.id > position)
        lock = take_lock(outbox.path + ".lock")
        if lock is not None:
            lock.close()
        return {
            "running": lock is None,
            "newest_row": table.newest_id(session),
            "copied_up_to": position,
            "rows_to_copy": session.execute(count).scalar(),
            "messages_to_publish": db.execute("SELECT count(*) FROM outbox").fetchone()[0],
            "missing_ids": db.execute("SELECT count(*) FROM gap").fetchone()[0],
            "refused": db.execute("SELECT count(*) FROM refused").fetchone()[0],
        }


def main():
    parser = argparse.ArgumentParser(description="Publishes DeepSOC's messages to deepsoc-gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="print how far the bridge is")
    exporting = commands.add_parser("export", help="write all messages as JSON lines, in order")
    exporting.add_argument("file", help="continued if it is there; - is stdout")
    options = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    load_settings()
    try:
        table = MessageTable()
        if options.command == "status":
            print(json.dumps(status(table, Outbox(outbox_path())), indent=2))
            return 0
        return 1 if export(table, options.file, lambda text: print(text, file=sys.stderr)) else 0
    except BridgeError as error:
        print(error, file=sys.stderr)
        return 2 if error.code == "config_invalid" else 1


if __name__ == "__main__":
    sys.exit(main())
