"""What one look at a flow's runs proves about a start call without an answer, from records, history and logs alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_etlapis.hooks.etlworks import EtlworksHook
from airflow_provider_etlapis.hooks.etlworks.search import RunKey, Sent, StartSearch
from airflow_provider_etlapis.runs.evidence import Evidence, Search
from airflow_provider_etlapis.runs.resume import Intent

NOW = 1_795_348_800.0
MARKER = "airflow dag.run 0123456789abcdef01234567"
OTHERS = "airflow dag.other 99999999999999999999ffff"
KEY = "airflow_run_key"
FOUND, ABSENT, UNSURE = Evidence.FOUND, Evidence.ABSENT, Evidence.UNSURE

BEFORE = {"audit_id": 5}
NEVER_RAN = {"audit_id": None}


def row(audit_id: int | None, status: str = "running", *, after: float | None = 1.0, **more: Any) -> dict[str, Any]:
    """Return a record: started so many seconds after the call, by a server whose clock is ours."""
    number = {} if audit_id is None else {"auditId": audit_id}
    times = {} if after is None else {"started": int((NOW + after) * 1000)}
    return {**number, "status": status, **times, **more}


def old(audit_id: int | None = 5, status: str = "success", **more: Any) -> dict[str, Any]:
    return row(audit_id, status, after=-3600, **more)


def look(
    *rows: dict[str, Any],
    watermark: Any = BEFORE,
    sent: Sent | None = None,
    key: bool = True,
    latest: dict[str, Any] | None = None,
    pages: Sequence[Sequence[dict[str, Any]]] | None = None,
    logs: dict[int, str] | None = None,
    clock_ahead: float | None = 0.0,
    reconstructed: bool = False,
) -> Search:
    """Look once: at rows that are the whole history, the first of them the present run, unless said otherwise."""
    intent = Intent(MARKER, "f", 0, 0, NOW, watermark, is_reconstructed=reconstructed)
    sent = sent or (Sent({KEY: MARKER}, KEY) if key else Sent({}))
    search = StartSearch("1", intent, sent, clock_ahead)
    search.take_latest(latest or (rows[0] if rows else None))
    every = [rows] if pages is None else pages
    for number, page in enumerate(every):
        if search.take_page(page, is_first=number == 0, is_last=number == len(every) - 1):
            break
    for audit_id in search.logs_wanted():
        search.take_log(audit_id, (logs or {}).get(audit_id, ""))
    return search.result()


def ids(search: Search) -> list[str]:
    return [run.ref.run_id for run in search.candidates]


# The run key


@pytest.mark.parametrize(
    "shown",
    [
        {"parameters": {KEY: MARKER}},
        {"parameters": [{"name": KEY, "value": MARKER}]},
        {"request": f'{{"{KEY}": "{MARKER}"}}'},
        {"comment": MARKER.replace(" ", "%20")},
    ],
)
def test_a_run_whose_record_shows_our_key_is_ours(shown):
    search = look(row(7), row(6, **shown), old())

    assert (search.sighting, ids(search)) == (FOUND, ["1/6"])


def test_a_run_whose_log_shows_our_key_is_ours():
    search = look(row(7), row(6), old(), logs={7: f"{KEY}={OTHERS}", 6: f"INFO parameter {KEY}={MARKER}"})

    assert (search.sighting, ids(search)) == (FOUND, ["1/6"])


def test_our_key_is_proof_whatever_else_is_shown():
    """The order of ids is an assumption, and a schedule's name may be that of a retry: the key is unique."""
    search = look(row(4, eventName="nightly", user="bob@example.com", parameters={KEY: MARKER}), old())

    assert (search.sighting, ids(search)) == (FOUND, ["1/4"])


