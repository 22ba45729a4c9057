"""logging with python-logging-loki: one push for each record, never repeated."""

import logging
import os
import types

import logging_loki
import parts

lost = []
sent_ns = 0
# Form 1 takes the time of the push, and a machine may set its clock back meanwhile.
logging_loki.emitter.time = types.SimpleNamespace(time=lambda: sent_ns / 1e9)


class Handler(logging_loki.LokiHandler):
    """Notes what was not acknowledged instead of printing it."""

    def handleError(self, record):
        self.emitter.close()
        lost.append(record.n)


# Form 0 is the legacy endpoint, with the timestamp of the record.
form = os.environ["FORM"]
path = {"0": "/api/prom/push", "1": "/loki/api/v1/push"}[form]
handler = Handler(url=parts.URL + path, tags={"app": "python-logging-" + form}, version=form)
logger = logging.getLogger("clients")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
logger.propagate = False


def send(n):
    global sent_ns
    sent_ns = parts.timestamp_ns(n)
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, parts.LINES[n], (), None)
    record.n = n
    record.created = sent_ns / 1e9
    logger.handle(record)


parts.send_parts(send)
parts.finish(lost)
