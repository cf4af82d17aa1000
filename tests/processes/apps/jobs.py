"""A shop with tasks in Celery, a beat, and a clock of APScheduler; all keep count in Redis.

`GET /` is the version, and `POST /count/<id>` makes a task that counts the id.
"""

import os
import time
import uuid

from apscheduler.events import EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.schedulers.blocking import BlockingScheduler
from celery import Celery, signals
from flask import Flask
from redis import Redis

VERSION = "0"
SOCKET = os.environ["REDIS_SOCKET"]
# Process ids are those of other processes in the next container.
ME = f"{VERSION} {uuid.uuid4().hex}"

app = Flask(__name__)
redis = Redis(unix_socket_path=SOCKET)
celery = Celery("jobs", broker=f"redis+socket://{SOCKET}")
celery.conf.beat_schedule = {"each second": {"task": "jobs.beat", "schedule": 1.0}}
celery.conf.broker_connection_retry_on_startup = True


@app.get("/")
def version() -> str:
    return VERSION


@app.post("/count/<id>")
def count(id: str) -> str:
    work.delay(id)
    return VERSION


@celery.task
def work(id: str) -> None:
    time.sleep(0.01)
    redis.rpush("counted", id)


@celery.task(bind=True)
def beat(self) -> None:
    redis.rpush("beats run", self.request.id)


@signals.before_task_publish.connect(sender="jobs.beat")
def sent(headers: dict[str, str], **_: object) -> None:
    redis.rpush("beats sent", f"{time.time()} {ME} {headers['id']}")


def ticked(event: JobExecutionEvent) -> None:
    redis.rpush("ticks", f"{event.scheduled_run_time.timestamp()} {ME}")


if __name__ == "__main__":
    scheduler = BlockingScheduler()
    scheduler.add_job(lambda: print("tick"), "cron", second="*")
    scheduler.add_listener(ticked, EVENT_JOB_EXECUTED)
    scheduler.start()
