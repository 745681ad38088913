"""Which models there are, where, and what they cost: from the settings, and from ``dragoman.toml`` for what fills no line."""

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Annotated, Any, LiteralString, Self, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from dragoman.adapters.mcp.server import Per
from dragoman.domain.budgets import Budget, Payer, Span
from dragoman.domain.limits import Limits
from dragoman.domain.prices import DECIMALS, Price, Prices
from dragoman.domain.tenants import Tenant, Tenants
from dragoman.providers.openai.config import (
    OPENAI_BASE_URL,
    Client,
    Dialect,
    ModelEndpoint,
    TimeLimits,
    place_of,
)
from dragoman.settings import Settings, WrongSettings, environment

FILE = Path("dragoman.toml")
DEFAULT_OPENAI_MODEL = "gpt-5-mini"
OPENROUTER_HEADERS = {"HTTP-Referer": "https://github.com/dragoman", "X-Title": "Dragoman"}
KEYS = {"openai": "OPENAI_API_KEY", "openrouter": "OPENROUTER_API_KEY"}
"""Endpoints that need no table: their names, and the setting that holds their key."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_CARRY_KEYS = frozenset({"authorization", "api-key", "x-api-key"})


@dataclass(frozen=True, slots=True)
class ModelSetup:
    """Without endpoints the demo model answers."""

    endpoints: tuple[ModelEndpoint, ...] = ()
    model: str | None = None  # for agents that name none
    fallbacks: tuple[str, ...] = ()
    prices: Prices = field(default_factory=Prices)


# The file ------------------------------------------------------------------------------------------------------------


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[Decimal, Field(ge=0, decimal_places=DECIMALS)]


class TimeoutsTable(_Table):
    connect: Seconds | None = Field(default=None, examples=["5"])
    first_token: Seconds | None = Field(default=None, examples=["20"])
    between_tokens: Seconds | None = Field(default=None, examples=["60"])
    whole_call: Seconds | None = Field(default=None, examples=["600"])


class PriceTable(_Table):
    input: Amount = Field(examples=["1.25"])
    output: Amount = Field(examples=["10"])
    cached_input: Amount | None = Field(default=None, examples=["0.125"])
    date: str = Field(default="", examples=['"2026-11-01"'])
    source: str = Field(default="", examples=['"our contract"'])

    @field_validator("date", mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value

    def price(self) -> Price:
        return Price(self.input, self.output, self.cached_input, self.date, self.source)


class EndpointTable(_Table):
    base_url: str | None = Field(default=None, pattern="^https?://.", examples=['"http://127.0.0.1:11434/v1"'])
    api_key: SecretStr | None = Field(default=None, min_length=1, examples=['"none"'])
    api_key_env: str | None = Field(default=None, min_length=1, examples=['"MY_API_KEY"'])
    dialect: Dialect | None = Field(default=None, examples=['"chat"'])
    client: Client | None = Field(default=None, examples=['"fast"'])
    headers: dict[str, str] = Field(default={}, repr=False, examples=['{ "api-key" = "${AZURE_KEY}" }'])
    query: dict[str, str] = Field(default={}, examples=['{ "api-version" = "2025-04-01" }'])
    models: tuple[str, ...] = Field(default=(), examples=['["llama*", "qwen3:8b"]'])
    timeouts: TimeoutsTable = Field(default=TimeoutsTable(), examples=["{ connect = 5, first_token = 20 }"])
    retries: int | None = Field(default=None, ge=0, examples=["2"])
    max_concurrency: int | None = Field(default=None, ge=1, examples=["8"])
    prices: dict[str, PriceTable] = Field(default={}, examples=['{ "llama3.2" = { input = 0, output = 0 } }'])

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("api_key and api_key_env are two keys; an endpoint has one")
        return self


class ModelsTable(_Table):
    default: str | None = Field(default=None, examples=['"openai:gpt-5-mini"'])
    fallbacks: tuple[str, ...] = Field(default=(), examples=['["openrouter:google/gemini-2.5-flash"]'])


Limit = Annotated[int | None, Field(ge=0)]


class LimitsTable(_Table):
    requests_per_minute: Limit = Field(default=None, examples=["600"])
    concurrent_runs: Limit = Field(default=None, examples=["10"])
    tokens_per_day: Limit = Field(default=None, examples=["1000000"])

    def limits(self) -> Limits:
        return Limits(self.requests_per_minute, self.concurrent_runs, self.tokens_per_day)


class TenantLimitsTable(_Table):
    tenant: LimitsTable = Field(default=LimitsTable(), examples=["{ concurrent_runs = 100 }"])
    user: LimitsTable = Field(default=LimitsTable(), examples=["{ requests_per_minute = 60 }"])
    key: LimitsTable = Field(default=LimitsTable(), examples=["{ tokens_per_day = 1000000 }"])


class TenantTable(_Table):
    agents: tuple[str, ...] | None = Field(default=None, examples=['["assistant", "sales-*"]'])
    limits: TenantLimitsTable = Field(default=TenantLimitsTable(), examples=["{ user = { requests_per_minute = 60 } }"])


class BudgetTable(_Table):
    ceiling: Annotated[Decimal, Field(ge=0, decimal_places=DECIMALS)] = Field(examples=["50"])
    period: Span = Field(default="month", examples=['"month"'])
    per: Payer = Field(default="tenant", examples=['"user"'])
    tenant: str | None = Field(default=None, min_length=1, examples=['"acme"'])
    only: str | None = Field(default=None, min_length=1, examples=['"sarah"'])

    def budget(self, name: str) -> Budget:
        return Budget(name, self.period, self.ceiling, self.per, self.tenant, self.only)


class SecretsTable(_Table):
    headers: dict[str, str] = Field(default={}, repr=False, examples=['{ authorization = "Bearer ${GITHUB_TOKEN}" }'])
    env: dict[str, str] = Field(default={}, repr=False, examples=['{ TOKEN = "${GITHUB_TOKEN}" }'])


class McpTable(SecretsTable):
    command: str | None = Field(default=None, min_length=1, examples=['"npx"'])
    args: tuple[str, ...] = Field(
        default=(), examples=['["-y", "@modelcontextprotocol/server-filesystem", "/srv/files"]']
    )
    cwd: str | None = Field(default=None, examples=['"/srv"'])
    url: str | None = Field(default=None, pattern="^https?://.", examples=['"https://mcp.example.com/mcp"'])
    allow_private: bool = Field(default=False, examples=["true"])
    tenants: dict[str, SecretsTable] = Field(
        default={}, examples=['acme.headers.authorization = "Bearer ${ACME_TOKEN}"']
    )
    per: Per = Field(default="server", examples=['"user"'])
    agents: tuple[str, ...] = Field(default=(), examples=['["assistant", "support_*"]'])
    tools: tuple[str, ...] = Field(default=("*",), examples=['["list_*", "get_*"]'])
    needs_approval: bool | tuple[str, ...] = Field(default=False, examples=['["delete_*"]'])
    timeout: Seconds | None = Field(default=None, examples=["60"])
    connect_timeout: Seconds = Field(default=10.0, examples=["10"])
    concurrency: int | None = Field(default=None, ge=1, examples=["8"])

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("an MCP server has either a command or a url")
        if self.url is None and (self.headers or any(table.headers for table in self.tenants.values())):
            raise ValueError("headers go with a url; a command has env")
        if self.command is None and (self.env or any(table.env for table in self.tenants.values())):
            raise ValueError("env goes with a command; a url has headers")
        return self


class File(_Table):
    models: ModelsTable = Field(default=ModelsTable(), examples=['{ default = "gpt-5-mini" }'])
    endpoints: dict[str, EndpointTable] = Field(default={}, examples=['local.base_url = "http://127.0.0.1:11434/v1"'])
    prices: dict[str, PriceTable] = Field(default={}, examples=['"gpt-5" = { input = 1.25, output = 10 }'])
    tenants: dict[str, TenantTable] = Field(default={}, examples=["acme.limits.user.requests_per_minute = 60"])
    budgets: dict[str, BudgetTable] = Field(default={}, examples=['monthly = { ceiling = 50, per = "user" }'])

    mcp: dict[str, McpTable] = Field(default={}, examples=['github.url = "https://mcp.example.com/mcp"'])

    @field_validator("endpoints", "mcp")
    @classmethod
    def _named(cls, value: dict[str, _Table]) -> dict[str, _Table]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for it: one has 1 to 32 of a-z, 0-9, '-' and '_'")
        return value

    @field_validator("mcp")
    @classmethod
    def _apart(cls, value: dict[str, McpTable]) -> dict[str, McpTable]:
        for name in value:
            if "__" in name:
                raise ValueError(f"{name!r} has two '_' side by side, which part a server's name from its tool's")
        return value


def read_config(settings: Settings) -> File:
    """The file that the settings name; else the one in the current folder, if there is one."""
    path = settings.config or (FILE if FILE.is_file() else None)
    return File() if path is None else read_file(path)


def read_file(path: Path) -> File:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        raise WrongSettings(f"DRAGOMAN_CONFIG: there is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(f"{path} cannot be read: {type(error).__name__}.") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongSettings(f"{path} is no TOML: {error}.") from None
    try:
        return File.model_validate(content)
    except ValidationError as error:
        raise WrongSettings("\n".join(_explained(path, problem) for problem in error.errors())) from None


def _explained(path: Path, problem: Mapping[str, Any]) -> str:
    """A sentence with file, table, key and example; never with the value, which may be a secret."""
    where = [str(step) for step in problem["loc"]]
    table, key = ".".join(where[:-1]), where[-1] if where else ""
    place = f"{path}, [{table}], {key}" if table else f"{path}, {key}"
    fields = _fields_at(where[:-1])
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, fields, n=1)
        known = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(fields)}."
        return f"{place}: there is no such key. {known}"
    reason = problem["msg"].removeprefix("Value error, ")
    example = next(iter(fields[key].examples or ()), None) if key in fields else None
    hint = f" Example: {key} = {example}" if example else ""
    return f"{place}: {reason[:1].lower()}{reason[1:]}.{hint}"


def _fields_at(path: list[str]) -> dict[str, Any]:
    """The keys a table may have."""
    kind: Any = File
    for step in path:
        if isinstance(kind, type) and issubclass(kind, _Table):
            found = kind.model_fields.get(step)
            kind = found.annotation if found else None
        elif isinstance(kind, GenericAlias | UnionType):
            kind = get_args(kind)[-1]
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, _Table) else {}


# What it means -------------------------------------------------------------------------------------------------------


def read_tenants(settings: Settings) -> Tenants:
    """Those that the file names."""
    return Tenants({name: Tenant(table.agents) for name, table in read_config(settings).tenants.items()})


def read_models(settings: Settings) -> ModelSetup:
    """Raises ``WrongSettings`` for anything that cannot work."""
    file = read_config(settings)
    reader = _Reader(settings, file, settings.config or FILE, environment())
    setup = ModelSetup(
        endpoints=tuple(reader.endpoints()),
        model=settings.model or file.models.default,
        fallbacks=settings.fallbacks or file.models.fallbacks,
        prices=Prices({**well_known_prices(), **reader.prices()}),
    )
    if "openai" not in settings.providers:
        return setup
    return _checked(settings, setup if setup.model else replace(setup, model=_default_model(setup.endpoints)))


def well_known_prices() -> dict[str, Price]:
    """Those that come with the package, by model."""
    text = resources.files("dragoman").joinpath("prices.toml").read_text(encoding="utf-8")
    prices: dict[str, Price] = {}
    for vendor in tomllib.loads(text, parse_float=Decimal).values():
        about = {"date": vendor["date"], "source": vendor["source"]}
        prices |= {name: PriceTable(**price, **about).price() for name, price in vendor["models"].items()}
    return prices


@dataclass(frozen=True, slots=True)
class _Reader:
    settings: Settings
    file: File
    path: Path
    environment: Mapping[str, str]

    def endpoints(self) -> Iterator[ModelEndpoint]:
        """Those of the file in its order, then those that a key alone makes."""
        for name, table in self.file.endpoints.items():
            yield self._of_table(name, table)
        if "openai" not in self.file.endpoints and self.settings.openai_api_key is not None:
            yield self._plain("openai")
        if "openrouter" not in self.file.endpoints and self.settings.openrouter_api_key is not None:
            # Beside another endpoint it gets the names that look like its own.
            beside = self.file.endpoints or self.settings.openai_api_key is not None
            yield replace(self._plain("openrouter"), models=("*/*",) if beside else ())

    def prices(self) -> dict[str, Price]:
        prices = {name: table.price() for name, table in self.file.prices.items()}
        for endpoint, table in self.file.endpoints.items():
            prices |= {f"{endpoint}:{name}": price.price() for name, price in table.prices.items()}
        return prices

    def _plain(self, name: str) -> ModelEndpoint:
        return replace(self._known(name), api_key=self._known_key(name) or "", dialect=self.settings.dialect)

    def _known(self, name: str) -> ModelEndpoint:
        """What is known of an endpoint without a table."""
        settings = self.settings
        limits = TimeLimits(settings.model_timeout)
        endpoint = ModelEndpoint("", name=name, client=settings.client, limits=limits, retries=settings.model_retries)
        if name == "openai":
            return replace(endpoint, base_url=settings.openai_base_url or OPENAI_BASE_URL)
        if name == "openrouter":
            return replace(endpoint, base_url=settings.openrouter_base_url, headers=OPENROUTER_HEADERS)
        return endpoint

    def _known_key(self, name: str) -> str | None:
        keys = {"openai": self.settings.openai_api_key, "openrouter": self.settings.openrouter_api_key}
        key = keys.get(name)
        return key.get_secret_value() if key is not None else None

    def _of_table(self, name: str, table: EndpointTable) -> ModelEndpoint:
        known = self._known(name)
        base_url = table.base_url or known.base_url
        if not base_url:
            raise self._wrong(name, "base_url", "it is missing", 'base_url = "http://127.0.0.1:11434/v1"')
        headers = {**known.headers, **self._filled(name, "headers", table.headers)}
        given, limits = table.timeouts, known.limits or TimeLimits()
        return replace(
            known,
            base_url=base_url,
            api_key=self._key(name, table, base_url, headers),
            dialect=table.dialect,
            client=table.client or known.client,
            headers=headers,
            query=self._filled(name, "query", table.query),
            models=table.models,
            retries=known.retries if table.retries is None else table.retries,
            max_concurrency=table.max_concurrency,
            limits=TimeLimits(
                silence=given.between_tokens or limits.silence,
                connect=given.connect or limits.connect,
                first_token=given.first_token or limits.first_token,
                call=given.whole_call or limits.call,
            ),
        )

    def _key(self, name: str, table: EndpointTable, base_url: str, headers: Mapping[str, str]) -> str:
        if table.api_key is not None:
            key = table.api_key.get_secret_value()
            return key if key != "none" else ""
        if table.api_key_env is not None:
            return self._variable(table.api_key_env, name)
        if _CARRY_KEYS & {header.lower() for header in headers}:
            return ""
        if (known := self._known_key(name)) is not None:
            return known
        if _near(base_url):
            return ""
        if setting := KEYS.get(name):
            raise WrongSettings(f"{setting}: [endpoints.{name}] in {self.path} needs it, and it is not set.")
        variable = f"{name.upper().replace('-', '_')}_API_KEY"
        raise self._wrong(
            name,
            "api_key_env",
            "the endpoint's key is missing",
            f'api_key_env = "{variable}"; an endpoint that asks for none says api_key = "none"',
        )

    def _filled(self, name: str, key: str, values: Mapping[str, str]) -> dict[str, str]:
        """With ``${NAME}`` replaced by what the environment says, so that no secret has to be in the file."""
        where = f"{name}.{key}"
        return {k: _VARIABLE.sub(lambda found: self._variable(found[1], where), v) for k, v in values.items()}

    def _variable(self, variable: str, where: str) -> str:
        if value := self.environment.get(variable):
            return value
        raise WrongSettings(f"{variable}: [endpoints.{where}] in {self.path} needs it, and it is not set.")

    def _wrong(self, name: str, key: str, reason: str, example: str) -> WrongSettings:
        return WrongSettings(f"{self.path}, [endpoints.{name}], {key}: {reason}. Example: {example}")


def _near(url: str) -> bool:
    """On this machine or in its own network: there, endpoints without keys are nothing unusual."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _default_model(endpoints: tuple[ModelEndpoint, ...]) -> str | None:
    """What the first endpoint is known to have."""
    if not endpoints:
        return None
    first = endpoints[0]
    listed = next((f"{first.name}:{model}" for model in first.models if not set(model) & set("*?[")), None)
    at_openai = first.base_url.rstrip("/") == OPENAI_BASE_URL
    return listed or (DEFAULT_OPENAI_MODEL if at_openai else None)


