"""Server-sent events, from packets to the data of each. Knows nothing of JSON, nor of what the data means."""

from dragoman.domain.errors import ModelBroken

MAX_LINE = 32 * 2**20
"""In bytes: an image fits. A server that goes on without ending a line is not answering."""


class Events:
    """Cuts a stream of bytes into events. Feed it packets as they come, cut anywhere."""

    __slots__ = ("_data", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()  # of a line that has not ended
        self._data: list[bytes] = []  # the data lines of an event that has not ended

    def feed(self, packet: bytes) -> list[bytes]:
        """The data of every event that this packet ends. Comments and other fields are passed over."""
        if self._tail:
            self._tail += packet
            if len(self._tail) > MAX_LINE:
                raise ModelBroken
            if b"\n" not in packet:
                return []
            packet = bytes(self._tail)
            self._tail.clear()
        if b"\r" in packet:
            packet = self._with_plain_line_ends(packet)
        lines = packet.split(b"\n")
        self._tail[:0] = lines.pop()
        return self._events(lines)

    def rest(self) -> list[bytes]:
        """What the end of the stream leaves: an event whose last line or blank line never ended."""
        return self.feed(b"\n\n")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        data, events = self._data, []
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events

    def _with_plain_line_ends(self, packet: bytes) -> bytes:
        if packet.endswith(b"\r"):  # half a line end, perhaps
            self._tail += b"\r"
            packet = packet[:-1]
        return packet.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