@pytest.mark.parametrize("place", ["record", "log"])
def test_a_run_that_shows_another_tasks_key_is_not_ours(place):
    more = {"parameters": {KEY: OTHERS}} if place == "record" else {}
    search = look(row(6, **more), old(), logs={6: f"{KEY}={OTHERS}"} if place == "log" else {})

    assert (search.sighting, ids(search)) == (ABSENT, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flow started",
        f"{KEY} is not set",
        f"the source reads {{{KEY}}}",
        f"{KEY}=",
        f"{KEY}=by hand",
        f"{KEY}={MARKER[:20]}",
        f"{KEY}={MARKER[:20]}... checksum=99999999999999999999ffff",
        f"my_{KEY}={OTHERS}",
        f"{KEY}_2={OTHERS}",
    ],
)
def test_a_run_that_shows_no_whole_key_cannot_be_ruled_out(text):
    search = look(row(6), old(), logs={6: text})

    assert (search.sighting, ids(search)) == (UNSURE, ["1/6"])


@pytest.mark.parametrize("separator", ["=", ": ", '": "', '", "value": "', "%3D"])
@pytest.mark.parametrize("blank", [" ", "%20", "+"])
def test_another_tasks_key_is_recognised_in_every_spelling(separator, blank):
    assert RunKey(KEY, MARKER).is_in(f"x {KEY}{separator}{OTHERS.replace(' ', blank)} y") is False


def test_a_name_of_a_parameter_is_no_pattern():
    assert RunKey("k.y", MARKER).is_in(f"kxy={OTHERS}") is None


def test_the_failed_run_of_an_earlier_try_is_not_that_of_this_call():
    """Each try of a task sends the same key. That run is over; the one of this call may still come."""
    search = look(row(6), old(5, "error", parameters={KEY: MARKER}))

    assert (search.sighting, ids(search)) == (UNSURE, ["1/6"])


def test_a_log_is_read_where_it_can_matter_and_of_the_newest_runs_only():
    intent = Intent(MARKER, "f", 0, 0, NOW, BEFORE)
    search = StartSearch("1", intent, Sent({KEY: MARKER}, KEY), 0.0)
    search.take_page([row(number) for number in range(16, 5, -1)] + [old()], is_first=True, is_last=True)
    assert search.logs_wanted() == [16, 15, 14, 13, 12]

    search.take_log(16, f"{KEY}={OTHERS}")
    assert search.logs_wanted() == [15, 14, 13, 12, 11]


# Without a key that is shown


@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("status", ["running", "queued", "success", "warning", "hibernating"])
def test_the_one_new_run_of_a_flow_is_not_shown_to_be_ours(key, status):
    search = look(row(6, status), old(), key=key)

    assert (search.sighting, ids(search)) == (UNSURE, ["1/6"])


def test_what_would_help_is_named():
    assert "no run_key_parameter was sent" in look(row(6), old(), key=False).looked_for
    assert "run_key_parameter" not in look(row(6), old()).looked_for


def test_new_runs_that_ended_badly_make_no_difference():
    """A new start is the next step whether one of them was ours or not."""
    assert look(row(7, "error"), row(6, "canceled"), old(), key=False).sighting is ABSENT


SHOWN = {"user": "alice@example.com", "parameters": {"REGION": "A"}}
ALICE = Sent({"REGION": "A"}, login="Alice@Example.com")


def test_a_record_that_shows_inputs_and_user_shows_whose_run_it_is():
    search = look(row(6, **SHOWN), old(), sent=ALICE)

    assert (search.sighting, ids(search)) == (FOUND, ["1/6"])


@pytest.mark.parametrize(
    "differs",
    [
        {"parameters": {"REGION": "B"}},
        {"user": "bob@example.com"},
        {"user": "scheduler"},
        {"eventId": 3},
        {"eventName": "nightly"},
        {"messageId": "7e2f3f5e-3b7a-4a57-9a35-3f3ad1e0c7a1"},
    ],
)
def test_a_record_that_shows_other_inputs_or_another_starter_is_not_ours(differs):
    assert look(row(6, **{**SHOWN, **differs}), old(), sent=ALICE).sighting is ABSENT


