"""Alertmanager itself, with our configuration: what it sends, whereto, with which token. Only the address differs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from tests.manifests.rendered import K8S, read, tool

VALUES = K8S / "infrastructure" / "monitoring" / "prometheus.values.yaml"
DEADLINE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(folder: Path, *, bot: str) -> Path:
    """Ours, in a hurry, and with the bot at this address."""
    config = read(VALUES)["alertmanager"]["config"]
    for route in (config["route"], *config["route"]["routes"]):
        route.update(group_wait="0s")
    [hook] = next(r for r in config["receivers"] if r["name"] == "bot")["webhook_configs"]
    token = folder / Path(hook["http_config"]["authorization"]["credentials_file"]).name
    token.write_text("a-token-of-alertmanager\n", "utf-8")
    hook["http_config"]["authorization"]["credentials_file"] = str(token)
    hook["url"] = hook["url"].replace("http://army-bot.controlplane.svc:30080", bot)
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


@asynccontextmanager
async def bot(heard: asyncio.Queue[tuple[str, str, Mapping[str, Any]]]) -> AsyncIterator[str]:
    async def hear(request: web.Request) -> web.Response:
        await heard.put((request.path, request.headers.get("Authorization", ""), await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def alertmanager(config: Path) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        tool("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), DEADLINE)


async def post(alerts: list[Mapping[str, Any]], *, to: str) -> None:
    """Once it listens; there is no event to wait for."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(DEADLINE):
        while True:
            try:
                async with http.post(f"{to}/api/v2/alerts", json=alerts) as answer:
                    assert answer.status == 200, await answer.text()
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


def alert(name: str, severity: str, **labels: str) -> Mapping[str, Any]:
    return {"labels": {"alertname": name, "severity": severity, "subject": "bot"} | labels}


async def test_an_alert_reaches_the_bot_with_the_token_and_a_lesser_one_about_the_same_does_not(tmp_path: Path) -> None:
    heard: asyncio.Queue[tuple[str, str, Mapping[str, Any]]] = asyncio.Queue(maxsize=10)
    async with bot(heard) as address, alertmanager(configuration(tmp_path, bot=address)) as url:
        await post([alert("BotNotReady", "critical")], to=url)
        first = await asyncio.wait_for(heard.get(), DEADLINE)
        await post([alert("Watchdog", "none"), alert("BotRestartsOften", "warning")], to=url)
        await post([alert("LettersPileUp", "warning", subject="chat")], to=url)
        second = await asyncio.wait_for(heard.get(), DEADLINE)
    path, authorization, body = first
    assert (path, authorization) == ("/webhooks/alertmanager", "Bearer a-token-of-alertmanager")
    assert (body["version"], body["receiver"], body["status"]) == ("4", "bot", "firing")
    assert [a["labels"]["alertname"] for a in body["alerts"]] == ["BotNotReady"]
    assert [a["labels"]["alertname"] for a in second[2]["alerts"]] == ["LettersPileUp"]
    assert heard.empty()
