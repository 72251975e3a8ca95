"""Pictures put into the built-in media store."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, UploadFile
from starlette.datastructures import UploadFile as ParsedFile

from media_inference.api.auth import supporters_only
from media_inference.api.openapi import ends_in
from media_inference.api.problems import Problem, ProblemCode
from media_inference.api.schemas import UploadedMedia
from media_inference.api.services import Serving
from media_inference.errors import UploadRefused
from media_inference.media.store import MediaInbox

router = APIRouter(tags=["media"])

_MOST_FIELDS = 8
_LONGEST_FIELD = 1024

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": {"type": "string", "maxLength": _LONGEST_FIELD // 4},
                    "maxProperties": _MOST_FIELDS,
                    "properties": {"file": {"type": "string", "format": "binary", "minLength": 1}},
                }
            }
        },
    }
}


async def _inbox(services: Serving) -> MediaInbox:
    if services.inbox is None:
        raise Problem(ProblemCode.UPLOAD_NOT_SUPPORTED)
    return services.inbox


Inbox = Annotated[MediaInbox, Depends(_inbox)]


# The framework would read the whole form before it asks who is calling; here that is known first.
async def _uploaded(request: Request, _inbox: Inbox) -> AsyncIterator[ParsedFile]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, "The picture should be sent as multipart/form-data.")
    async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD) as form:
        file = form.get("file")
        if not isinstance(file, ParsedFile):
            raise Problem(ProblemCode.INVALID_REQUEST, "`file` is missing.")
        yield file


@router.post(
    "/media",
    status_code=201,
    dependencies=[supporters_only],
    openapi_extra=_FORM,
    responses=ends_in(ProblemCode.UPLOAD_NOT_SUPPORTED, ProblemCode.UPLOAD_REFUSED, ProblemCode.STORAGE_FULL),
)
def add_media(file: Annotated[UploadFile, Depends(_uploaded)], inbox: Inbox, services: Serving) -> UploadedMedia:
    """Put a picture into the media store; the answer says under which id."""
    if file.size is not None and file.size > services.max_upload_bytes:
        raise Problem(ProblemCode.BODY_TOO_LARGE)
    services.require_room()
    try:
        return {"media_store_id": inbox.add(file.file)}
    except UploadRefused as refusal:
        raise Problem(ProblemCode.UPLOAD_REFUSED) from refusal