@pytest.mark.parametrize(
    "unclear",
    [
        {"parameters": None},
        {"parameters": {}},
        {"parameters": {"REGION": "***"}},
        {"parameters": {"REGION": None}},
        {"parameters": {"REGION": "A", "zone": "1"}},
        {"parameters": "REGION=A"},
        {"user": None},
        {"user": "Alice"},
    ],
)
def test_a_record_that_shows_only_a_part_proves_nothing(unclear):
    assert look(row(6, **{**SHOWN, **unclear}), old(), sent=ALICE).sighting is UNSURE


def test_an_api_key_has_no_name_that_a_record_could_show():
    assert look(row(6, **SHOWN), old(), sent=Sent({"REGION": "A"})).sighting is UNSURE


# Records that show less


@pytest.mark.parametrize("status", ["running", "queued", "success", "hibernating"])
@pytest.mark.parametrize("key", [True, False])
def test_a_record_without_an_id_is_never_left_out(status, key):
    search = look({"status": status}, key=key)

    assert (search.sighting, ids(search)) == (UNSURE, ["1"])
    assert "no auditId" in search.looked_for


def test_one_record_without_an_id_among_others_is_enough():
    search = look(row(None), old(5), old(4))

    assert (search.sighting, ids(search)) == (UNSURE, ["1"])


def test_a_record_without_an_id_that_is_surely_older_is_no_candidate():
    assert look(old(None), old(None, "error")).sighting is ABSENT


@pytest.mark.parametrize("audit_id", ["", "x", 10**30, "9" * 5000, True, None, [1]])
def test_an_id_that_is_none_counts_as_missing(audit_id):
    assert ids(look({"auditId": audit_id, "status": "running"})) == ["1"]


def test_a_row_without_a_status_goes_on_for_all_we_know():
    search = look({"auditId": 6}, old())

    assert (search.sighting, ids(search)) == (UNSURE, ["1/6"])


# Before the call, or after


def test_nothing_new_is_absence():
    assert look(old(5), old(4), old(3)).sighting is ABSENT
    assert look(row(5, "success", after=None), row(4, "success", after=None)).sighting is ABSENT


def test_the_run_before_the_call_may_still_go_on():
    assert look(row(5, after=-3600)).sighting is ABSENT


def test_a_flow_that_had_never_run_and_has_none_now_has_none():
    assert look(watermark=NEVER_RAN).sighting is ABSENT


def test_ids_that_do_not_rise_prove_nothing_against_the_clock():
    assert look(old(5), row(4, after=60)).sighting is UNSURE


def test_a_clock_that_does_not_agree_with_the_ids_proves_nothing():
    assert look(old(6), old(5)).sighting is UNSURE


@pytest.mark.parametrize("watermark", [None, {}, "x"])
def test_without_knowing_the_run_before_only_a_clock_rules_a_run_out(watermark):
    assert look(old(6), watermark=watermark).sighting is ABSENT
    assert look(row(6, after=-1), watermark=watermark).sighting is UNSURE
    assert look(row(6, after=None), watermark=watermark).sighting is UNSURE


def test_a_server_whose_clock_is_not_known_may_be_minutes_off():
    assert look(row(6, after=-200), watermark=None, clock_ahead=None).sighting is UNSURE
    assert look(row(6, after=-200), watermark=None, clock_ahead=0.0).sighting is ABSENT
    assert look(row(6, after=-200), watermark=None, clock_ahead=-250.0).sighting is UNSURE


