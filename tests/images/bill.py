"""`python3 -m tests.images.bill FILE agent`: whether a bill of materials names what the image is known to hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path

KNOWN = {
    "agent": {"pkg:deb/debian/git", "pkg:deb/debian/bubblewrap", "pkg:npm/%40anthropic-ai/claude-code",
              "pkg:npm/opencode-ai", "pkg:pypi/claude-agent-sdk", "pkg:generic/python"},
    "bot": {"pkg:pypi/aiohttp", "pkg:pypi/discord-py", "pkg:pypi/python-telegram-bot", "pkg:deb/debian/libc6",
            "pkg:generic/python"},
}  # fmt: skip


def main() -> int:
    file, image = sys.argv[1:]
    bill = json.loads(Path(file).read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5"), bill["bomFormat"]
    purls = [component["purl"] for component in bill["components"]]
    assert len(set(purls)) == len(purls), "something is listed twice"
    assert all(component["version"] and component["name"] for component in bill["components"])
    missing = KNOWN[image] - {purl.rpartition("@")[0] for purl in purls}
    assert not missing, f"the bill of {image} does not name {missing}"
    print(f"the bill of materials of {image} names {len(purls)} parts")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
