"""Everything an operator can choose, read once from the environment and ``.env``. Only ``bootstrap`` and above read it."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dragoman.domain.runs import OnBusy, OnDisconnect

SEARCHES = ("folder", "searxng", "tavily", "brave")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SQLITE_PREFIX = "sqlite:///"
POSTGRES = re.compile(r"postgres(ql)?(\+\w+)?://.")
PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^/]*(?=@)")


def _split(value: Any) -> Any:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]  # written as a,b,c


LIMITS = tuple(
    f"{bearer}_{limit}"
    for bearer in ("tenant", "user", "key")
    for limit in ("requests_per_minute", "concurrent_runs", "tokens_per_day")
)


class WrongSettings(ValueError):
    """The start is refused; the text says which setting is wrong, why, and what a right one looks like."""


def _setting(default: Any, name: str, *more: str, about: str, example: str, repr: bool = True) -> Any:
    return Field(default, validation_alias=AliasChoices(name, *more), description=about, examples=[example], repr=repr)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    # Where it listens
    host: str = _setting("127.0.0.1", "HOST", about="The address to listen on.", example="0.0.0.0")  # noqa: S104
    port: int = _setting(8000, "PORT", about="The port to listen on.", example="8000")
    workers: int = _setting(
        1, "WEB_CONCURRENCY", about="Worker processes; more than one needs PostgreSQL.", example="1"
    )
    role: Literal["both", "api", "worker"] = _setting(
        "both",
        "DRAGOMAN_ROLE",
        about="`api` takes requests and plays no runs, `worker` plays them and takes no requests; needs PostgreSQL.",
        example="both",
    )
    auth: Literal["none", "token"] | None = _setting(
        None,
        "DRAGOMAN_AUTH",
        about="Who may call: `token` wants a JWT or an API key, `none` is one local user. "
        "Unset: `token` if a secret or a JWKS URL is set, else `none`, for loopback only.",
        example="token",
    )
    better_auth_secret: SecretStr | None = _setting(
        None,
        "BETTER_AUTH_SECRET",
        about="The secret that JWTs are signed with (HS256), if not with a key of a JWKS URL.",
        example="a random text of 32 characters or more",
    )
    jwt_secret: SecretStr | None = _setting(
        None,
        "JWT_SECRET",
        about="The same, for any other issuer; with both, either will do.",
        example="a random text of 32 characters or more",
    )
    jwt_jwks_url: str | None = _setting(
        None,
        "JWT_JWKS_URL",
        about="Where the public keys of the issuer are (EdDSA, ES256, RS256, PS256); with it, secrets are ignored.",
        example="https://example.com/api/auth/jwks",
    )
    jwt_issuer: str | None = _setting(
        None,
        "JWT_ISSUER",
        about="What `iss` must say in a JWT; unset, anything.",
        example="https://example.com",
    )
    jwt_audience: Names = _setting(
        (),
        "JWT_AUDIENCE",
        about="What `aud` must name in a JWT, one of these; unset, anything.",
        example="https://agents.example.com",
    )
    tenant_claim: str | None = _setting(
        None,
        "DRAGOMAN_TENANT_CLAIM",
        about="Which claim of a JWT says the tenant (`a.b` is b inside a); unset, everybody is in `default`.",
        example="org.id",
    )
    scopes_claim: str | None = _setting(
        None,
        "DRAGOMAN_SCOPES_CLAIM",
        about="Which claim of a JWT lists scopes; unset or absent, what ordinary users may do.",
        example="scope",
    )
    allowed_hosts: Names = _setting(
        (),
        "DRAGOMAN_ALLOWED_HOSTS",
        about="More Host headers to accept without authentication.",
        example="agents.local",
    )
    cors_origins: Names = _setting(
        (),
        "DRAGOMAN_CORS_ORIGINS",
        about="Origins of web pages that may call from a browser; unset, none.",
        example="https://app.example.com",
    )
    body_limit: int = _setting(
        4_194_304, "DRAGOMAN_BODY_LIMIT", about="The largest request body, in bytes.", example="4194304"
    )

    trusted_hosts: Names = _setting(
        (),
        "DRAGOMAN_TRUSTED_HOSTS",
        about="Hosts, perhaps with a port, that addresses given by callers may name although they are private.",
        example="files.example.internal:9000",
    )

    # Where it keeps things
    sessions_enabled: bool = _setting(
        True,
        "ENABLE_SESSIONS",
        about="Whether conversations are kept. Without, every run is stateless.",
        example="true",
    )
    session_db_path: Path = _setting(
        Path("dragoman.db"), "SESSION_DB_PATH", about="The SQLite file.", example="./data/dragoman.db"
    )
    database_url: str | None = _setting(
        None,
        "DATABASE_URL",
        about="The database, SQLite or PostgreSQL; wins over SESSION_DB_PATH.",
        example="postgresql://user:password@localhost/dragoman",
        repr=False,  # it may hold a password
    )
    db_pool_size: int = _setting(
        10, "DRAGOMAN_DB_POOL_SIZE", about="PostgreSQL: connections each process keeps open.", example="10"
    )
    db_pool_overflow: int = _setting(
        20, "DRAGOMAN_DB_POOL_OVERFLOW", about="PostgreSQL: how many more it opens under load.", example="20"
    )
    sqlite_synchronous: Literal["normal", "full"] = _setting(
        "normal",
        "DRAGOMAN_SQLITE_SYNCHRONOUS",
        about="`normal` survives a crash of the process, `full` also a loss of power.",
        example="normal",
    )

    # Models
    model: str | None = _setting(
        None,
        "AI_MODEL",
        "OPENAI_MODEL",
        about="The model agents use; at OpenAI itself, gpt-5-mini unless set.",
        example="gpt-5-mini",
    )
    fallbacks: Names = _setting(
        (),
        "DRAGOMAN_FALLBACKS",
        about="Models to ask, in this order, when the first gives no answer.",
        example="openrouter:google/gemini-2.5-flash",
    )
    config: Path | None = _setting(
        None,
        "DRAGOMAN_CONFIG",
        about="A file with model endpoints and prices. Unset, `dragoman.toml` in the current folder, if there is one.",
        example="./dragoman.toml",
    )
    openai_api_key: SecretStr | None = _setting(
        None, "OPENAI_API_KEY", about="The key of OpenAI, or of the endpoint at OPENAI_BASE_URL.", example="sk-…"
    )
    openai_base_url: str | None = _setting(
        None, "OPENAI_BASE_URL", about="Any OpenAI-compatible endpoint.", example="http://127.0.0.1:11434/v1"
    )
    openrouter_api_key: SecretStr | None = _setting(
        None, "OPENROUTER_API_KEY", about="The key of OpenRouter; alone, it is enough.", example="sk-or-…"
    )
    openrouter_base_url: str = _setting(
        "https://openrouter.ai/api/v1",
        "OPENROUTER_BASE_URL",
        about="Where OpenRouter is.",
        example="https://openrouter.ai/api/v1",
    )
    dialect: Literal["chat", "responses"] | None = _setting(
        None,
        "DRAGOMAN_MODEL_DIALECT",
        about="Chat Completions or Responses. Unset: `responses` at OpenAI itself, `chat` elsewhere.",
        example="chat",
    )
    client: Literal["fast", "sdk"] = _setting(
        "fast",
        "DRAGOMAN_MODEL_CLIENT",
        about="What speaks to the endpoint: `fast` is Dragoman's own, `sdk` the OpenAI client of the Agents SDK.",
        example="sdk",
    )
    model_timeout: float = _setting(
        60.0, "DRAGOMAN_MODEL_TIMEOUT", about="Seconds of silence after which a model call is given up.", example="60"
    )
    model_retries: int = _setting(
        2, "DRAGOMAN_MODEL_RETRIES", about="How often a model call is tried again before its answer began.", example="2"
    )
    conversation_state: Literal["local", "provider"] = _setting(
        "local",
        "DRAGOMAN_CONVERSATION_STATE",
        about="`provider`: the endpoint keeps conversations as well and is sent only what is new; it must speak Responses.",
        example="provider",
    )
    allowed_models: Names = _setting(
        (),
        "DRAGOMAN_ALLOWED_MODELS",
        about="Models a request may choose with options.model.",
        example="gpt-5,gpt-5-mini",
    )
    plain_models: Names = _setting(
        (),
        "DRAGOMAN_PLAIN_MODELS",
        about="Models of endpoints that the OpenAI API offers as they are, beside the agents.",
        example="gpt-5,gpt-5-mini",
    )
    demo: Literal["auto", "off"] = _setting(
        "auto", "DRAGOMAN_DEMO", about="`auto`: the demo model answers when no model is configured.", example="off"
    )
    demo_speed: float = _setting(
        60.0, "DRAGOMAN_DEMO_SPEED", about="Tokens per second of the demo model; 0 is as fast as it can.", example="60"
    )

    # Research
    search: str | None = _setting(
        None,
        "DRAGOMAN_SEARCH",
        about="Where research searches: `folder`, `searxng`, `tavily`, `brave`, or `tool:NAME` for a tool of yours. "
        "Unset: the service whose key or URL is set, else `folder`.",
        example="searxng",
    )
    search_folder: Path | None = _setting(
        None,
        "DRAGOMAN_SEARCH_FOLDER",
        about="The documents that `folder` searches (.md, .rst, .txt); unset, some about this server.",
        example="handbook",
    )
    searxng_url: str | None = _setting(
        None,
        "SEARXNG_URL",
        about="Your SearXNG instance; it must allow the format `json`.",
        example="http://localhost:8080",
    )
    tavily_api_key: SecretStr | None = _setting(None, "TAVILY_API_KEY", about="The key of Tavily.", example="tvly-…")
    brave_api_key: SecretStr | None = _setting(
        None, "BRAVE_API_KEY", about="The key of the Brave Search API.", example="BSA…"
    )
    research_searches: int = _setting(
        20, "DRAGOMAN_RESEARCH_SEARCHES", about="The most searches one research may make.", example="10"
    )
    research_seconds: float = _setting(
        600.0, "DRAGOMAN_RESEARCH_SECONDS", about="How long one research may take; 0 means no limit.", example="300"
    )
    workflow_calls: int = _setting(
        20,
        "DRAGOMAN_WORKFLOW_CALLS",
        about="How many agents may be at work for workflows, such as research, at once in one process.",
        example="20",
    )

    # Agents and runs
    agents: Names = _setting(
        (),
        "DRAGOMAN_AGENTS",
        about="Files, folders or modules with agents, as given to `dragoman serve`.",
        example="agents/",
    )
    builtin_agents: bool = _setting(
        True, "DRAGOMAN_BUILTIN_AGENTS", about="Whether the built-in agents are served as well.", example="false"
    )
    providers: Names = _setting(
        ("openai",), "DRAGOMAN_PROVIDERS", about="The providers that are enabled.", example="openai,scripted"
    )
    default_provider: str | None = _setting(
        None, "DRAGOMAN_DEFAULT_PROVIDER", about="The one preferred; unset, the first enabled.", example="openai"
    )
    show_instructions: bool = _setting(
        False, "DRAGOMAN_SHOW_INSTRUCTIONS", about="Whether /info tells an agent's instructions.", example="true"
    )
    tool_timeout: float = _setting(
        120.0,
        "DRAGOMAN_TOOL_TIMEOUT",
        about="Seconds that a call of a tool may take, unless the tool says; not for tools of the SDK.",
        example="120",
    )
    tool_output_limit: int = _setting(
        100_000,
        "DRAGOMAN_TOOL_OUTPUT_LIMIT",
        about="How many characters of a tool's result are kept; the rest is cut, with a note for the model.",
        example="100000",
    )
    on_busy: OnBusy = _setting(
        "queue",
        "DRAGOMAN_ON_BUSY",
        about="What a message does to a conversation that is busy, unless its agent or the request says otherwise.",
        example="interrupt",
    )
    on_disconnect: OnDisconnect = _setting(
        "continue",
        "DRAGOMAN_ON_DISCONNECT",
        about="What becomes of a run whose readers have left, unless its agent or the request says otherwise.",
        example="cancel",
    )
    approval_tools: Names = _setting(
        (),
        "DRAGOMAN_APPROVAL_TOOLS",
        about="Tools whose every call a person must agree to, whatever they say themselves; `*` stands for any characters.",
        example="send_*,refund",
    )
    approval_timeout: float = _setting(
        604_800.0,
        "DRAGOMAN_APPROVAL_TIMEOUT",
        about="Seconds after which a call that nobody has decided counts as refused, unless its tool says; 0 is never.",
        example="604800",
    )
    max_runs: int = _setting(
        200,
        "DRAGOMAN_MAX_RUNS",
        about="How many runs this process plays at once; more wait in the queue.",
        example="200",
    )
    history_limit: int = _setting(
        50, "DRAGOMAN_HISTORY_LIMIT", about="How many items of its conversation a run starts from.", example="50"
    )
    history_tokens: int = _setting(
        0,
        "DRAGOMAN_HISTORY_TOKENS",
        about="Instead of a number of items: about how many tokens of its conversation a run starts from, in whole turns.",
        example="16000",
    )
    history_outputs: int = _setting(
        -1,
        "DRAGOMAN_HISTORY_OUTPUTS",
        about="How many of the newest outputs of tools in its history a run is shown whole; -1 is all.",
        example="10",
    )
    history_summary: bool = _setting(
        False,
        "DRAGOMAN_HISTORY_SUMMARY",
        about="Whether a model summarises what is older than what a run starts from.",
        example="true",
    )
    shutdown_grace: float = _setting(
        10.0,
        "DRAGOMAN_SHUTDOWN_GRACE",
        about="Seconds that runs have to finish when the server is stopped.",
        example="30",
    )
    flush_interval: float = _setting(
        0.05,
        "DRAGOMAN_FLUSH_INTERVAL",
        about="Seconds after which streamed text is stored at the latest.",
        example="0.05",
    )

    # What it clears away
    stateless_ttl: float = _setting(
        2_592_000.0,
        "DRAGOMAN_STATELESS_TTL",
        about="Seconds after its end at which a run without a conversation is removed; 0 keeps them all.",
        example="86400",
    )
    cleanup_interval: float = _setting(
        600.0, "DRAGOMAN_CLEANUP_INTERVAL", about="Seconds between two rounds of clearing away.", example="3600"
    )
    thread_ttl_days: float = _setting(
        30.0,
        "DRAGOMAN_THREAD_TTL_DAYS",
        "OPENAI_THREAD_TTL",
        about="Days after its last message when a conversation becomes inactive; 0 is never.",
        example="30",
    )
    retention_days: float = _setting(
        0.0,
        "DRAGOMAN_RETENTION_DAYS",
        about="Days after its last message when a conversation is deleted with everything in it; 0 is never.",
        example="365",
    )

    # Limits
    tenant_requests_per_minute: int = _setting(
        0,
        "DRAGOMAN_TENANT_REQUESTS_PER_MINUTE",
        about="Requests a minute that a tenant may ask for; 0 is no limit.",
        example="600",
    )
    tenant_concurrent_runs: int = _setting(
        0,
        "DRAGOMAN_TENANT_CONCURRENT_RUNS",
        about="Runs under way at once that a tenant may have; 0 is no limit.",
        example="10",
    )
    tenant_tokens_per_day: int = _setting(
        0,
        "DRAGOMAN_TENANT_TOKENS_PER_DAY",
        about="Tokens of models a day that a tenant may use; 0 is no limit.",
        example="1000000",
    )
    user_requests_per_minute: int = _setting(
        0,
        "DRAGOMAN_USER_REQUESTS_PER_MINUTE",
        about="Requests a minute that a user may ask for; 0 is no limit.",
        example="600",
    )
    user_concurrent_runs: int = _setting(
        0,
        "DRAGOMAN_USER_CONCURRENT_RUNS",
        about="Runs under way at once that a user may have; 0 is no limit.",
        example="10",
    )
    user_tokens_per_day: int = _setting(
        0,
        "DRAGOMAN_USER_TOKENS_PER_DAY",
        about="Tokens of models a day that a user may use; 0 is no limit.",
        example="1000000",
    )
    key_requests_per_minute: int = _setting(
        0,
        "DRAGOMAN_KEY_REQUESTS_PER_MINUTE",
        about="Requests a minute that an API key may ask for; 0 is no limit.",
        example="600",
    )
    key_concurrent_runs: int = _setting(
        0,
        "DRAGOMAN_KEY_CONCURRENT_RUNS",
        about="Runs under way at once that an API key may have; 0 is no limit.",
        example="10",
    )
    key_tokens_per_day: int = _setting(
        0,
        "DRAGOMAN_KEY_TOKENS_PER_DAY",
        about="Tokens of models a day that an API key may use; 0 is no limit.",
        example="1000000",
    )

    # Where the command line finds a server
    url: str | None = _setting(
        None,
        "DRAGOMAN_URL",
        about="The server that `dragoman runs` and `dragoman approvals` ask; unset, it looks into the database.",
        example="http://127.0.0.1:8000",
    )
    api_key: SecretStr | None = _setting(
        None, "DRAGOMAN_API_KEY", about="What it shows there to say who it is.", example="dgm_…"
    )

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "LOG_LEVEL", about="How much is logged.", example="INFO"
    )
    log_format: Literal["text", "json"] = _setting(
        "text", "DRAGOMAN_LOG_FORMAT", about="For people, or for machines.", example="json"
    )

    @classmethod
    def load(cls, **given: Any) -> Self:
        """From the environment and ``.env``; ``given`` wins. Raises ``WrongSettings``."""
        _refuse_unknown(os.environ)
        try:
            return cls(**_by_alias(given))
        except ValidationError as error:
            raise WrongSettings(_explain(error)) from None

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Exactly these, with defaults for the rest, whatever the environment says."""
        return cls.model_construct(**given)

    # what follows from them --------------------------------------------------------------------------------------

    @property
    def postgres_url(self) -> str | None:
        """The database, if it is PostgreSQL; else it is the file at ``sqlite_path``."""
        return self.database_url if self.database_url and POSTGRES.match(self.database_url) else None

    @property
    def sqlite_path(self) -> Path:
        if self.database_url is None:
            return self.session_db_path
        return Path(self.database_url.removeprefix(SQLITE_PREFIX))

    @property
    def search_with(self) -> str:
        """Where research searches, said or known by what is configured."""
        configured = (
            ("tavily", self.tavily_api_key),
            ("brave", self.brave_api_key),
            ("searxng", self.searxng_url),
        )
        return self.search or next((name for name, value in configured if value), "folder")

    @property
    def loopback_only(self) -> bool:
        """Without authentication, and without the operator's word that this is meant, only this machine may call."""
        return self.auth is None and not self.tokens

    @property
    def tokens(self) -> bool:
        """Whether callers must show a token."""
        issued = (self.jwt_jwks_url, *self.jwt_secrets)
        return self.auth == "token" or (self.auth is None and any(issued))

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        given = (self.better_auth_secret, self.jwt_secret)
        return tuple(secret.get_secret_value() for secret in given if secret is not None)

    # what cannot be right ----------------------------------------------------------------------------------------

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any, info: Any) -> Any:
        if value == "" and info.field_name is not None:
            return cls.model_fields[info.field_name].default
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("port")
    @classmethod
    def _port(cls, value: int) -> int:
        if not 0 <= value <= 65535:
            raise ValueError("a port is a number from 0 to 65535")
        return value

    @field_validator(
        *("workers", "max_runs", "body_limit", "history_limit", "db_pool_size", "tool_output_limit"),
        *("research_searches", "workflow_calls"),
    )
    @classmethod
    def _positive(cls, value: int) -> int:
        if value < 1:
            raise ValueError("it must be at least 1")
        return value

    @field_validator("model_timeout", "flush_interval", "cleanup_interval", "tool_timeout")
    @classmethod
    def _some_time(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("it must be more than 0 seconds")
        return value

    @field_validator(
        "model_retries",
        "approval_timeout",
        "shutdown_grace",
        "demo_speed",
        "db_pool_overflow",
        "stateless_ttl",
        "thread_ttl_days",
        "retention_days",
        "history_tokens",
        "research_seconds",
        *LIMITS,
    )
    @classmethod
    def _not_negative(cls, value: float) -> float:
        if value < 0:
            raise ValueError("it must not be negative")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str | None) -> str | None:
        if value is None or (value.startswith(SQLITE_PREFIX) and len(value) > len(SQLITE_PREFIX)):
            return value
        if POSTGRES.match(value):
            return value
        raise ValueError("it is no database this server knows")

    @field_validator("jwt_jwks_url", "searxng_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/]", value):
            raise ValueError("it must begin with https:// or http://")
        return value

    @field_validator("search")
    @classmethod
    def _known_search(cls, value: str | None) -> str | None:
        if value is None or value in SEARCHES or re.fullmatch(r"tool:.+", value):
            return value
        raise ValueError(f"it is one of {', '.join(SEARCHES)}, or tool:NAME")

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s*]+", origin):
                raise ValueError(f"{origin!r} is no origin: scheme, host and perhaps a port, without a path")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "*" in self.cors_origins and not self.tokens:
            raise ValueError(
                "DRAGOMAN_CORS_ORIGINS: with * every web page that somebody opens could talk to a server that asks nobody "
                "who they are. Name the origins, or set DRAGOMAN_AUTH=token"
            )
        if self.workers > 1 and self.postgres_url is None:
            raise ValueError(
                f"WEB_CONCURRENCY: {self.workers} processes cannot play runs over one SQLite file; use 1. "
                "Several need PostgreSQL: DATABASE_URL=postgresql://..."
            )
        if self.role != "both" and self.postgres_url is None:
            raise ValueError(
                f"DRAGOMAN_ROLE: a SQLite file has one process, which does everything; {self.role!r} leaves something undone. "
                "Use both, or PostgreSQL: DATABASE_URL=postgresql://..."
            )
        if self.loopback_only and self.host not in LOOPBACK:
            raise ValueError(
                f"HOST: {self.host} can be reached from elsewhere, and nobody is asked who they are. "
                "Set DRAGOMAN_AUTH=token to ask for JWTs and API keys, DRAGOMAN_AUTH=none if everybody shall be one user, "
                "or HOST=127.0.0.1"
            )
        if self.default_provider is not None and self.default_provider not in self.providers:
            raise ValueError(f"DRAGOMAN_DEFAULT_PROVIDER: {self.default_provider!r} is not among DRAGOMAN_PROVIDERS")
        return self


