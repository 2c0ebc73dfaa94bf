"""Headers of the server's answers (docs/protocol.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from backend import __version__
from backend.choices import DEVICES, FACE_MODELS, HAIR_STYLES, HAIRS, QUALITIES, TEXTURE_SIZES
from backend.service.job import Job, JobError, JobState
from backend.service.limits import Limits, Timing
from backend.service.messages import PROTOCOL, PROTOCOLS, ProtocolError
from backend.stages import STAGES, TRANSFER_STAGES


def with_request(request: str | None) -> dict[str, str]:
    """The request field that an answer repeats, where the question had one."""
    return {} if request is None else {"request": request}


def welcome(
    instance: str, facts: Mapping[str, Any] | None, can_stop: bool, may_give_paths: bool, limits: Limits, timing: Timing
) -> dict[str, Any]:
    """The fields of ``welcome``; ``facts`` are the worker's facts, None before it is ready."""
    return {
        "protocol": PROTOCOL,
        "protocols": PROTOCOLS,
        "likeness": __version__,
        "instance": instance,
        "pid": os.getpid(),
        **(facts or {"device": None, "models": None}),
        "capabilities": ["path"] * may_give_paths + ["shutdown"] * can_stop,
        "qualities": QUALITIES,
        "texture_sizes": TEXTURE_SIZES,
        "devices": DEVICES,
        "hairs": HAIRS,
        "hair_styles": HAIR_STYLES,
        "face_models": FACE_MODELS,
        "stages": [asdict(stage) for stage in STAGES],
        "transfer_stages": [asdict(stage) for stage in TRANSFER_STAGES],
        "limits": asdict(limits),
        "heartbeat": {"interval_seconds": timing.heartbeat, "silence_seconds": timing.silence},
    }


def job_entry(job: Job, position: int | None, limits: Limits, now: float) -> dict[str, Any]:
    """One job in ``jobs``."""
    end = now if job.finished is None else job.finished
    return {
        "job": job.id,
        "token": job.token,
        "state": job.state,
        "position": position,
        "stage": job.progress.stage,
        "fraction": 1.0 if job.state is JobState.DONE else job.progress.fraction,
        "seconds": 0.0 if job.started is None else round(end - job.started, 1),
        "kind": job.kind,
        "photos": len(job.names),
        "expires_in": None if job.finished is None else round(job.finished + limits.result_seconds - now, 1),
        "code": job.error.code if job.error else None,
    }


def job_error(job: Job, error: JobError, request: str | None) -> dict[str, Any]:
    """The last message of a job without a result."""
    return {"type": "error", **with_request(request), "job": job.id, "token": job.token, **asdict(error)}


def result_follows(job: Job, size: int) -> dict[str, Any]:
    """Announcement of a result of ``size`` bytes: no other message is sent until it has arrived."""
    return {"type": "result_follows", "job": job.id, "token": job.token, "bytes": size}


def protocol_error(error: ProtocolError) -> dict[str, Any]:
    """The answer to an invalid message."""
    header: dict[str, Any] = {
        "type": "error",
        **with_request(error.request),
        **({} if error.token is None else {"token": error.token}),
        "code": error.code,
        "sentence": error.sentence,
        "advice": error.advice,
    }
    if error.code == "version":
        header["protocols"] = PROTOCOLS
    return header
