"""A loopback proxy between a client and a served venue, which does to their connections what networks do."""

import asyncio
import contextlib


class Proxy:
    """Every connection to `port` is one to the venue's port, for as long as nothing is done to it."""

    def __init__(self, venue_port):
        self.port, self.connections = None, 0
        self._venue_port, self._open, self._closed = venue_port, set(), False
        self.silent = False  # nothing of what the venue says is passed on, and nobody is told

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.drop()

    def drop(self):
        """All connections break, without a word."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def shut(self, shut=True):
        """Nobody gets through, and nobody is through any more; or they do again."""
        self._closed = shut
        if shut:
            self.drop()

    async def _serve(self, reader, writer):
        if self._closed:
            writer.transport.abort()
            return
        self.connections += 1
        venue_reader, venue_writer = await asyncio.open_connection("127.0.0.1", self._venue_port)
        self._open |= {writer, venue_writer}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, venue_writer), self._pass(venue_reader, writer, telling=True))

    async def _pass(self, reader, writer, telling=False):
        while data := await reader.read(65_536):
            if not (telling and self.silent):
                writer.write(data)
                await writer.drain()
        writer.close()