# Showing them --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as ``dragoman settings`` shows it."""

    name: str
    also: tuple[str, ...]
    about: str
    example: str
    value: str
    source: str  # default, environment or .env


def shown(settings: Settings | None = None) -> Iterator[Shown]:
    """All settings with meaning, value and source; secrets masked. Without ``settings``: their defaults."""
    in_file = _dotenv()
    for field_name, field in Settings.model_fields.items():
        names = _names(field_name)
        value = field.default if settings is None else getattr(settings, field_name)
        source = "default"
        if settings is not None and (
            found := next((n for n in names if _get(os.environ, n) or _get(in_file, n)), None)
        ):
            source = "environment" if _get(os.environ, found) else ".env"
        elif value != field.default:
            source = "command line"
        yield Shown(
            names[0], names[1:], field.description or "", str((field.examples or [""])[0]), _text(value), source
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return PASSWORD.sub(r"\1:********", str(value))


def _names(field_name: str) -> tuple[str, ...]:
    alias = Settings.model_fields[field_name].validation_alias
    assert isinstance(alias, AliasChoices)
    return tuple(str(choice) for choice in alias.choices)


def _by_alias(given: Mapping[str, Any]) -> dict[str, Any]:
    return {_names(name)[0]: value for name, value in given.items() if value is not None}


def environment() -> dict[str, str]:
    """What the environment and ``.env`` say; the environment wins."""
    return {**{name: value for name, value in _dotenv().items() if value is not None}, **os.environ}


def _dotenv() -> Mapping[str, str | None]:
    return dotenv_values(".env") if Path(".env").is_file() else {}


def _get(source: Mapping[str, str | None], name: str) -> str | None:
    return source.get(name) or source.get(name.lower())


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = [name for field_name in Settings.model_fields for name in _names(field_name)]
    for name in (*environment, *_dotenv()):
        if name.upper().startswith("DRAGOMAN_") and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {close[0]}?" if close else " `dragoman settings` lists all."
            raise WrongSettings(f"{name}: there is no such setting.{hint}")


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        reason = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            lines.append(f"{reason}.")
            continue
        name = str(problem["loc"][0])
        field_name = next((f for f in Settings.model_fields if name.upper() in _names(f)), None)
        example = (Settings.model_fields[field_name].examples or [""])[0] if field_name else ""
        lines.append(f"{name.upper()}: {reason[:1].lower()}{reason[1:]}. Example: {name.upper()}={example}")
    return "\n".join(lines)
