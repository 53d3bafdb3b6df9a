"""URLs of databases as providers hand them out."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from bot.store.url import postgres_address

NEON = "postgresql://me:npg_x@ep-cool-1.eu-central-1.aws.neon.tech/db?sslmode=require"
SUPABASE = "postgresql://postgres.abc:x@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
AIVEN = "postgres://avnadmin:x@pg-1.aivencloud.com:12691/defaultdb?sslmode=require"

TABLE = Path(__file__).parents[3] / "docs" / "databases.md"

# URL, options that asyncpg gets, names that are ignored, behind a pooling proxy
PROVIDERS = {
    "Heroku": ("postgres://u:p@ec2-1.compute-1.amazonaws.com:5432/d1", {}, (), None),
    "Heroku as node drivers write it": (
        "postgres://u:p@ec2-1.amazonaws.com:5432/d?ssl=true",
        {"sslmode": "require"},
        (),
        None,
    ),
    "Neon": (f"{NEON}&channel_binding=require", {"sslmode": "require"}, ("channel_binding",), None),
    "Neon for old clients": (
        f"{NEON}&options=endpoint%3Dep-cool-1",
        {"sslmode": "require", "options": "endpoint=ep-cool-1"},
        (),
        None,
    ),
    "Supabase for Prisma": (
        f"{SUPABASE}?pgbouncer=true&connection_limit=1",
        {},
        ("connection_limit",),
        True,
    ),
    "Supabase": (f"{SUPABASE}?sslmode=require&supa=base-pooler.x", {"sslmode": "require"}, ("supa",), None),
    "Aiven": (AIVEN, {"sslmode": "require"}, (), None),
    "DigitalOcean": (
        "postgresql://doadmin:x@db-1.b.db.ondigitalocean.com:25060/db?sslmode=require",
        {"sslmode": "require"},
        (),
        None,
    ),
    "Render": ("postgresql://u:p@dpg-1-a.frankfurt-postgres.render.com/db", {}, (), None),
    "Railway": ("postgresql://postgres:p@roundhouse.proxy.rlwy.net:12345/railway", {}, (), None),
    "Fly": ("postgres://postgres:p@app-db.flycast:5432/db?sslmode=disable", {"sslmode": "disable"}, (), None),
    "CockroachDB": (
        "postgresql://u:p@free-tier.cockroachlabs.cloud:26257/defaultdb?sslmode=verify-full&options=--cluster%3Dc-1",
        {"sslmode": "verify-full", "sslrootcert": "a file", "options": "--cluster=c-1"},
        (),
        None,
    ),
    "Azure": (
        "postgresql://u%40server:p@server.postgres.database.azure.com:5432/db?sslmode=require",
        {"sslmode": "require"},
        (),
        None,
    ),
    "Google, by socket": ("postgresql://u:p@/db?host=/cloudsql/p:r:i", {"host": "/cloudsql/p:r:i"}, (), None),
    "Amazon RDS, libpq 16": (
        "postgresql://u:p@db.eu-west-1.rds.amazonaws.com/db?sslrootcert=system",
        {"sslmode": "verify-full", "sslrootcert": "a file"},
        (),
        None,
    ),
    "Crunchy": ("postgres://application:p@p.abc.db.postgresbridge.com:5432/postgres", {}, (), None),
    "Timescale": (
        "postgres://tsdbadmin:p@a.b.tsdb.cloud.timescale.com:33333/tsdb?sslmode=require",
        {"sslmode": "require"},
        (),
        None,
    ),
    "Prisma": ("postgresql://u:p@host:5432/db?schema=public&pool_timeout=2", {}, ("pool_timeout", "schema"), None),
    "Scalingo": ("postgres://u:p@host.osc.scalingo.com:30000/db?sslmode=prefer", {"sslmode": "prefer"}, (), None),
    "two hosts": (
        "postgresql://u:p@a:5432,b:5433/db?connect_timeout=3&keepalives=1",
        {"target_session_attrs": "read-write"},
        ("connect_timeout", "keepalives"),
        None,
    ),
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_the_driver_is_given(provider: str) -> None:
    url, options, ignored, pooled = PROVIDERS[provider]
    address = postgres_address(url)
    parts = urlsplit(address.dsn)
    given = dict(parse_qsl(parts.query))
    if (root := given.get("sslrootcert")) and options.get("sslrootcert") == "a file":
        assert Path(root).is_file()
        given["sslrootcert"] = "a file"
    assert given == options
    assert (address.ignored, address.pooled) == (ignored, pooled)
    assert parts.netloc == urlsplit(url).netloc


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_table_in_the_docs(provider: str) -> None:
    """It has each of them, with the names of what is ignored."""
    url, _, ignored, _ = PROVIDERS[provider]
    (row,) = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {provider} |")]
    assert f"| `{url}` |" in row
    assert all(f"`{name}`" in row for name in ignored)
    assert ("ignored, and told" in row) is bool(ignored)


def test_several_hosts_are_named() -> None:
    assert postgres_address("postgresql://u:p@a,b:5433/db").place == "a:5432,b:5433/db"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:se@cret@host/db", "percent-encode"),
        ("postgresql://u:1/se@cret@host/db", "percent-encode"),
        ("postgresql://u:12/cret@host/db", "percent-encode"),
        ("postgresql://u:se?cret@host/db", "percent-encode"),
        ("postgresql://u:se[cret@host/db", "percent-encode"),
        ("postgresql://u:secret@host/db?sslmode=on_please", "sslmode is one of"),
        ("postgresql://u:secret@host/db?ssl=maybe", "sslmode is one of"),
        ("postgresql://u:secret@host/db?sslmode=verify-full&sslrootcert=/no/secret.crt", "sslrootcert names a file"),
        ("postgresql://u:secret@host/db?sslkey=/no/secret.key", "sslkey names a file"),
        ("postgresql://u:secret@a,b/db?target_session_attrs=secret", "target_session_attrs is one of"),
        ("postgresql://u:secret@host/db?sslnegotiation=secret", "sslnegotiation is"),
        ("postgresql://u:secret@host:1,other:x/db", "host or port"),
    ],
)
def test_what_is_refused(url: str, says: str) -> None:
    """With a sentence of its own, and no part of a password."""
    with pytest.raises(ValueError, match=says) as refusal:
        postgres_address(url)
    assert "cret" not in str(refusal.value)