@pytest.mark.parametrize(
    ("written", "sighting"),
    [
        ("2026-11-22T11:00:00Z", ABSENT),
        ("2026-11-22T11:00:00.000+00:00", ABSENT),
        ("2026-11-22T06:00:00-0500", ABSENT),
        ("2026-11-22T06:00:00", UNSURE),
        ("2026-11-22 06:00:00", UNSURE),
        ("2026-11-22", UNSURE),
        ("yesterday", UNSURE),
    ],
)
def test_a_time_without_its_zone_proves_nothing(written, sighting):
    """The call was at noon UTC. A server in New York that writes its local time would seem hours before it."""
    assert look({"auditId": 6, "status": "running", "startTime": written}, watermark=None).sighting is sighting


def test_without_a_note_of_the_call_no_run_is_ours_by_its_time():
    """Airflow 3.0 to 3.2: all that is known is when the DAG run began."""
    search = look(row(6, **SHOWN), watermark=None, sent=ALICE, reconstructed=True)
    assert (search.sighting, ids(search)) == (UNSURE, ["1/6"])

    assert look(row(6, parameters={KEY: MARKER}), watermark=None, reconstructed=True).sighting is FOUND


# Whether all runs were seen


def test_a_history_that_reaches_back_to_the_run_before_the_call_is_enough():
    pages = [[row(7, "error"), row(6, "error"), old(5)], [old(4)], [old(3)]]

    assert look(latest=pages[0][0], pages=pages).sighting is ABSENT


@pytest.mark.parametrize(
    "pages",
    [
        [[old(3), old(4)], [old(5), row(6, "error")], [row(7, "error")]],
        [[row(7, "error"), row(6, "error")], [old(5)], [old(4)]],
    ],
    ids=["oldest_first", "on_the_next_page"],
)
def test_a_history_is_read_until_it_is_enough(pages):
    assert look(latest=row(7, "error"), pages=pages).sighting is ABSENT


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ([old(3), old(4)], "not read to its end"),
        ([row(7, "error"), old(4), row(6, "error"), old(5)], "not read to its end"),
    ],
    ids=["oldest_first", "no_order"],
)
def test_a_part_of_a_history_shows_no_absence(first, why):
    intent = Intent(MARKER, "f", 0, 0, NOW, BEFORE)
    search = StartSearch("1", intent, Sent({KEY: MARKER}, KEY), 0.0)
    search.take_latest(row(7, "error"))

    assert search.take_page(first, is_first=True, is_last=False) is False
    assert search.result().sighting is UNSURE
    assert why in search.result().looked_for


def test_a_history_that_repeats_its_first_page_shows_no_absence():
    """The listing ends with an empty page where an endpoint ignores the offset."""
    assert look(latest=row(7, "error"), pages=[[old(3), old(4)], []]).sighting is UNSURE


def test_a_history_without_the_present_run_shows_no_absence():
    search = look(latest=row(6, parameters={KEY: OTHERS}), pages=[[old(5)]])

    assert search.sighting is UNSURE
    assert "does not show the flow's present run" in search.looked_for


def test_a_flow_that_had_run_and_shows_no_run_now_shows_no_absence():
    search = look(watermark=BEFORE)

    assert search.sighting is UNSURE
    assert "shows no run now" in search.looked_for


@pytest.mark.parametrize(
    ("latest", "is_unknown", "sighting"),
    [
        (None, True, ABSENT),
        (None, False, UNSURE),
        (row(6, "error"), True, UNSURE),
        (row(6, "error"), False, UNSURE),
    ],
)
def test_a_history_that_cannot_be_read_shows_no_absence_unless_there_is_none(latest, is_unknown, sighting):
    search = StartSearch("1", Intent(MARKER, "f", 0, 0, NOW, NEVER_RAN), Sent({KEY: MARKER}, KEY), 0.0)
    search.take_latest(latest)
    search.history_failed("HTTP 403", is_unknown=is_unknown)

    assert search.result().sighting is sighting


def test_the_hook_says_the_same_in_its_table():
    assert EtlworksHook.start_proof.can_show
    assert "run key" in EtlworksHook.start_proof.marker
    assert (EtlworksHook.start_proof.inputs, EtlworksHook.start_proof.starter) == ("hidden", "hidden")
