"""Makes cancel stop the work on Director 0.10.0, which revokes with a UUID object that no worker recognises."""

# mypy: ignore-errors
# (`director` is installed in Director's environment only, and without type hints.)

from director.extensions import cel

revoke = cel.control.revoke


def revoke_by_text(task_id, *args, **kwargs):
    """Revoke by the id's text form, which is what the worker compares."""
    return revoke(str(task_id), *args, **kwargs)


cel.control.revoke = revoke_by_text
