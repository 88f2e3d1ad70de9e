"""The command `descent`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from descent import errors, terminal
from descent.client import Client
from descent.commands import doctor_findings, load_rows, train_options
from descent.errors import APIError, DescentError, JobFailed, Unreachable
from descent.handles import Job, Model
from descent.local import service
from descent.operations import check_folder, format_of
from descent.watching import watch_job
from engine import __version__

app = typer.Typer(
    name="descent",
    help="Train multilayer perceptrons: the service, and what one does with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# What helps, where it is another thing than for a program.
FIXES = {
    **errors.FIXES,
    "illegal_transition": "`descent jobs` shows its status.",
    "not_found": "`descent jobs` lists what is there.",
    "too_large": "`/v1/limits` of the service says what it accepts.",
    "unsupported_format": "a CSV, JSON, Parquet, Arrow or NumPy file.",
}
FAILED, REFUSED, UNREACHABLE, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141

Url = Annotated[str | None, typer.Option("--url", help="Where the service is; else DESCENT_URL, else this machine.")]
TABLES = "A file: CSV, JSON, Parquet, Arrow or NumPy, packed or not."
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept; else DESCENT_DATA_DIR, else ./data.")]


def main() -> None:
    """Run the command; every error ends in a line that says what helps, and an exit code."""
    try:
        app(prog_name="descent")
    except BrokenPipeError:
        # Who reads us (`head`) has enough; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)


@contextmanager
def told_errors() -> Iterator[None]:
    """End with a message and an exit code, not a traceback."""
    try:
        yield
    except Unreachable as error:
        fail(f"{error}\nStart it with `descent serve`, or say where it is: --url, or DESCENT_URL.", UNREACHABLE)
    except APIError as error:
        fail(error.told(FIXES), REFUSED if error.status < 500 else FAILED)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        fail(f"{error.filename}: {error.strerror}", REFUSED)
    except (DescentError, ValueError) as error:
        fail(str(error), FAILED if isinstance(error, JobFailed) else REFUSED)


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong, and end."""
    sys.stderr.write(f"descent: {message}\n")
    raise typer.Exit(code)


def _say_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"descent {__version__}\n")
        raise typer.Exit


@app.callback()
def _descent(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: a free one.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run API, worker and page until Ctrl-C."""
    _become("app", host=host, port=port, data_dir=data_dir)


@app.command()
def worker(data_dir: DataDir = None) -> None:
    """Run one more worker, on the same data folder or database, until Ctrl-C."""
    _become("app.worker", data_dir=data_dir)


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database up to date; a second time changes nothing."""
    said = {} if data_dir is None else {"DESCENT_DATA_DIR": str(data_dir)}
    environment = {**os.environ, **said}
    if "DESCENT_DATABASE_URL" not in environment:
        Path(environment.get("DESCENT_DATA_DIR", "data")).mkdir(parents=True, exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "app.migrate"], env=environment, check=False)
    if done.returncode:
        fail("The database could not be brought up to date.", FAILED)
    sys.stdout.write("The database is up to date.\n")


def _become(module: str, **said: Any) -> NoReturn:
    """Become another program, so that signals reach it directly."""
    environment = dict(os.environ)
    environment |= {f"DESCENT_{name.upper()}": str(value) for name, value in said.items() if value is not None}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", module], environment)  # noqa: S606


