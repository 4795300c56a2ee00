"""The command line: names that people rely on, help with examples, errors in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_scorer import __version__
from stream_scorer.cli import COMMANDS, cli

DATA = str(Path(__file__).resolve().parent.parent / "producer" / "transactions_data.csv")
PROMISED = (
    *("run", "demo", "replay", "score", "check", "alerts", "dead-letters"),
    *("verify", "monitor", "console", "what-if", "model", "kafka"),
)


@pytest.mark.parametrize("name", PROMISED)
def test_command_has_help_with_an_example(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0
    assert "Example: " in shown.output or name in {"model", "dead-letters"}


@pytest.mark.parametrize("name", ["list", "show", "redrive"])
def test_each_command_on_dead_letters_has_an_example(name: str) -> None:
    shown = CliRunner().invoke(cli, ["dead-letters", name, "--help"])
    assert shown.exit_code == 0
    assert f"Example: stream-scorer dead-letters {name}" in shown.output


def test_commands_are_those_that_are_promised() -> None:
    assert sorted(COMMANDS) == sorted(PROMISED)


def test_unknown_command_and_option_exit_2() -> None:
    for arguments in (["nonsense"], ["run", "--nonsense"]):
        done = run("-m", "stream_scorer", *arguments)
        assert done.returncode == 2
        assert "No such" in done.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_error_is_one_line_and_exit_code_1() -> None:
    done = run("-m", "stream_scorer", "score", "nowhere.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "stream-scorer: nowhere.csv: No such file or directory\n"


@pytest.mark.parametrize("module", ["stream_scorer", "producer", "models"])
def test_packages_run_as_modules(module: str) -> None:
    done = run("-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: stream-scorer" in done.stdout


def test_version_is_told() -> None:
    assert __version__ in run("-m", "stream_scorer", "--version").stdout


def test_command_that_scores_nothing_does_not_load_onnxruntime() -> None:
    for module in ("kafka_command", "alerts", "topics", "dead_letters.redrive_command"):
        code = f"import sys, stream_scorer.{module}; print('onnxruntime' in sys.modules)"
        assert run("-c", code).stdout == "False\n"


def test_help_does_not_load_tensorflow() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from stream_scorer.cli import cli; "
        "CliRunner().invoke(cli, ['--help']); "
        "heavy = {'tensorflow', 'pandas', 'jgo', 'pyarrow', 'matplotlib', 'faust'}; "
        "print(heavy & set(sys.modules))"
    )
    assert run("-c", code).stdout == "set()\n"


def test_reader_of_the_output_that_goes_away_is_no_error_of_ours() -> None:
    command = [sys.executable, "-m", "stream_scorer", "score", DATA, "--output", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
