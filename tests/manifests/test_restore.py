"""The runbook's own commands for backup and restore, on a real data directory: typed by bash as they stand there.

In the place of `kubectl` is a script that runs what is to run in a pod here, with the folder for `/data`. Nothing else
of a cluster is there; that the names in the commands are right is another test's.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.manifests.rendered import ROOT
from tests.product import LOBBY, Product

TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
KUBECTL = """#!{python}
import os, pathlib, subprocess, sys
words = sys.argv[1:]
pathlib.Path("{log}").open("a").write(" ".join(words) + chr(10))
if "exec" in words:
    inside = [word.replace("/data", "{data}") for word in words[words.index("--") + 1 :]]
    env = dict(PATH="{bin}:" + os.environ["PATH"], PYTHONPATH="{root}", DATA_DIR="{data}", HOME="{home}")
    stdin = None if "-i" in words else subprocess.DEVNULL
    sys.exit(subprocess.run(inside, env=env, cwd="{home}", stdin=stdin).returncode)
"""


def block(heading: str) -> str:
    """The commands under this heading."""
    found = re.search(rf"^### {heading}$.*?^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


class Desk:
    """Where the commands are typed; `data` is the volume of the pods."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "volume"
        self.home = folder / "home"
        self.log = folder / "calls"
        self._bin = folder / "bin"
        for made in (self.home / "army", self._bin):
            made.mkdir(parents=True)
        kubectl = self._bin / "kubectl"
        kubectl.write_text(
            KUBECTL.format(
                python=sys.executable, bin=Path(sys.executable).parent,
                log=self.log, data=self.data, root=ROOT, home=self.home,
            ),
            "utf-8",
        )  # fmt: skip
        kubectl.chmod(0o755)

    async def type(self, commands: str) -> str:
        """What is printed; every command must succeed."""
        env = {**os.environ, "HOME": str(self.home), "PATH": f"{self._bin}:{os.environ['PATH']}"}
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", commands,
            cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(120):
            out, _ = await process.communicate()
        words = out.decode()
        assert process.returncode == 0, words
        return words

    def calls(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines()


@pytest.mark.xdist_group("manifests")
async def test_what_was_said_comes_back_from_a_backup_that_was_made_while_the_bot_ran(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with Product(desk.data) as bot:
        me = bot.person()
        upload = await me.upload("notes.txt", b"what was handed over")
        run = await me.launch("rehearsal", "show me around")
        await me.say(run, "and look at this", files=[upload])
        await me.sees(run, lambda looks: any("look at this" in look.text for look in looks), seconds=60)
        said = await desk.type(block("Back it up"))
        assert "The copy is whole." in said
        assert "So are the files." in said
        assert not (desk.data / "backup").exists()
        kept = {path.name.partition("-")[0] for path in (desk.home / "army").iterdir()}
        assert kept == {"army", "files"}
        await me.say(LOBBY, "/launch rehearsal after the backup")
        await me.sees(LOBBY, lambda looks: any("after the backup" in look.text for look in looks), seconds=60)
        await bot.close()
        whole = (desk.data / "army.db").read_bytes()
        (desk.data / "army.db").write_bytes(b"broken" + whole[6:])
        for gone in (desk.data / "files").rglob("*"):
            if gone.is_file():
                gone.unlink()

        said = await desk.type(block("Back it up").splitlines()[0] + "\n" + block("Restore"))
        assert "has the shape of version" in said
        assert (desk.data / "before" / "army.db").exists()
        await bot.start()
        looks = await me.sees(run, lambda looks: any("look at this" in look.text for look in looks), seconds=60)
        assert looks
        assert not any("after the backup" in look.text for look in await me.looks(LOBBY))
        files = [path.read_bytes() for path in (desk.data / "files").rglob("*") if path.is_file()]
        assert b"what was handed over" in files


def test_the_restore_does_not_begin_before_the_bot_is_gone() -> None:
    steps = block("Restore").splitlines()
    order = [
        next(index for index, line in enumerate(steps) if words in line)
        for words in ("patch application root", "patch application controlplane", "--replicas=0", "--for=delete",
                      "data-pod.yaml", "mv -f", "army.db' <", "bot migrate", "delete pod army-data", "apps/root.yaml")
    ]  # fmt: skip
    assert order == sorted(order)
