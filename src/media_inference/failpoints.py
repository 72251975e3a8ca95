"""Points at which a test may strike, by name. In production nothing is installed, and reaching one costs nothing.

A test installs a function that is called with each point that is reached, and may kill the process there, stop it or
raise. There is no setting and no environment variable that does so: the product only says where it is.
"""

from collections.abc import Callable
from enum import StrEnum


class Failpoint(StrEnum):
    """The closed list: what lies before and after each step that changes something outside the process."""

    SUBMIT_BEFORE_COMMIT = "submit.before_commit"
    SUBMIT_AFTER_COMMIT = "submit.after_commit"
    SUBMIT_BEFORE_ANSWER = "submit.before_answer"
    DELETE_BEFORE_COMMIT = "delete.before_commit"
    DELETE_AFTER_COMMIT = "delete.after_commit"
    DELETE_AFTER_FILES = "delete.after_files"
    ADD_MEDIA_BEFORE_LINK = "add_media.before_link"
    ADD_MEDIA_AFTER_LINK = "add_media.after_link"

    CLAIM_BEFORE_COMMIT = "claim.before_commit"
    CLAIM_AFTER_COMMIT = "claim.after_commit"
    FETCH_AFTER = "fetch.after"
    DECODE_AFTER = "decode.after"
    FIND_AFTER = "find.after"
    STAGE_AFTER = "stage.after"
    SETTLE_BEFORE_PROMOTE = "settle.before_promote"
    SETTLE_AFTER_PROMOTE = "settle.after_promote"
    SETTLE_AFTER_COMMIT = "settle.after_commit"
    RETRY_BEFORE_COMMIT = "retry.before_commit"
    RETRY_AFTER_COMMIT = "retry.after_commit"
    FAIL_BEFORE_COMMIT = "fail.before_commit"
    FAIL_AFTER_COMMIT = "fail.after_commit"

    PUBLISH_BEFORE_UPSERT = "publish.before_upsert"
    PUBLISH_AFTER_UPSERT = "publish.after_upsert"
    PUBLISH_AFTER_DELETE = "publish.after_delete"
    ACKNOWLEDGE_BEFORE_COMMIT = "acknowledge.before_commit"
    ACKNOWLEDGE_AFTER_COMMIT = "acknowledge.after_commit"
    UPLOAD_BEFORE_SEND = "upload.before_send"
    UPLOAD_AFTER_SEND = "upload.after_send"
    UPLOAD_AFTER_NOTE = "upload.after_note"

    CHARGE_BEFORE_COMMIT = "charge.before_commit"
    CHARGE_AFTER_COMMIT = "charge.after_commit"
    SWEEP_BEFORE_REMOVE = "sweep.before_remove"
    SWEEP_AFTER_REMOVE = "sweep.after_remove"


Strike = Callable[[Failpoint, str], None]

_installed: list[Strike] = []


def failpoint(point: Failpoint, subject: str = "") -> None:
    """Says that ``point`` is reached for ``subject``: a media_store_id, a job_id, or nothing."""
    for strike in _installed:
        strike(point, subject)


def install(strike: Strike) -> None:
    """Has ``strike`` called at every point that this process reaches from now on."""
    _installed.append(strike)


def uninstall(strike: Strike) -> None:
    """Ends that."""
    _installed.remove(strike)
