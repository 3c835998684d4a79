"""Tests of integrations/deepsoc/deepsoc_bridge.py that need no RabbitMQ. With DEEPSOC_DIR they use DeepSOC's real models."""

import json
import logging
import os
import sqlite3
import sys
import tempfile
import threading
import time
import types
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "support", "deepsoc"))

from deepsoc_model import Message, User, metadata  # noqa: E402

import deepsoc_bridge as bridge  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

logging.getLogger("deepsoc_bridge").addHandler(logging.NullHandler())
logging.getLogger("deepsoc_bridge").propagate = False

KEPT = ("DATABASE_URL", "BRIDGE_OUTBOX", "RABBITMQ_URL", "RABBITMQ_EXCHANGE", "RABBITMQ_QUEUE")
ROLES = (
    ("system", "llm_request"),
    ("_captain", "llm_response"),
    ("_manager", "action_created"),
    ("_operator", "command_created"),
    ("_executor", "command_result"),
    ("_expert", "event_summary_generated"),
    ("system", "system_notification"),
)


def until(condition, what):
    while not condition():
        time.sleep(0.005)
    return what


class FakeSender:
    """RabbitMQ as the bridge sees it: `fault` returns the error of a message, or null if it is confirmed."""

    def __init__(self):
        self.taken = []
        self.fault = lambda item: None

    def publish(self, item):
        error = self.fault(item)
        if error is not None:
            raise error
        self.taken.append(item)

    def keep_alive(self):
        pass

    def drop(self):
        pass


