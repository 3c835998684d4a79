"""The agent of support/clients/agent.ts in Python, by way of examples/python/agent.py.

Arguments: URL, exchange, outbox ("-" for none), first number, how many, how many events.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "python"))
sys.dont_write_bytecode = True

from agent import Publisher, PublishError  # noqa: E402


def say(**told):
    print(json.dumps(told), flush=True)


def main():
    url, exchange, outbox, start, count, events = sys.argv[1:7]
    outbox = None if outbox == "-" else outbox
    publisher = Publisher(url, exchange, outbox, max_queued=100_000, send_timeout=float(os.environ.get("TIMEOUT", "60")))
    for n in range(int(start), int(start) + int(count)):
        publisher.send(
            {
                "event_id": "e%d" % (n % int(events)),
                "message_id": "m%d" % n,
                "message_type": "note",
                "n": n // int(events),
                "text": "内容" * 20,
            }
        )
        say(accepted=n - int(start) + 1)
    while publisher.queued > 0:
        say(queued=publisher.queued)
        time.sleep(0.02)
    publisher.close()
    say(queued=0)


try:
    main()
except PublishError as error:
    say(fault=error.code, delivery_status=error.delivery_status)
    sys.exit(1)
