"""The dependency rule holds, each contract notices its violation, and starting stays cheap."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "dragoman"
CONTRACTS = ROOT / ".importlinter"
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
TIMEOUT = 60

VIOLATIONS = [
    # contract, in which file, what it must not import, how the report names it
    ("layers", "domain/ids.py", "dragoman.ports.clock", "dragoman.domain.ids -> dragoman.ports.clock"),
    ("layers", "ports/clock.py", "dragoman.application.log", "dragoman.ports.clock -> dragoman.application.log"),
    ("layers", "application/log.py", "dragoman.tools", "dragoman.application.log -> dragoman.tools"),
    ("layers", "tools/__init__.py", "dragoman.settings", "dragoman.tools -> dragoman.settings"),
    ("layers", "providers/__init__.py", "dragoman.bootstrap", "dragoman.providers -> dragoman.bootstrap"),
    ("layers", "bootstrap.py", "dragoman.cli", "dragoman.bootstrap -> dragoman.cli"),
    ("layers", "elsewhere.py", "json", "dragoman.elsewhere"),
    (
        "surfaces",
        "surfaces/http/__init__.py",
        "dragoman.surfaces.rest",
        "dragoman.surfaces.http -> dragoman.surfaces.rest",
    ),
    ("surfaces", "surfaces/new.py", "json", "dragoman.surfaces.new"),
    (
        "adapters",
        "adapters/memory/__init__.py",
        "dragoman.adapters.sql",
        "dragoman.adapters.memory -> dragoman.adapters.sql",
    ),
    (
        "providers",
        "providers/scripted/__init__.py",
        "dragoman.providers.openai",
        "dragoman.providers.scripted -> dragoman.providers.openai",
    ),
    ("core", "domain/events.py", "pydantic", "dragoman.domain.events -> pydantic"),
    ("core", "application/runs.py", "fastapi", "dragoman.application.runs -> fastapi"),
    ("sdk", "surfaces/rest/__init__.py", "agents", "dragoman.surfaces.rest -> agents"),
    ("sdk", "tools/__init__.py", "openai", "dragoman.tools -> openai"),
    ("sql", "adapters/memory/__init__.py", "sqlalchemy", "dragoman.adapters.memory -> sqlalchemy"),
    ("sql", "bootstrap.py", "alembic", "dragoman.bootstrap -> alembic"),
    ("cycles", "domain/ids.py", "dragoman.domain.items", "dragoman.domain"),
]


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [LINT_IMPORTS, "--config", CONTRACTS, "--no-cache", "--no-logo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def modules_after(code: str) -> set[str]:
    """The top-level modules a fresh interpreter has loaded once it has run this."""
    dump = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{dump}"], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_every_contract_is_kept():
    done = lint(ROOT / "src")
    assert done.returncode == 0, done.stdout


def test_every_contract_has_a_violation_that_proves_it():
    declared = [
        line[len("[importlinter:contract:") : -1] for line in CONTRACTS.read_text().splitlines() if "contract:" in line
    ]
    assert sorted(declared) == sorted({contract for contract, *_ in VIOLATIONS})


@pytest.mark.parametrize(
    ("contract", "file", "imported", "named"), VIOLATIONS, ids=[f"{v[0]}: {v[1]}" for v in VIOLATIONS]
)
def test_a_violation_is_reported(contract, file, imported, named, tmp_path):
    copy = tmp_path / "dragoman"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / file).open("a") as source:
        source.write(f"\nimport {imported}\n")
    done = lint(tmp_path, "--contract", contract)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert named in done.stdout


@pytest.mark.parametrize("row", ["domain", "ports", "application"])
def test_the_core_imports_the_standard_library_only(row):
    allowed = {*sys.stdlib_module_names, "dragoman"}
    for file in (PACKAGE / row).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import():
                    names = [alias.name for alias in node.names]
                case ast.ImportFrom():
                    names = [node.module or ""]
                case _:
                    continue
            assert {name.partition(".")[0] for name in names} <= allowed, f"{file.name}: {names}"


def test_importing_the_package_imports_no_framework_and_no_sdk():
    assert not modules_after("import dragoman") & {"agents", "fastapi", "openai", "pydantic", "sqlalchemy", "typer"}


def test_the_command_line_imports_neither_the_sdk_nor_the_web_framework():
    help_text = "import contextlib, sys; sys.argv = ['dragoman', '--help']; from dragoman.cli import main\nwith contextlib.suppress(SystemExit): main()"
    loaded = modules_after(help_text)
    assert "typer" in loaded
    assert not loaded & {"agents", "alembic", "fastapi", "openai", "sqlalchemy", "starlette", "uvicorn"}


def test_the_sql_stores_start_without_the_migration_tool():
    assert not modules_after("import dragoman.adapters.sql") & {"agents", "alembic", "fastapi"}
