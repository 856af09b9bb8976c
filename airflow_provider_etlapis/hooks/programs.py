"""Interprets a program of calls, without doing I/O: errors of the wire become those of a task, and show no secret."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_etlapis.exceptions import EtlApiError, VendorUnavailableError
from airflow_provider_etlapis.hooks.endpoints import Program
from airflow_provider_etlapis.hooks.errors import task_error
from airflow_provider_etlapis.wire import deadline
from airflow_provider_etlapis.wire.call import Call
from airflow_provider_etlapis.wire.errors import WireError
from airflow_provider_etlapis.wire.exchange import Pause
from airflow_provider_etlapis.wire.words import out_of_time

T = TypeVar("T")

_LONGEST_MESSAGE = 10_000
_ODD_ANSWER_PAUSE = 0.5
_STUMBLES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def interpreted(
    program: Program[T], redact: Callable[[str, int], str], conn_id: str, odd_answer_retries: int
) -> Generator[Call[Any] | Pause, Any, T]:
    """Yield the steps of a program, and return its result.

    Vendors promise little about what their answers hold. A value of another kind than any of ours expects says
    nothing about the run, as an answer that is cut off does not: it must not end a wait as a defect would.

    :param redact: takes the connection's secrets out of a text, and bounds it.
    :param conn_id: of the connection, for messages.
    :param odd_answer_retries: how often a repeatable call is tried again after an error status that is not in the
        vendor's own words: something in between may have made it up once, and a wrong address fails soon all the same.
    :raises EtlApiError: when a call fails and the program does not handle it; it shows no secret.
    :raises VendorUnavailableError: if the program stumbles over an answer.
    """
    with closing(program):
        try:
            step = next(program)  # what goes wrong before the first answer is no answer's fault
            while True:
                try:
                    result = yield from _answered(step, odd_answer_retries)
                except WireError as error:
                    step = program.throw(task_error(error, conn_id))
                else:
                    try:
                        step = program.send(result)
                    except EtlApiError:
                        raise
                    except _STUMBLES as error:
                        raise _strange_answer(step, error, redact) from None  # its text may quote the server
        except StopIteration as stop:
            value: T = stop.value
            return value
        except EtlApiError as error:
            if error.args and isinstance(error.args[0], str):
                error.args = (redact(error.args[0], _LONGEST_MESSAGE), *error.args[1:])
            raise


def _answered(step: Call[Any] | Pause, retries: int) -> Generator[Call[Any] | Pause, Any, Any]:
    for attempt in range(retries):
        pause = _ODD_ANSWER_PAUSE * 2.0**attempt
        try:
            return (yield step)
        except WireError as error:
            if not (isinstance(step, Call) and error.is_odd and (step.is_repeatable or not error.sent)):
                raise
            if pause >= deadline.left():
                raise  # it says more than that no time is left
        yield Pause(pause)
    return (yield step)


def pause_of(step: Pause) -> float:
    """Return the seconds of a pause of a program.

    :raises OutOfTimeError: if the caller has less left: to wait would be in vain.
    """
    if step.seconds >= deadline.left():
        raise out_of_time(f"wait for {step.seconds:g} s before the next request")
    return step.seconds


def _strange_answer(
    step: Call[Any] | Pause, error: Exception, redact: Callable[[str, int], str]
) -> VendorUnavailableError:
    what = step.describe() if isinstance(step, Call) else "the vendor"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return VendorUnavailableError(
        f"An answer to {what} is not what the API promises: {type(error).__name__}: {redact(str(error), 200)} "
        f"({Path(place.filename).name}, line {place.lineno})"
    )
