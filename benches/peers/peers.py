"""One of Python's HTTP clients: NAME URL IN_FLIGHT MILLISECONDS. Prints what peers' children print."""

import asyncio
import resource
import sys
import time

name, url, in_flight, millis = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
headers = {"authorization": "Token 0123456789abcdef"}


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


def checked(page):
    assert page["id"] == 1234567 and page["names"]


def say(took, wall, cpu, base):
    took.sort()
    at = lambda share: took[min(int(len(took) * share), len(took) - 1)] * 1e6
    print(len(took), wall * 1e6, cpu, at(0.5), at(0.99), memory("VmHWM"), base, 0)


def blocking(call):
    base = memory("VmRSS")
    for _ in range(50):
        call()
    took, cpu, start = [], used(), time.perf_counter()
    now = start
    while now < start + millis / 1e3:
        call()
        done = time.perf_counter()
        took.append(done - now)
        now = done
    say(took, now - start, used() - cpu, base)


async def tasks(call):
    base = memory("VmRSS")
    took = []

    async def work(until):
        now = time.perf_counter()
        while now < until:
            await call()
            done = time.perf_counter()
            took.append(done - now)
            now = done

    async def everybody(seconds):
        until = time.perf_counter() + seconds
        await asyncio.gather(*(work(until) for _ in range(in_flight)))

    await everybody(0.2)
    took.clear()
    cpu, start = used(), time.perf_counter()
    await everybody(millis / 1e3)
    say(took, time.perf_counter() - start, used() - cpu, base)


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession(headers=headers) as session:

        async def call():
            async with session.get(url) as response:
                response.raise_for_status()
                checked(await response.json())

        await tasks(call)


async def with_httpx():
    import httpx

    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx.AsyncClient(headers=headers, limits=limits) as client:

        async def call():
            checked((await client.get(url)).raise_for_status().json())

        await tasks(call)


def with_session(module):
    session = __import__(module).Session()
    session.headers.update(headers)

    def call():
        response = session.get(url)
        response.raise_for_status()
        checked(response.json())

    blocking(call)


if name == "aiohttp":
    asyncio.run(with_aiohttp())
elif name == "httpx":
    asyncio.run(with_httpx())
else:
    with_session(name)