@app.command()
def train(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help=TABLES, exists=True, dir_okay=False)],
    target: Annotated[
        list[str], typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict; again for several.")
    ],
    hidden: Annotated[str, typer.Option(help="Units of each hidden layer: 64,32; `0`: none.")] = "32",
    activation: Annotated[str, typer.Option(help="Of the hidden layers.")] = "relu",
    epochs: Annotated[int, typer.Option(help="Passes over the rows.")] = 100,
    batch_size: Annotated[str, typer.Option(help="Rows of a step, or `full`.")] = "32",
    optimizer: Annotated[str, typer.Option(help="gradient_descent, momentum, adam, lbfgs, ….")] = "adam",
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "-r", help="Else the optimizer's own.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop when the validation loss is no better for so long.")
    ] = None,
    validation: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the rows that is held out.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the model goes: .onnx, .npz, .safetensors, .json.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Use no running service, even if there is one.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Without a running service: keep everything here, not in a folder that is deleted."),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train a network on a table, and save the model; without a running service one is started for it."""
    options = train_options(
        hidden=hidden, activation=activation, epochs=epochs, batch_size=batch_size, optimizer=optimizer,
        learning_rate=learning_rate, patience=patience, validation=validation, seed=seed,
    )  # fmt: skip
    saved_as = output or Path(f"{table.stem}.onnx")
    with told_errors():
        format_of(saved_as)  # before hours of training, not after
        check_folder(saved_as)
    with told_errors(), _some_service(url, data_dir, local=local) as (address, is_ours), Client(address) as client:
        dataset = client.datasets.create(table)
        job = client.jobs.create(dataset, target=target[0] if len(target) == 1 else target, **options)
        interrupted = False
        try:
            watch_job(job, quiet=as_json)
        except KeyboardInterrupt:
            if not is_ours:
                sys.stderr.write(f"\n{job.id} goes on: `descent watch {job.id}`.\n")
                raise typer.Exit(INTERRUPTED) from None
            interrupted = True
            sys.stderr.write("\nstopping; what was learned is saved\n")
            if not job.refresh().status.is_terminal:
                job.cancel()
        job.wait()
        if job.model_id is None:
            fail("No epoch had ended: there is no model.", INTERRUPTED)
        model = job.model()
        model.download(saved_as)
        terminal.show_result(job, model, saved_as, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _some_service(url: str | None, data_dir: Path | None, *, local: bool) -> Iterator[tuple[str | None, bool]]:
    """Give the service that is named or runs here, or one of our own, and whether it is that."""
    named = url or os.environ.get("DESCENT_URL")
    if not local and data_dir is None and (named or _runs_here()):
        yield named, False
        return
    sys.stderr.write("starting a service for this training ...\n")
    with service(data_dir) as address:
        yield address, True


def _runs_here() -> bool:
    with Client() as client:
        return client.is_alive()


@app.command()
def watch(job_id: Annotated[str, typer.Argument(metavar="JOB")], url: Url = None, as_json: AsJson = False) -> None:
    """Follow a job until it ends: its curve, or with --json (or through a pipe) a line an epoch. Ctrl-C leaves the job alone."""
    with told_errors(), Client(url) as client:
        job = client.jobs.get(job_id)
        try:
            if as_json:
                for epoch in job.epochs():
                    sys.stdout.write(epoch.model_dump_json() + "\n")
                    sys.stdout.flush()
            else:
                watch_job(job)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        job.wait()
        if not as_json:
            terminal.show_job(job)


@app.command()
def jobs(
    status: Annotated[str | None, typer.Option(help="Only those of this status.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag: key:value.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with told_errors(), Client(url) as client:
        listed: list[Job] = []
        for job in client.jobs.list(status=status, tag=tag, page_size=min(100, limit)):
            listed.append(job)
            if len(listed) == limit:
                break
    if as_json:
        sys.stdout.write(json.dumps([job.model_dump(mode="json") for job in listed]) + "\n")
    else:
        terminal.show_jobs(listed)


def _model(client: Client, name: str) -> Model:
    """Give the model of this id, or that of the job of this id."""
    return client.jobs.get(name).model() if name.startswith("job_") else client.models.get(name)


Named = Annotated[str, typer.Argument(metavar="MODEL", help="A model's id, or that of the job which made it.")]


@app.command()
def download(
    name: Named,
    output: Annotated[Path, typer.Option("--output", "-o", help=".onnx (the whole model), .npz, .safetensors, .json.")],
    which: Annotated[str | None, typer.Option(help="`best` or `latest`; else the model's own.")] = None,
    url: Url = None,
) -> None:
    """Download a model; what was cut goes on where it was."""
    with told_errors(), Client(url) as client:
        path = _model(client, name).download(output, which=which)
    sys.stdout.write(f"{path}\n")


@app.command()
def predict(
    name: Named,
    table: Annotated[
        Path | None, typer.Argument(metavar="[TABLE]", help=f"{TABLES} Without one: JSON from standard input.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file for the predictions: .csv, .parquet.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Predict rows: of a file, as CSV; or of JSON from standard input (one object, or a list), as JSON."""
    with told_errors(), Client(url) as client:
        model = _model(client, name)
        if table is None:
            answers = [one.model_dump(mode="json") for one in model.predict(load_rows(sys.stdin.read()))]
            sys.stdout.write(json.dumps(answers) + "\n")
            return
        terminal.show_predictions(client, model, table, output, as_json=as_json)


@app.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look whether Python, packages, database, files, workers, disk and BLAS of this machine are in order."""
    findings, said = doctor_findings(data_dir)
    if not findings:
        fail(said, FAILED)
    if as_json:
        sys.stdout.write(json.dumps(findings) + "\n")
    else:
        terminal.show_findings(findings)
    if any(one["status"] == "bad" for one in findings):
        raise typer.Exit(FAILED)
