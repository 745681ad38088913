"""Files that come part by part, as a ZIP archive that is sent while it is made: however large, little of it is in memory."""

import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from starlette.responses import StreamingResponse

from dragoman.application.people import Part

MEDIA_TYPE = "application/zip"
ARCHIVE: dict[str, Any] = {
    "description": "A ZIP archive. One that broke off is no archive.",
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}, "example": "PK…"}},
}


class _Pipe:
    """A file that cannot be sought in; what was written to it is taken out of it."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, content: bytes) -> int:
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def archive(parts: AsyncIterator[Part]) -> StreamingResponse:
    headers = {"content-disposition": 'attachment; filename="export.zip"'}
    return StreamingResponse(zipped(parts), media_type=MEDIA_TYPE, headers=headers)


async def zipped(parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    pipe = _Pipe()
    at = datetime.now(UTC).timetuple()[:6]
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archived:  # type: ignore[call-overload]
        file, open_file = "", None
        async for part in parts:
            if part.file != file:
                if open_file is not None:
                    open_file.close()
                info = zipfile.ZipInfo(part.file, at)
                info.compress_type = zipfile.ZIP_DEFLATED
                file, open_file = part.file, archived.open(info, "w", force_zip64=True)
            assert open_file is not None
            open_file.write(part.content)
            if written := pipe.take():
                yield written
        if open_file is not None:
            open_file.close()
    yield pipe.take()
