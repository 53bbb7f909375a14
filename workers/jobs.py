"""The one job: claim in the database and execute, until no run is queued for the resource."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from django.db import close_old_connections
from kombu.exceptions import OperationalError

from workers.celery import app
from workers.execute import Worker, open_worker

EXPIRES_S = 10.0  # a wake message that nobody took by then has been replaced

_workers: dict[str, Worker] = {}  # this process's worker by resource, opened when Celery starts


class BrokerDown(Exception):
    """No broker answers; runs stay queued in the database."""


@app.task(name="work")
def work(resource: str) -> None:
    close_old_connections()
    _workers[resource].work()


def wake(*, resource: str) -> bool:
    """Send "look for work" unless such a message is waiting already. Raises BrokerDown."""
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=1.0)
            waiting = connection.default_channel.queue_declare(queue=resource, passive=False).message_count
            if waiting:
                return False
            work.apply_async(args=[resource], queue=resource, expires=EXPIRES_S, connection=connection, retry=False)
        # The last two are the transport's own: a broker that ends between two of these calls.
        except (OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
            raise BrokerDown(str(error)) from error
    return True


@worker_init.connect
def open_this_worker(sender: Any, **_: Any) -> None:
    """The worker's queues say which resource it serves; the warm starter begins to import while Celery connects."""
    for queue in sender.app.amqp.queues.consume_from:
        worker = _workers[queue] = open_worker(resource=queue)
        worker.starter.start()


@worker_shutting_down.connect
def stop_soon(**_: Any) -> None:
    for worker in _workers.values():
        worker.stopping.set()


@worker_shutdown.connect
def close_this_worker(**_: Any) -> None:
    for worker in _workers.values():
        worker.starter.close()
