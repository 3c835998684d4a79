"""DeepSOC's package `app` for tests of the bridge: the real one of the folder DEEPSOC_DIR, or a model of what the bridge uses.

Importing this file makes `app.models` and `app.utils.mq_utils` importable, and the bridge.
"""

import os
import sys
import types
import uuid

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "integrations", "deepsoc"))

COLUMNS = (
    "id message_id event_id user_id message_from round_id message_content message_type message_category chat_session_id"
    " sender_type event_summary_version created_at updated_at"
).split()


def make_models():
    from sqlalchemy import JSON, Column, DateTime, Integer, String, func
    from sqlalchemy.orm import declarative_base

    base = declarative_base()

    class Message(base):
        __tablename__ = "messages"
        id = Column(Integer, primary_key=True, autoincrement=True)
        message_id = Column(String(64), default=lambda: str(uuid.uuid4()), unique=True, nullable=False)
        event_id = Column(String(64))
        user_id = Column(String(64))
        message_from = Column(String(64))
        round_id = Column(Integer)
        message_content = Column(JSON)
        message_type = Column(String(32))
        message_category = Column(String(32), default="agent")
        chat_session_id = Column(String(64))
        sender_type = Column(String(32))
        event_summary_version = Column(String(64))
        created_at = Column(DateTime, default=func.now())
        updated_at = Column(DateTime, default=func.now(), onupdate=func.now())

        def to_dict(self):
            values = {name: getattr(self, name) for name in COLUMNS}
            for name in ("created_at", "updated_at"):
                values[name] = values[name].isoformat() if values[name] else None
            return values

    class User(base):
        __tablename__ = "users"
        id = Column(Integer, primary_key=True)
        user_id = Column(String(64), unique=True)
        username = Column(String(64))
        nickname = Column(String(64))
        email = Column(String(64))
        password_hash = Column(String(64))

    return Message, User, base.metadata


class BlockingPublisher:
    """DeepSOC's publisher, as far as a test sees it: it waits for RabbitMQ in its constructor."""

    def __init__(self):
        raise ConnectionError("DeepSOC's own publisher was used")


def package(name, **members):
    module = types.ModuleType(name)
    module.__file__ = os.path.join(os.getcwd(), *name.split("."), "__init__.py")
    module.__path__ = []
    vars(module).update(members)
    sys.modules[name] = module


if os.environ.get("DEEPSOC_DIR"):
    sys.path.insert(0, os.environ["DEEPSOC_DIR"])
    from app.models.models import Message, User, db

    metadata = db.metadata
else:
    Message, User, metadata = make_models()
    package("app")
    package("app.models", Message=Message, User=User)
    package("app.utils")
    package("app.utils.mq_utils", RabbitMQPublisher=BlockingPublisher)
