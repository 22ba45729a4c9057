"""The OpenTelemetry SDK with its OTLP exporters: a batch is sent again until it is acknowledged."""

import os

import parts
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry._logs import LogRecord, SeverityNumber

form = os.environ["FORM"]
# Six attempts are half a minute, and a loaded machine may take longer to start a server: here the
# timeout alone ends them.
ATTEMPTS = 100
if form == "http":
    import opentelemetry.exporter.otlp.common.http as client
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    client._MAX_RETRIES = ATTEMPTS
    exporter = OTLPLogExporter(
        endpoint=parts.URL + "/otlp/v1/logs", compression=Compression.Gzip, timeout=200
    )
else:
    import opentelemetry.exporter.otlp.proto.grpc.exporter as client
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    client._MAX_RETRYS = ATTEMPTS
    exporter = OTLPLogExporter(endpoint=os.environ["RUNELOG_GRPC"], insecure=True, timeout=200)

provider = LoggerProvider(resource=Resource.create({"service.name": "otlp-" + form}))
processor = BatchLogRecordProcessor(
    exporter,
    schedule_delay_millis=100,
    max_export_batch_size=256,
    max_queue_size=len(parts.LINES) + 1,
)
provider.add_log_record_processor(processor)
logger = provider.get_logger("clients")


def send(n):
    record = LogRecord(
        timestamp=parts.timestamp_ns(n),
        severity_number=SeverityNumber.INFO,
        severity_text="INFO",
        body=parts.LINES[n],
        attributes={"n": n},
    )
    logger.emit(record)


parts.send_parts(send)
provider.force_flush()
provider.shutdown()
parts.finish([])
