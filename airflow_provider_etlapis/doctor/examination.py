"""Runs a vendor's checks on a connection, and makes the report, which holds no secret, name or id of the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from airflow_provider_etlapis import __version__
from airflow_provider_etlapis.doctor.findings import Check, Finding, Outcome, Verdict, differs, holds, proposed, unknown
from airflow_provider_etlapis.doctor.patient import Patient, kind_of
from airflow_provider_etlapis.exceptions import EtlApiError

_NOT_PROBED = Outcome(Verdict.NEEDS_A_RUN, "not probed")


def checks_of(conn_type: str) -> tuple[Check, ...]:
    """Return the checks of a vendor."""
    found: tuple[Check, ...] = import_module(f"airflow_provider_etlapis.doctor.{conn_type}").CHECKS
    return found


def examine(patient: Patient) -> Iterator[Finding]:
    """Yield what each check finds, as soon as it is known.

    A setting that is found to fit is used for the checks after it. Where the server cannot be read at all, the rest
    is not asked for.
    """
    checks = checks_of(patient.conn_type)
    for check in checks:
        if check.way_in:
            yield _carried_out(check, patient)
    reach = _carried_out(_REACH, patient)
    yield reach
    for check in checks:
        if check.way_in:
            continue
        if check.probe is not None and reach.outcome.verdict is not Verdict.HOLDS:
            yield Finding(check, unknown("the server was not read"))
        else:
            yield _carried_out(check, patient)


def _carried_out(check: Check, patient: Patient) -> Finding:
    if check.probe is None:
        return Finding(check, _NOT_PROBED)
    try:
        outcome = check.probe(patient)
    except EtlApiError as error:
        outcome = unknown(kind_of(error))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # One answer that nobody thought of must not end the examination.
        outcome = unknown(f"the check failed with {type(error).__name__}, which is a defect of this provider")
    if outcome.settings:
        patient.adopt(outcome.settings)
    return Finding(check, outcome)


def _reach(patient: Patient) -> Outcome:
    error = patient.answers(patient.hook.check.plan())
    if error is None:
        return holds("they do")
    return differs(kind_of(error), advice="The Test button of the connection says more.")


_REACH = Check("reach", "the address and the credential work", "what the Test button reads", _reach)


def report_of(conn_type: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the report as plain JSON.

    ``{"vendor", "provider", "airflow", "made", "checks": [{"id", "assumption", "how", "verdict", "seen", "settings",
    "advice"}], "proposed": {setting: value}}``
    """
    from airflow import __version__ as airflow_version

    return {
        "vendor": conn_type,
        "provider": __version__,
        "airflow": airflow_version,
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "checks": [
            {
                "id": finding.check.id,
                "assumption": finding.check.assumption,
                "how": finding.check.how,
                "verdict": finding.outcome.verdict.value,
                "seen": finding.outcome.seen,
                "settings": dict(finding.outcome.settings),
                "advice": finding.outcome.advice,
            }
            for finding in findings
        ],
        "proposed": proposed(findings),
    }


def changes(report: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that a report proposes and a connection does not have: present and proposed value."""
    wanted: Mapping[str, Any] = report.get("proposed") or {}
    return {name: (extras.get(name), value) for name, value in wanted.items() if extras.get(name) != value}
