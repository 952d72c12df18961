"""A venue's stand-in on loopback that passes everything on but what it was told to answer itself."""

import asyncio
import threading
from contextlib import contextmanager

import aiohttp
from aiohttp import web


@contextmanager
def lying(url, answers):
    """The address of a stand-in for the venue at `url`; `answers` are documents by method and path, or functions of
    what the venue would have said."""
    loop, ready, closing = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found = []

    async def pass_on(request):
        body = await request.read()
        headers = {n: v for n, v in request.headers.items() if n.lower() not in ("host", "content-length")}
        where = f"{url}{request.raw_path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, where, data=body, headers=headers) as said,
        ):
            its = answers.get((request.method, request.path))
            if its is not None:
                return web.json_response(its(await said.json()) if callable(its) else its)
            kept = {n: v for n, v in said.headers.items() if n.upper().startswith("X-MBX")}
            return web.Response(
                status=said.status, body=await said.read(), headers=kept, content_type="application/json"
            )

    async def stay_open():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await closing.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=[stay_open()], daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join(10)
        loop.close()