class BridgeTest(unittest.TestCase):
    def setUp(self):
        self.kept = {name: os.environ.pop(name, None) for name in KEPT}
        self.folder = tempfile.TemporaryDirectory(prefix="gateway-bridge-")
        self.path = os.path.join(self.folder.name, "bridge.db")
        os.environ["DATABASE_URL"] = "sqlite:///" + os.path.join(self.folder.name, "deepsoc.db")
        os.environ["BRIDGE_OUTBOX"] = self.path
        # Port 1: there is no RabbitMQ.
        os.environ["RABBITMQ_URL"] = "amqp://guest:guest@127.0.0.1:1"
        self.cwd = os.getcwd()
        os.chdir(self.folder.name)
        self.engine = create_engine(os.environ["DATABASE_URL"])
        metadata.create_all(self.engine)
        self.clock = 1000.0
        self.sender = FakeSender()
        self.restart()

    def restart(self):
        """A process of DeepSOC that starts."""
        self.outbox = bridge.Outbox(self.path)
        self.table = bridge.MessageTable()
        self.copier = bridge.Copier(self.table, self.outbox, now=lambda: self.clock)
        self.bridge = bridge.Bridge(self.outbox, self.copier, self.sender)

    def tearDown(self):
        if bridge._bridge is not None:
            bridge._bridge.stop()
            bridge._bridge = None
        self.bridge.stop()
        self.outbox.close()
        self.table.engine.dispose()
        self.engine.dispose()
        os.chdir(self.cwd)
        self.folder.cleanup()
        for name, value in self.kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def write(self, *rows, **fields):
        """Commits one row for each dict, or one with these fields. @returns their to_dict()"""
        with Session(self.engine) as session:
            made = [Message(**{"event_id": "e-1", **row}) for row in rows or [fields]]
            session.add_all(made)
            session.commit()
            return [row.to_dict() for row in made]

    def work(self):
        """What the thread of the bridge does, until nothing is left to do."""
        while self.bridge.attempt_step(self.bridge.copy) | self.bridge.attempt_step(self.bridge.send):
            pass

    def bodies(self):
        return [json.loads(item.body) for item in self.sender.taken]

    def ids(self):
        return [body["id"] for body in self.bodies()]

    def rows_of(self, query):
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def test_rows_from_before_the_bridge_go_to_the_gateways_queue_alone_also_after_a_restart(self):
        self.write(*[{"message_type": "note"} for _ in range(bridge.PAGE + 2)])
        self.bridge.copy()
        self.restart()
        self.write(message_type="note")
        self.work()
        self.assertEqual(self.ids(), list(range(1, bridge.PAGE + 4)))
        exchanges = [item.exchange for item in self.sender.taken]
        self.assertEqual(exchanges, [""] * (bridge.PAGE + 2) + ["deepsoc_notifications_exchange"])
        self.assertEqual({item.routing_key for item in self.sender.taken[:-1]}, {"frontend_notifications_queue"})

    def test_rows_of_every_role_are_published_in_the_order_of_their_ids_with_the_body_of_deepsoc_itself(self):
        self.work()
        rows = [self.write(message_from=sender, message_type=kind, message_content={"data": "内容"})[0] for sender, kind in ROLES]
        self.work()
        self.assertEqual([item.body for item in self.sender.taken], [json.dumps(row) for row in rows])
        self.assertEqual(
            [(item.exchange, item.routing_key) for item in self.sender.taken],
            [("deepsoc_notifications_exchange", "notifications.frontend.e-1.%s.%s" % role) for role in ROLES],
        )
        self.assertEqual([item.message_id for item in self.sender.taken], [row["message_id"] for row in rows])
        self.work()
        self.assertEqual(len(self.sender.taken), len(ROLES))

    def test_a_users_line_goes_to_the_gateways_queue_alone_with_the_users_names(self):
        with Session(self.engine) as session:
            session.add(User(user_id="u-1", username="li", nickname="小李", email="li@example.org", password_hash="-"))
            session.commit()
        os.environ["RABBITMQ_QUEUE"] = "gateway.queue"
        self.work()
        self.write(user_id="u-1", message_from="user", message_type="user_message", message_content={"type": "text"})
        self.write(user_id="u-1", message_from="u-1", message_type="chat", message_category="engineer_chat")
        self.work()
        line, chat = self.sender.taken
        self.assertEqual((line.exchange, line.routing_key), ("", "gateway.queue"))
        self.assertEqual(json.loads(line.body)["user_nickname"], "小李")
        self.assertEqual(json.loads(line.body)["user_username"], "li")
        # DeepSOC publishes it by itself as well, without names.
        self.assertEqual(chat.exchange, "deepsoc_notifications_exchange")
        self.assertNotIn("user_nickname", json.loads(chat.body))

    def test_a_row_without_an_event_is_published_in_the_general_one(self):
        self.write({"event_id": None, "message_type": "note"}, {"event_id": "", "message_type": "note"})
        self.work()
        self.assertEqual([body["event_id"] for body in self.bodies()], ["general", "general"])

    def test_values_that_json_does_not_have_become_null(self):
        self.write(message_type="note", message_content={"data": [1.5, float("nan"), {"x": float("-inf")}]})
        self.work()
        self.assertEqual(self.bodies()[0]["message_content"], {"data": [1.5, None, {"x": None}]})

    def test_a_row_that_is_committed_out_of_the_order_of_ids_is_published_in_its_place(self):
        self.write({"id": 1, "message_type": "note"}, {"id": 3, "message_type": "note"})
        self.work()
        self.assertEqual(self.ids(), [1])
        self.clock += bridge.GAP_SECONDS / 2
        self.write(id=2, message_type="note")
        self.work()
        self.assertEqual(self.ids(), [1, 2, 3])

    def test_an_id_that_was_rolled_back_delays_the_next_row_by_the_time_for_gaps_at_most(self):
        self.write({"id": 1, "message_type": "note"}, {"id": 5, "message_type": "note"})
        self.work()
        self.clock += bridge.GAP_SECONDS - 0.01
        self.work()
        self.assertEqual(self.ids(), [1])
        self.clock += 0.01
        self.work()
        self.assertEqual(self.ids(), [1, 5])

    def test_a_row_that_is_committed_after_its_place_was_passed_is_published_late_and_once(self):
        self.write({"id": 1, "message_type": "note"}, {"id": 4, "message_type": "note"})
        self.work()
        self.clock += bridge.GAP_SECONDS
        self.work()
        self.restart()
        self.write(id=3, message_type="note")
        self.work()
        self.clock += bridge.LATE_POLL_SECONDS
        self.work()
        self.clock += bridge.LATE_POLL_SECONDS
        self.work()
        self.assertEqual(self.ids(), [1, 4, 3])
        self.assertEqual(self.rows_of("SELECT id FROM gap"), [(2,)])

    def test_gaps_of_old_rows_delay_the_first_start_once_together(self):
        self.write(*[{"id": 3 * n, "message_type": "note"} for n in range(1, 3 * bridge.PAGE)])
        self.work()
        self.assertEqual(self.ids(), [])
        self.clock += bridge.GAP_SECONDS
        self.work()
        self.assertEqual(self.ids(), [3 * n for n in range(1, 3 * bridge.PAGE)])

    def test_of_missing_ids_the_greatest_are_watched(self):
        self.write(*[{"id": n, "message_type": "note"} for n in (1, bridge.MAX_GAPS + 10, bridge.MAX_GAPS + 20)])
        self.work()
        self.clock += bridge.GAP_SECONDS
        self.work()
        self.assertEqual(self.ids(), [1, bridge.MAX_GAPS + 10, bridge.MAX_GAPS + 20])
        self.assertEqual(
            self.rows_of("SELECT count(*), min(id), max(id) FROM gap"), [(bridge.MAX_GAPS, 19, bridge.MAX_GAPS + 19)]
        )

    def test_a_mysql_connection_has_timeouts(self):
        os.environ["DATABASE_URL"] = "mysql+pymysql://u:p@127.0.0.1:1/deepsoc"
        self.assertIn("read_timeout", self.connect_arguments())
        os.environ["DATABASE_URL"] = "sqlite:///" + os.path.join(self.folder.name, "deepsoc.db")
        self.assertEqual(self.connect_arguments(), {})

    def connect_arguments(self):
        with unittest.mock.patch.object(bridge, "create_engine") as create:
            bridge.MessageTable()
        return create.call_args.kwargs["connect_args"]

    def test_while_rabbitmq_is_away_the_outbox_stays_small_and_afterwards_every_row_is_published_once_in_order(self):
        self.sender.fault = lambda item: bridge.BridgeError("broker_unreachable", "Away.")
        count = 5 * bridge.PAGE
        self.write(*[{"message_type": "note", "event_id": "e-%d" % (n % 3)} for n in range(count)])
        for _ in range(10):
            self.work()
        self.assertEqual(self.outbox.count(), 2 * bridge.PAGE)
        self.assertEqual(self.bridge.faults, {"send": "broker_unreachable"})
        self.restart()
        self.sender.fault = lambda item: None
        self.work()
        self.assertEqual(self.ids(), list(range(1, count + 1)))
        self.assertEqual(self.outbox.count(), 0)

    def test_what_a_process_that_was_killed_had_published_is_published_again_with_an_equal_body(self):
        rows = self.write(*[{"message_type": "note"} for _ in range(5)])
        self.outbox.remove = lambda done: None
        self.bridge.copy()
        self.bridge.send()
        with Session(self.engine) as session:
            # A body that was read again would differ now.
            session.execute(text("UPDATE messages SET updated_at = '2030-01-01 00:00:00.000000'"))
            session.commit()
        self.restart()
        self.work()
        expected = [json.dumps(row) for row in rows]
        self.assertEqual([item.body for item in self.sender.taken], expected + expected)

    def test_one_process_publishes_and_another_one_takes_over_when_it_ends(self):
        self.bridge.start()
        until(lambda: self.bridge.leadership is not None, "a leader")
        other = bridge.Bridge(bridge.Outbox(self.path), bridge.Copier(bridge.MessageTable(), bridge.Outbox(self.path)), self.sender)
        self.assertFalse(other.lead())
        self.assertIsNone(other.leadership)
        other.start()
        self.write(message_type="note")
        until(lambda: len(self.sender.taken) == 1, "the first message")
        self.assertIsNone(other.leadership)
        self.bridge.stop()
        self.write(message_type="note")
        until(lambda: len(self.sender.taken) == 2, "the second message")
        self.assertIsNotNone(other.leadership)
        other.stop()
        self.assertEqual(self.ids(), [1, 2])

    def test_a_table_that_was_recreated_is_copied_from_its_first_row(self):
        self.write(*[{"message_type": "note"} for _ in range(3)])
        self.work()
        metadata.drop_all(self.engine)
        metadata.create_all(self.engine)
        self.write(message_type="other")
        self.work()
        self.assertEqual(self.ids(), [1, 2, 3, 1])
        self.write(*[{"message_type": "other"} for _ in range(4)])
        self.work()
        self.assertEqual(self.ids(), [1, 2, 3, 1, 2, 3, 4, 5])
        metadata.drop_all(self.engine)
        metadata.create_all(self.engine)
        # It has grown beyond the old position before the bridge sees it.
        self.write(*[{"message_type": "third"} for _ in range(6)])
        self.work()
        self.assertEqual([body["id"] for body in self.bodies() if body["message_type"] == "third"], [1, 2, 3, 4, 5, 6])

    def test_rows_that_were_deleted_do_not_stop_the_others(self):
        self.write(*[{"message_type": "note"} for _ in range(3)])
        self.work()
        with Session(self.engine) as session:
            session.execute(text("DELETE FROM messages WHERE id = 3"))
            session.commit()
        self.write(id=4, message_type="note")
        self.work()
        self.assertEqual(self.ids(), [1, 2, 3, 4])

    def test_a_row_that_cannot_be_decoded_is_reported_and_the_others_are_published(self):
        self.write(*[{"message_type": "note"} for _ in range(3)])
        with Session(self.engine) as session:
            session.execute(text("UPDATE messages SET message_content = '{' WHERE id = 2"))
            session.commit()
        self.work()
        self.assertEqual(self.ids(), [1, 3])
        ((message_id, reason),) = self.rows_of("SELECT message_id, reason FROM refused")
        self.assertEqual(message_id, "row 2")
        self.assertIn("row_unreadable", reason)

    def test_while_the_outbox_cannot_be_written_each_message_is_published_once_and_all_get_their_turn(self):
        count = 250
        self.write(*[{"message_type": "note"} for _ in range(count)])
        self.bridge.copy()
        too_large = bridge.BridgeError("message_too_large", "Too large.", is_final=True)
        refused = []

        def fault(item):
            if json.loads(item.body)["id"] == 2:
                refused.append(2)
                return too_large

        self.sender.fault = fault
        # As a full disk: the file can be read, and no row can be deleted.
        db = sqlite3.connect(self.path)
        db.execute("CREATE TRIGGER full BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
        for _ in range(5):
            self.bridge.attempt_step(self.bridge.send)
            self.assertEqual(self.bridge.faults, {"send": "outbox_unwritable"})
            self.assertGreater(self.bridge.retry_at, 0.0)
            self.bridge.retry_at = 0.0
        self.assertEqual(self.ids(), [n for n in range(1, count + 1) if n != 2])
        self.assertEqual(self.outbox.count(), count)
        db.execute("DROP TRIGGER full")
        db.close()
        self.work()
        self.assertEqual((self.outbox.count(), len(self.sender.taken), refused), (0, count - 1, [2]))
        self.assertEqual(self.rows_of("SELECT count(*) FROM refused"), [(1,)])

    def test_a_message_that_rabbitmq_refuses_for_good_is_set_apart_and_the_others_are_published(self):
        self.write(*[{"message_type": "note"} for _ in range(3)])
        large = bridge.BridgeError("message_too_large", "Too large.", is_final=True)
        self.sender.fault = lambda item: large if json.loads(item.body)["id"] == 2 else None
        self.work()
        self.assertEqual(self.ids(), [1, 3])
        ((body, reason),) = self.rows_of("SELECT body, reason FROM refused")
        self.assertEqual(json.loads(body)["id"], 2)
        self.assertIn("message_too_large", reason)

    def test_a_message_that_is_refused_for_now_keeps_its_place(self):
        self.write(*[{"message_type": "note"} for _ in range(3)])
        nack = bridge.BridgeError("publish_nacked", "Full.")
        self.sender.fault = lambda item: nack if json.loads(item.body)["id"] == 2 else None
        self.work()
        self.assertEqual(self.ids(), [1])
        self.sender.fault = lambda item: None
        self.bridge.retry_at = 0
        self.work()
        self.assertEqual(self.ids(), [1, 2, 3])

    def test_a_database_that_is_away_stops_nothing_that_is_copied_already(self):
        self.write(*[{"message_type": "note"} for _ in range(3)])
        self.bridge.copy()
        self.table.session = lambda: (_ for _ in ()).throw(ConnectionError("away"))
        self.assertFalse(self.bridge.attempt_step(self.bridge.copy))
        self.assertEqual(self.bridge.faults, {"copy": "table_unreadable"})
        self.bridge.attempt_step(self.bridge.send)
        self.assertEqual(self.ids(), [1, 2, 3])
        del self.table.session
        self.work()
        self.assertEqual(self.bridge.faults, {})

    def test_an_outbox_that_was_removed_is_made_again_and_no_row_is_missing(self):
        self.write(message_type="note")
        self.work()
        for end in ("", "-wal", "-shm"):
            if os.path.exists(self.path + end):
                os.unlink(self.path + end)
        self.write(message_type="note")
        self.work()
        # The first one again, which the gateway stores once.
        self.assertEqual(self.ids(), [1, 1, 2])
        self.assertEqual(self.sender.taken[0].body, self.sender.taken[1].body)

    def test_its_files_are_for_their_owner_only_whatever_the_umask_and_one_that_is_not_is_named(self):
        self.write(message_type="note")
        os.chmod(self.folder.name, 0o755)
        before = os.umask(0)
        try:
            self.bridge.attempt_step(self.bridge.lead)
            self.work()
            export = os.path.join(self.folder.name, "messages.jsonl")
            bridge.export(self.table, export, lambda text: None)
            del os.environ["BRIDGE_OUTBOX"]
            # The folder of Flask is that of the stand-in for DeepSOC.
            with unittest.mock.patch.object(bridge, "root_folder", lambda: self.folder.name):
                folder = os.path.dirname(bridge.outbox_path())
        finally:
            os.umask(before)
        files = [self.path + end for end in ("", "-wal", "-shm", ".lock")] + [export]
        self.assertEqual({os.stat(file).st_mode & 0o777 for file in files}, {0o600})
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        with self.assertNoLogs("deepsoc_bridge"):
            bridge.warn_if_shared(*files)
        os.chmod(self.path, 0o640)
        os.environ["BRIDGE_OUTBOX"] = self.path
        with self.assertLogs("deepsoc_bridge", "WARNING") as logged:
            bridge.start_thread()
        self.assertEqual([record.getMessage().split("chmod go= ")[1] for record in logged.records], [self.path])

    def test_a_file_of_something_else_is_left_alone(self):
        text_file, database = (os.path.join(self.folder.name, name) for name in ("text", "database"))
        with open(text_file, "w", encoding="utf-8") as file:
            file.write("notes of the captain " * 100)
        db = sqlite3.connect(database)
        db.executescript("CREATE TABLE mine (n); PRAGMA user_version = 1")
        db.close()
        for path in (text_file, database):
            with open(path, "rb") as file:
                before = file.read()
            with self.assertRaises(bridge.BridgeError):
                bridge.Outbox(path).count()
            with open(path, "rb") as file:
                self.assertEqual(file.read(), before)

    def test_one_line_starts_the_bridge_once_and_replaces_deepsocs_publisher_everywhere(self):
        import app.utils.mq_utils as original

        before = original.RabbitMQPublisher
        importer = types.ModuleType("importer")
        importer.RabbitMQPublisher = before
        sys.modules["importer"] = importer
        try:
            started = bridge.start()
            self.assertIs(bridge.start(), started)
            self.assertIs(original.RabbitMQPublisher, bridge.RabbitMQPublisher)
            self.assertIs(importer.RabbitMQPublisher, bridge.RabbitMQPublisher)
            (row,) = self.write(message_from="_captain", message_type="llm_response")
            publisher = importer.RabbitMQPublisher()
            publisher.publish_message(message_body=row, routing_key="notifications.frontend.e-1._captain.llm_response")
            publisher.publish_message({"event_id": "e-1", "message_type": "status"}, "notifications.frontend.e-1.status")
            publisher.close()
            until(lambda: self.outbox.position()[0] == row["id"], "a copy of the row")
            # The row is published from the table alone.
            self.assertEqual(self.outbox.count(), 2)
            until(lambda: "send" in started.faults, "a fault")
            self.assertEqual(started.faults["send"], "broker_unreachable")
            kinds = {json.loads(item.body)["message_type"] for _, item in self.outbox.first(10)}
            self.assertEqual(kinds, {"llm_response", "status"})
        finally:
            original.RabbitMQPublisher = before
            del sys.modules["importer"]

    def test_the_publisher_alone_keeps_its_messages_in_the_outbox_in_order(self):
        publisher = bridge.RabbitMQPublisher(host="other", max_retries=1)
        publisher.ensure_connection()
        (row,) = self.write(message_from="_captain", message_type="llm_response")
        publisher.publish_message(message_body=row, routing_key="notifications.frontend.e-1._captain.llm_response")
        publisher.publish_message('{"event_id": "e-1"}', "notifications.frontend.e-1", "deepsoc_notifications_exchange")
        publisher.publish_message({"event_id": "e-1", "n": float("nan")}, "notifications.frontend.e-1")
        publisher.close()
        first, second, third = [item for _, item in self.outbox.first(10)]
        self.assertEqual(first.body, json.dumps(row))
        self.assertEqual(first.message_id, row["message_id"])
        self.assertEqual(first.routing_key, "notifications.frontend.e-1._captain.llm_response")
        self.assertEqual(second.body, '{"event_id": "e-1"}')
        # So that it is stored once if it is published again.
        self.assertEqual(json.loads(third.body), {"event_id": "e-1", "n": None, "message_id": third.message_id})
        for arguments in ((b"bytes", "key"), ({}, "k" * 256), ({}, "key", "another_exchange")):
            with self.assertRaises(bridge.BridgeError):
                publisher.publish_message(*arguments)

    def test_threads_that_publish_at_once_lose_nothing(self):
        publisher = bridge.RabbitMQPublisher()

        def publish(name):
            for n in range(20):
                publisher.publish_message({"event_id": name, "message_id": "%s-%d" % (name, n)}, "notifications.frontend.x")

        threads = [threading.Thread(target=publish, args=("t%d" % n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = [item.message_id for _, item in self.outbox.first(100)]
        for name in ("t0", "t1", "t2", "t3"):
            self.assertEqual([id for id in taken if id.startswith(name)], ["%s-%d" % (name, n) for n in range(20)])

    def test_an_export_holds_what_the_bridge_publishes_and_is_continued_where_it_ended(self):
        self.write(*[{"message_type": "note", "message_content": {"data": "内容" * 100}} for _ in range(30)])
        self.write({"event_id": None, "message_type": "note"})
        path = os.path.join(self.folder.name, "messages.jsonl")
        reports = []
        self.assertEqual(bridge.export(self.table, path, reports.append), 0)
        self.work()
        expected = [item.body for item in self.sender.taken]
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read().splitlines(), expected)
        # As a process leaves it that was killed.
        for size in (os.path.getsize(path) - 10, 100, 0):
            os.truncate(path, size)
            bridge.export(self.table, path, reports.append)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read().splitlines(), expected)
        self.write(message_type="note")
        bridge.export(self.table, path, reports.append)
        self.assertEqual(reports[-1], "1 messages written, the last one has the id 32.")

    def test_the_status_counts_what_is_left_to_do(self):
        self.write({"id": 1, "message_type": "note"}, {"id": 2, "message_type": "note"}, {"id": 9, "message_type": "note"})
        self.bridge.copy()
        expected = {"running": False, "newest_row": 9, "copied_up_to": 2, "rows_to_copy": 1, "messages_to_publish": 2}
        self.assertEqual(bridge.status(self.table, self.outbox), {**expected, "missing_ids": 0, "refused": 0})

    def test_a_message_is_sent_persistent_mandatory_and_confirmed_once_the_gateways_queue_is_there(self):
        calls = []
        connection = unittest.mock.MagicMock()
        channel = connection.channel.return_value
        bound = channel.__enter__.return_value.queue_bind
        bound.side_effect = lambda *a, **k: calls.append(("queue_bind", a, k))
        for name in ("queue_declare", "confirm_delivery", "basic_publish"):
            getattr(channel, name).side_effect = lambda *a, name=name, **k: calls.append((name, a, k))
        sender = bridge.Sender()
        with unittest.mock.patch.object(bridge.pika, "BlockingConnection", return_value=connection):
            for message_id in ("m-1", "é" * 200):
                sender.publish(bridge.Item(message_id, "exchange", "key", '{"n": 1}'))
        declared, bound, confirmed, first, second = calls
        self.assertEqual(declared, ("queue_declare", ("frontend_notifications_queue",), {"passive": True}))
        names = ("frontend_notifications_queue", "deepsoc_notifications_exchange", "notifications.frontend.#")
        self.assertEqual(bound, ("queue_bind", names, {}))
        self.assertEqual(confirmed[0], "confirm_delivery")
        self.assertEqual(first[1][:3], ("exchange", "key", b'{"n": 1}'))
        self.assertEqual(first[2], {"mandatory": True})
        self.assertEqual((first[1][3].delivery_mode, first[1][3].message_id), (2, "m-1"))
        # The property holds 255 bytes.
        self.assertIsNone(second[1][3].message_id)

    def test_each_error_of_rabbitmq_has_a_code_and_only_a_message_that_is_too_large_is_given_up(self):
        errors = bridge.pika.exceptions
        cases = (
            (errors.ChannelClosedByBroker(406, "PRECONDITION_FAILED"), "message_too_large"),
            (errors.ChannelClosedByBroker(404, "NOT_FOUND"), "queue_missing"),
            (errors.ChannelClosedByBroker(403, "ACCESS_REFUSED"), "broker_access_refused"),
            (errors.ConnectionBlockedTimeout(), "broker_blocked"),
            (errors.ProbableAuthenticationError(), "broker_auth_failed"),
            (errors.ConnectionClosedByBroker(530, "vhost not found"), "broker_access_refused"),
            (errors.UnroutableError([]), "publish_unroutable"),
            (errors.NackError([]), "publish_nacked"),
            (errors.StreamLostError("certificate verify failed"), "broker_tls_failed"),
            (errors.AMQPConnectionError(), "broker_unreachable"),
            (ConnectionResetError(), "broker_unreachable"),
            # pika lets it through for a host name.
            (UnicodeError(), "broker_unreachable"),
        )
        for at in ("queue_declare", "basic_publish"):
            for error, code in cases:
                sender = bridge.Sender()
                connection = unittest.mock.MagicMock()
                getattr(connection.channel.return_value, at).side_effect = error
                with unittest.mock.patch.object(bridge.pika, "BlockingConnection", return_value=connection):
                    if at == "queue_declare" and isinstance(error, (errors.UnroutableError, errors.NackError)):
                        continue
                    with self.assertRaises(bridge.BridgeError) as raised:
                        sender.publish(bridge.Item("m", "exchange", "key", "{}"))
                self.assertEqual(raised.exception.code, code)
                self.assertEqual(raised.exception.is_final, at == "basic_publish" and code == "message_too_large", code)
                # The next attempt opens another connection.
                self.assertIsNone(sender.channel)

    def test_no_error_of_an_idle_connection_gets_out_of_the_sender(self):
        sender = bridge.Sender()
        sender.connection = connection = unittest.mock.MagicMock()
        connection.process_data_events.side_effect = connection.close.side_effect = AssertionError("pika")
        raised = None
        try:
            sender.keep_alive()
        except AssertionError as error:
            raised = error
        self.assertIsNone(raised)
        self.assertIsNone(sender.connection)

    def test_the_nodes_of_a_cluster_are_tried_in_turn(self):
        os.environ["RABBITMQ_URL"] = "amqps://u:a%2Cb@mq1,mq2:5673/v?socket_timeout=3"
        with unittest.mock.patch.object(bridge.pika, "BlockingConnection") as opened:
            bridge.Sender().publish(bridge.Item("m", "exchange", "key", "{}"))
        (nodes,) = opened.call_args.args
        self.assertEqual([(node.host, node.port, node.virtual_host) for node in nodes], [("mq1", 5671, "v"), ("mq2", 5673, "v")])
        for node in nodes:
            self.assertEqual((node.credentials.password, node.heartbeat), ("a,b", 10))
            self.assertEqual(node.ssl_options.server_hostname, node.host)

    def test_the_host_can_be_a_list_with_one_port(self):
        del os.environ["RABBITMQ_URL"]
        settings = {"HOST": "mq1, mq2", "PORT": "5673", "USER": "", "PASSWORD": "p@", "VHOST": "/v"}
        with unittest.mock.patch.dict(os.environ, {"RABBITMQ_" + name: value for name, value in settings.items()}):
            urls = bridge.split_hosts(bridge.broker_url())
        self.assertEqual(urls, ["amqp://guest:p%40@mq1:5673/%2Fv", "amqp://guest:p%40@mq2:5673/%2Fv"])

    def test_a_user_who_may_not_bind_the_queue_waits_a_second_for_the_gateway_to_bind_it(self):
        sender = bridge.Sender()
        connection = unittest.mock.MagicMock()
        channel = connection.channel.return_value
        channel.__enter__.return_value.queue_bind.side_effect = bridge.pika.exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED")
        # What pika's context manager does: it passes the error on.
        channel.__exit__.return_value = False
        with unittest.mock.patch.object(bridge.pika, "BlockingConnection", return_value=connection):
            sender.publish(bridge.Item("m", "exchange", "key", "{}"))
        connection.sleep.assert_called_once_with(1)
        channel.basic_publish.assert_called_once()

    def test_a_fault_that_lasts_is_logged_once_a_minute_and_pika_logs_none_of_the_bridge(self):
        os.environ["RABBITMQ_URL"] = "amqp://guest:guest@127.0.0.1:1"
        lines = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append((record.name, record.getMessage()))
        loggers = [logging.getLogger(name) for name in ("deepsoc_bridge", "pika")]
        for each in loggers:
            each.addHandler(handler)
        try:
            self.bridge = bridge.Bridge(self.outbox, self.copier)
            self.write(message_type="note")
            self.bridge.start()
            until(lambda: self.bridge.attempt >= 4, "four attempts")
            self.bridge.log_again_at = 0
            until(lambda: len([name for name, text in lines if "broker_unreachable" in text]) == 2, "a second line")
            self.assertEqual([name for name, _ in lines if name != "deepsoc_bridge"], [])
        finally:
            self.bridge.stop()
            for each in loggers:
                each.removeHandler(handler)

    def test_a_relative_sqlite_path_is_that_of_flask_sqlalchemy_and_the_outbox_lies_beside_it(self):
        os.environ["DATABASE_URL"] = "sqlite:///deepsoc.db"
        self.assertEqual(bridge.database_url().database, os.path.join(bridge.root_folder(), "instance", "deepsoc.db"))
        del os.environ["BRIDGE_OUTBOX"]
        with unittest.mock.patch.object(bridge, "root_folder", lambda: self.folder.name):
            self.assertEqual(bridge.outbox_path(), os.path.join(self.folder.name, "instance", "deepsoc-bridge.db"))
            self.assertEqual(bridge.Outbox(bridge.outbox_path()).count(), 0)
        del os.environ["DATABASE_URL"]
        with self.assertRaises(bridge.BridgeError) as raised:
            bridge.database_url()
        self.assertEqual(raised.exception.code, "config_invalid")


if __name__ == "__main__":
    unittest.main()
