"""Celery carries one kind of message: "look for work". The rows in the database are the queue.

No result backend, early acknowledgement, no prefetch: a lost message or a lost broker loses nothing, and no message
waits behind a long run.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("hone")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_queues=[Queue("gpu"), Queue("cpu"), Queue("network")],
    task_create_missing_queues=False,
    task_ignore_result=True,
    task_acks_late=False,
    task_serializer="json",
    accept_content=["json"],
    worker_pool="solo",  # CUDA and torch live in a child of their own; nothing to fork here
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_keepalive": True, "retry_on_timeout": True},
)
app.autodiscover_tasks(["workers"], related_name="jobs")