# What cannot be right ------------------------------------------------------------------------------------------------


def _checked(settings: Settings, setup: ModelSetup) -> ModelSetup:
    if settings.openai_base_url is not None and all(endpoint.name != "openai" for endpoint in setup.endpoints):
        raise WrongSettings(
            "OPENAI_API_KEY: OPENAI_BASE_URL names a model endpoint and its key is missing. "
            "Set it (any word will do for an endpoint without keys), or unset OPENAI_BASE_URL."
        )
    if not setup.endpoints:
        _check_demo(settings, setup)
        return setup
    if setup.model is None:
        raise WrongSettings(
            "AI_MODEL: a model endpoint is configured, but no model. Example: AI_MODEL=google/gemini-pro."
        )
    named: tuple[tuple[LiteralString, str], ...] = (
        ("AI_MODEL", setup.model),
        *(("DRAGOMAN_FALLBACKS", model) for model in setup.fallbacks),
        *(("DRAGOMAN_ALLOWED_MODELS", model) for model in settings.allowed_models),
        *(("DRAGOMAN_PLAIN_MODELS", model) for model in settings.plain_models),
    )
    for setting, model in named:
        if place_of(model, setup.endpoints) is None:
            names = ", ".join(endpoint.name for endpoint in setup.endpoints)
            raise WrongSettings(
                f"{setting}: no endpoint has the model {model!r}. Example: {names.split(',')[0]}:{model}."
            )
    if settings.conversation_state == "provider" and not _speaks_responses(setup.model, setup.endpoints):
        raise WrongSettings(
            "DRAGOMAN_CONVERSATION_STATE: `provider` needs an endpoint that speaks Responses and keeps conversations. "
            "Set DRAGOMAN_MODEL_DIALECT=responses if yours does, or DRAGOMAN_CONVERSATION_STATE=local."
        )
    return setup


def _speaks_responses(model: str, endpoints: tuple[ModelEndpoint, ...]) -> bool:
    place = place_of(model, endpoints)
    return place is not None and place[0].spoken == "responses"


def _check_demo(settings: Settings, setup: ModelSetup) -> None:
    """Nobody gets the demo model who plainly meant a real one."""
    if wanted := setup.model or next(iter(setup.fallbacks), None):
        raise WrongSettings(
            f"OPENAI_API_KEY: AI_MODEL asks for {wanted!r} and no key is set. "
            "Set OPENAI_API_KEY or OPENROUTER_API_KEY, or unset AI_MODEL for the demo model."
        )
    if settings.plain_models:
        raise WrongSettings(
            f"DRAGOMAN_PLAIN_MODELS: it offers {settings.plain_models[0]!r} and no model endpoint is configured. "
            "Set OPENAI_API_KEY or OPENROUTER_API_KEY, or unset it."
        )
    if settings.conversation_state == "provider":
        raise WrongSettings("DRAGOMAN_CONVERSATION_STATE: the demo model keeps no conversations; use `local`.")
    if settings.demo == "off":
        raise WrongSettings("OPENAI_API_KEY: no model is configured and DRAGOMAN_DEMO=off forbids the demo model.")
