"""The command line. Results go to stdout, progress and logs to stderr.

Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 cannot start (one line that says what is wrong and how to mend it).
"""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from media_inference import __version__
from media_inference.errors import CannotStart
from media_inference.processes.logs import set_up_logs
from media_inference.settings import Settings, load_settings

# Each command imports what it runs: `token` and `--help` need neither an inference engine nor a web server.

app = typer.Typer(
    name="media-inference",
    help="Photos in, faces and vectors out: an asynchronous AI inference service for media libraries.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The models: which there are, which are on disk.", no_args_is_help=True)
app.add_typer(models_app, name="models")


def _an_address(host: str) -> str:
    if not host:  # it would mean every address of the machine
        raise typer.BadParameter("expected an address or a host name, got an empty one")
    return host


Host = Annotated[str, typer.Option(callback=_an_address, envvar="MEDIA_INFERENCE_HOST", help="Address to listen on.")]
Port = Annotated[
    int, typer.Option(min=0, max=65535, envvar="MEDIA_INFERENCE_PORT", help="Port to listen on; 0 takes a free one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main() -> None:
    """Runs a command and exits; the one place that turns `CannotStart` into an exit code."""
    try:
        app()
    except KeyboardInterrupt:  # before a command could see to it by itself
        sys.exit(130)
    except CannotStart as error:
        print(f"media-inference: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(3)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8001,
    workers: Annotated[
        int, typer.Option(min=1, max=64, envvar="MEDIA_INFERENCE_WORKERS", help="Worker processes.")
    ] = 1,
) -> None:
    """Run the whole service on this machine; nothing else is needed."""
    from media_inference.processes.up import run_up

    raise typer.Exit(run_up(_start(), host, port, workers))


@app.command()
def serve(host: Host = "127.0.0.1", port: Port = 8001) -> None:
    """Run the API and the publisher; workers run elsewhere."""
    from media_inference.processes.serve import run_serve

    raise typer.Exit(run_serve(_start(), host, port))


@app.command()
def worker(
    processes: Annotated[
        int, typer.Option(min=1, max=64, envvar="MEDIA_INFERENCE_WORKERS", help="Worker processes.")
    ] = 1,
) -> None:
    """Run workers; the API runs elsewhere."""
    from media_inference.processes.worker import run_workers

    raise typer.Exit(run_workers(_start(), processes))


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    from media_inference.processes.database import open_database
    from media_inference.queue.migrate import newest_revision

    open_database(_start(), migrate=True).dispose()
    typer.echo(newest_revision())


@app.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder with photos, not searched recursively; the demo's own samples without one."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo-report"),
    as_json: AsJson = False,
) -> None:
    """Run all three tasks on some photos and write a report."""
    from media_inference.demo.run import run_demo

    raise typer.Exit(run_demo(_start(), folder, out, as_json=as_json))


@app.command()
def token(
    sub: Annotated[str, typer.Option(help="Whom the token names.")],
    permission: Annotated[list[str] | None, typer.Option(help="A permission; may be given several times.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="The token is an administrator's.")] = False,
    ttl: Annotated[str, typer.Option(help="How long it is good for: 90s, 15m, 1h, 7d.")] = "1h",
) -> None:
    """Print a token signed with the private key that `up` made."""
    from media_inference.processes.keys import sign_here

    seconds = _seconds(ttl)
    typer.echo(sign_here(load_settings(), subject=sub, permissions=permission or [], admin=admin, ttl_seconds=seconds))


@app.command()
def audit(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is found, from what the database has.")] = False,
    without_vectors: Annotated[
        bool, typer.Option("--without-vectors", help="Leave the vector store out: a running service holds it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare database, vectors and files both ways; exit 1 when something is wrong and left so."""
    from media_inference.processes.audit import print_report, run_audit

    report = run_audit(_start(), fix=fix, with_vectors=not without_vectors)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        print_report(report)
    raise typer.Exit(1 if report.left else 0)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where it goes: a folder that is not there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write a backup while the service goes on: database, files, photos of the built-in store, keys."""
    from media_inference.processes.backup import run_backup

    raise typer.Exit(run_backup(_start(), folder.absolute(), as_json=as_json))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A backup.")],
    into: Annotated[Path | None, typer.Option(help="The data folder; DATABASE_DIR without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into an empty data folder, and make its vectors."""
    from media_inference.processes.backup import run_restore

    settings = load_settings() if into is None else load_settings(database_dir=into)
    set_up_logs(settings)
    raise typer.Exit(run_restore(settings, folder.absolute(), as_json=as_json))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at every dependency and setting; exit 1 when something would stop the service."""
    from media_inference.processes.doctor import examine, print_findings

    findings = examine(_start())
    if as_json:
        typer.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        print_findings(findings)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Every model: what it does, its licence and size, where it comes from, whether it is on disk."""
    from media_inference.processes.model_list import describe_models, print_models

    rows = describe_models(load_settings())
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
    else:
        print_models(rows)


@models_app.command("pull")
def pull_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to get; those of the settings, with the text tower, without any.")
    ] = None,
) -> None:
    """Download models, checked against their pinned hashes; one that broke off goes on where it ended."""
    from media_inference.processes.model_pull import pull_models as pull

    raise typer.Exit(pull(_start(), names or []))


@models_app.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to check; all that are on disk without any.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the files of the models on disk with their pinned hashes; exit 1 when one differs or is missing."""
    from media_inference.processes.model_verify import print_verified
    from media_inference.processes.model_verify import verify_models as verify

    files = verify(load_settings(), names or [])
    if as_json:
        typer.echo(json.dumps([file.as_json() for file in files], indent=2))
    else:
        print_verified(files)
    raise typer.Exit(1 if any(file.fault for file in files) else 0)


def _start() -> Settings:
    settings = load_settings()
    set_up_logs(settings)
    return settings


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"expected a duration such as 90s, 15m, 1h or 7d, got {text!r}", param_hint="--ttl")
    return int(match[1]) * _UNITS[match[2]]
