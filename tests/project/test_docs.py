"""The books are true: commands in them are run, links in them lead somewhere, and nothing that has a code is missing."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.domain.errors import DragomanError
from tests.server import serving

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]+) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    for found in BLOCK.finditer(page.read_text()):
        yield found["mark"] or "", found["language"], found["body"]


def marked(page: Path, mark: str) -> list[str]:
    return [body for found, _, body in blocks(page) if found == mark]


RUN = [page for page in PAGES if marked(page, "run")]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
async def test_the_commands_of_a_page_work(page: Path, tmp_path: Path) -> None:
    files = {mark.removeprefix("file: "): body for mark, _, body in blocks(page) if mark.startswith("file: ")}
    for name, body in files.items():
        (tmp_path / name).write_text(body)
    agents = [name for name in files if name.endswith(".py")]
    async with serving(tmp_path, *agents) as server, asyncio.timeout(90):
        for command in marked(page, "run"):
            shell = f"set -eu\n{command}".replace("localhost:8000", f"127.0.0.1:{server.port}")
            process = await asyncio.create_subprocess_shell(
                shell, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output, _ = await process.communicate()
            said = output.decode()
            assert process.returncode == 0, f"{command}\n{said}"
            assert "urn:dragoman:problem" not in said, f"{command}\n{said}"
            assert '"success":false' not in said, f"{command}\n{said}"


def test_there_are_commands_to_run() -> None:
    assert {"README.md", "docs/tutorial/first-agent.md"} <= {str(page.relative_to(ROOT)) for page in RUN}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_python_compiles(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for _, language, body in blocks(page):
        if language == "python":
            compile(body, str(page), "exec", flags=0x2000)  # top-level await is fine in a text


def test_every_error_code_is_documented() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    for error in subclasses(DragomanError):
        assert f"| `{error.code}` |" in page, f"docs/reference/errors.md lacks {error.code}"


def subclasses(cls: type[DragomanError]) -> Iterator[type[DragomanError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from subclasses(child)
