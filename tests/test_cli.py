"""The command line: what it does, and one sentence for everything that a user can get wrong."""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest

from samnesia import cli
from samnesia.commands.words import configuration
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import ASAM, EMA, SAM, IntervalSAM, Lookbehind, Timm
from samnesia.train.log import read_result
from samnesia.train.recipes import RECIPES, find


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def _python(code, *words):
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "words", [["--help"], ["recipes"], ["--version"], ["train", "digits-sam", "--help"], ["trian"]]
)
def test_commands_that_do_not_train_do_not_import_torch(words):
    code = "import sys; from samnesia.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = _python(code, *words)
    assert done.returncode == 0, done.stderr


def test_entry_point_runs():
    done = subprocess.run(
        [sys.executable, "-m", "samnesia.cli", "--version"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "0.1.0\n")


def test_help_names_every_command(samnesia):
    code, out, err = samnesia("--help")
    assert code == 0
    for command in ("demo", "train", "resume", "compare", "report", "recipes", "conformance"):
        assert f"\n  {command}" in out
    assert err == ""
    assert samnesia()[1] == out


@pytest.mark.parametrize("command", ["demo", "train", "compare", "report", "recipes", "conformance"])
def test_every_command_explains_its_options(samnesia, command):
    code, out, _ = samnesia(command, "--help")
    assert code == 0
    assert "--out" in out


HELPED = [*(name for name in RECIPES if name.startswith("digits")), "vani-vit-s32-gsam-obf", "zhou-vgg-16-cifar10-sgd"]


@pytest.mark.parametrize("name", HELPED)
def test_help_of_a_recipe_explains_every_field(samnesia, name):
    code, out, _ = samnesia("train", name, "--help")
    assert code == 0
    for option in ("--seed", "--epochs", "--optimizer.lr", "--data.flipped", "--when.start-epoch"):
        assert option in out
    assert ("--method.rho" in out) == hasattr(RECIPES[name]().method, "rho")
    assert "Samples per optimizer step" in out


def test_recipes_are_listed_by_family(samnesia):
    code, out, _ = samnesia("recipes")
    *families, advice = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in families] == list(dict.fromkeys(name.split("-")[0] for name in RECIPES))
    assert sum(int(line.split()[1]) for line in families) == len(RECIPES)
    assert len(families) < 15 and "samnesia recipes PREFIX" in advice


def test_recipes_that_begin_so_are_listed_with_a_line_each(samnesia):
    code, out, _ = samnesia("recipes", "vani-vit-s32")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [n for n in RECIPES if n.startswith("vani-vit-s32")]
    assert all(len(line.split()) > 3 for line in out.splitlines())


def test_recipes_say_at_length_what_they_reproduce(samnesia):
    code, out, _ = samnesia("recipes", "--long")
    assert code == 0
    blocks = dict(block.split("\n", 1) for block in out.split("\n\n"))
    assert list(blocks)[:-1] == list(RECIPES)
    for name in RECIPES:
        assert [line.split()[0] for line in blocks[name].splitlines() if "yardstick" not in line] == [
            "what", "source", "published", "GPU-hours",
        ]  # fmt: skip
    assert (
        "error 16.5 % (Foret et al., WRN-28-10 on CIFAR-100, via a review; text)"
        in blocks["foret-wrn-28-10-cifar100-basic-200-sam"]
    )
    vani = blocks["vani-vit-s32-gsam"]
    assert "published  not known here" in vani
    assert "73.8 % (Zhuang et al., ICLR 2022, Table 1; text): another paper's number, not its authors' own" in vani
    assert "are an estimate for one A100" in out.splitlines()[-1]


def test_recipes_can_be_written_out(samnesia, tmp_path):
    assert samnesia("recipes", "--out", tmp_path / "all")[0] == 0
    assert sorted(path.stem for path in (tmp_path / "all").iterdir()) == sorted(RECIPES)
    assert json.loads((tmp_path / "all" / "digits-sam.json").read_text()) == find("digits-sam").to_json()
    assert samnesia("recipes", "kwon-wrn-28-10", "--out", tmp_path / "some")[0] == 0
    assert len(list((tmp_path / "some").iterdir())) == 8


def test_train_with_overrides(samnesia, tmp_path):
    words = ("train", "digits-noisy-sam", "--seed", 3, "--method.rho", 0.1, "--epochs", 5, "--out", tmp_path / "run")
    code, out, err = samnesia(*words)
    assert (code, err) == (0, "")
    assert "last epoch (epoch 4): test accuracy" in out
    config = read_result(tmp_path / "run").config
    assert (config.seed, config.method, config.epochs) == (3, SAM(rho=0.1), 5)
    assert config.data == find("digits-noisy-sam").data


def test_a_run_is_repeated_from_its_configuration(samnesia, tmp_path):
    words = ("--epochs", 2, "--when.start-epoch", 1, "--average.kind", "EMA", "--average.decay", 0.9)
    assert samnesia("train", "digits-noisy-sam", *words, "--out", tmp_path / "run")[0] == 0
    written = tmp_path / "run" / "config.json"
    code, out, err = samnesia("train", "--config", written, "--out", tmp_path / "again")
    assert (code, err) == (0, "")
    assert ", of the averaged weights " in out
    first, again = (read_result(tmp_path / name) for name in ("run", "again"))
    assert again.config == first.config and again.config.average == EMA(decay=0.9)
    assert (again.curves, again.weight_norm) == (first.curves, first.weight_norm)
    code, *_ = samnesia("train", f"--config={written}", "--seed", 5, "--average.kind", "None", "--out", tmp_path / "b")
    assert code == 0
    assert read_result(tmp_path / "b").config == dataclasses.replace(first.config, seed=5, average=None)


def test_a_part_is_exchanged_with_what_it_cannot_be_made_without(tmp_path):
    words = ["--model.kind", "Timm", "--model.name", "resnet18", "--data.flipped", "0.2", "--out", str(tmp_path)]
    config, source, rest = configuration(["digits-sam", *words, "--method.kind=ASAM", "--log-wandb", "rooms"])
    assert (config.model, config.method, source) == (Timm("resnet18"), ASAM(), "digits-sam")
    assert rest == [*words[2:], "--logging.wandb", "rooms"]


def test_a_method_is_named_as_in_results():
    config, _, rest = configuration(["digits-sgd", "--method", "lookbehind", "--method.k", "3", "--out", "x"])
    assert (config.method, rest) == (Lookbehind(), ["--method.k", "3", "--out", "x"])
    assert configuration(["digits-sgd", "--method=sam-interval"])[0].method == IntervalSAM()
    with pytest.raises(ConfigurationError, match="cannot train by 'lookahed', because .*did you mean 'lookahead'"):
        configuration(["digits-sgd", "--method", "lookahed"])


def test_a_finished_run_is_left_as_it_is(samnesia, tmp_path):
    assert samnesia("train", "digits-sgd", "--epochs", 1, "--out", tmp_path / "run")[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    code, out, err = samnesia("resume", tmp_path / "run")
    assert (code, err) == (0, "")
    assert out.startswith(
        f"the run in {tmp_path / 'run'} has finished: there is nothing left to do\nlast epoch (epoch 0)"
    )
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_an_own_problem_is_told_by_its_own_measure(samnesia, tmp_path):
    file = tmp_path / "rooms.py"
    file.write_text(OWN)
    code, out, err = samnesia("train", f"{file}:small", "--epochs", 2, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert re.match(r"last epoch \(epoch 1\): test error [0-9.]+ mm\nbest test epoch \(epoch [01]\): test error ", out)
    assert "flipped" not in out and "accuracy" not in out


OWN = """
import torch, torchmetrics
from samnesia.data.problem import TensorSplit
from samnesia.train.config import MLP, OwnData, OwnLoss, RunConfig

def data(seed):
    inputs = torch.randn(60, 3, generator=torch.Generator().manual_seed(seed))
    split = TensorSplit(inputs, inputs.sum(1, keepdim=True))
    return {"train": split, "test": split}

def squares(output, target):
    return (output - target).square().mean()

def small():
    loss = OwnLoss(squares, torchmetrics.MeanAbsoluteError, "error", "mm", False)
    return RunConfig("", data=OwnData(data, num_outputs=1), model=MLP((4,)), loss=loss, batch_size=20)
"""


def test_overrides_of_every_kind(samnesia, tmp_path):
    words = ("--model.channels", 8, "--micro_batch", 40, "--clip-norm=1.0", "--optimizer.nesterov", "--epochs", 1)
    code, _, err = samnesia("train", "digits-sgd", *words, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    config = read_result(tmp_path / "run").config
    assert config.model.channels == (8,)
    assert (config.micro_batch, config.clip_norm, config.optimizer.nesterov) == (40, 1.0, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian digits-sam", "cannot run 'trian', because there is no such command; did you mean 'train'?"),
        ("train", "cannot train before the recipe is known"),
        ("train --seed 3 digits-sam --out OUT", "cannot train before the recipe is known"),
        ("train digits-noisy-ssam --out OUT", "there is no such recipe; did you mean 'digits-noisy-sam'?"),
        ("train digits-sam --epoch 3 --out OUT", "cannot set --epoch, because samnesia train digits-sam has no such"),
        ("train digits-sam --epoch 3 --out OUT", "did you mean '--epochs'?"),
        ("train digits-sam --method.roh 3 --out OUT", "did you mean '--method.rho'?"),
        ("train digits-sgd --method.rho 3 --out OUT", "cannot set --method.rho"),
        (
            "train digits-sam --epochs many --out OUT",
            "cannot set --epochs to 'many', because it must be a whole number",
        ),
        ("train digits-sam --epochs 0 --out OUT", "cannot train with epochs 0, because it must be 1 or more"),
        ("train digits-sam --epochs", "cannot set --epochs, because its value is missing; write it behind the option"),
        ("train digits-sam stray --out OUT", "unrecognized options: stray"),
        ("train digits-sam", "because --out is missing; see samnesia train digits-sam --help"),
        ("train digits-sam --method.rho -1 --out OUT", "cannot perturb with rho=-1.0, because"),
        ("train digits-sam --method.rho nan --out OUT", "cannot perturb with rho=nan, because"),
        (
            "train digits-asam --method.scaling column --out OUT",
            "invalid choice 'column' for argument '--method.scaling'",
        ),
        ("train digits-sam --batch-size 801 --out OUT", "cannot train on 800 samples with batches of 801"),
        ("compare digit-noisy --out OUT", "did you mean 'digits-noisy'?"),
        ("compare digits --methods sgd smam --out OUT", "there is no recipe digits-smam; did you mean 'sam'?"),
        ("compare digits-nosy --out OUT", "because no recipe begins with it; did you mean 'digits-noisy'?"),
        ("compare digits --epochs 3 --out OUT", "because a perturbation after 4 epochs falls on none of its steps"),
        ("train digits-sam --rho 3 --out OUT", "did you mean '--method.rho'?"),
        ("train digits-sam --lr 3 --out OUT", "did you mean '--optimizer.lr'?"),
        ("train digits-sam --recipe x --out OUT", "cannot set --recipe, because"),
        ("train digits-sam --out x --out OUT", "cannot set --out twice"),
        ("compare digits --problem x --out OUT", "cannot set --problem, because"),
        ("compare digits --methods all --except asm --out OUT", "cannot leave out 'asm', because it is none"),
        ("train digits-sam --seed 18446744073709551616 --out OUT", "cannot train with seed 18446744073709551616"),
        ("train digits-sam --clip-norm inf --out OUT", "cannot clip the gradient to norm inf"),
        ("train digits-sam --when.stop-epoch inf --out OUT", "cannot perturb from epoch 4.0 to inf"),
        ("train digits-sam --threads 2 --out OUT", "did you mean '--hardware.threads'?"),
        ("train digits-sam --hardware.threads 100000 --out OUT", "cannot train with threads 100000"),
        (
            "train digits-sam --hardware.accelerator cpu --hardware.precision 16-mixed --out OUT",
            "cannot train in 16-mixed on the cpu, because only bf16-mixed would be granted there; use --hardware.prec",
        ),
        ("train digits-sam --average.decay 0.9 --out OUT", "did you mean '--average.kind'?"),
        ("train digits-sam --average.kind EMS --out OUT", "cannot use kind 'EMS' for average, because it is unknown; "),
        ("train digits-sam --when.kind Late --out OUT", "cannot choose the kind of when, because digits-sam has no"),
        ("train digits-sam --whom.kind Late --out OUT", "cannot choose the kind of whom, because digits-sam has no"),
        ("train digits-sam --method.rho.kind SAM --out OUT", "cannot choose the kind of method.rho, because digits-sa"),
        ("train digits-sam --average.kind --out", "cannot set --average.kind, because its value is missing"),
        ("train digits-sam --model.kind MLP --model.kind CNN --out OUT", "cannot set --model.kind twice"),
        ("train digits-sam --model.kind Timm --model.name x --model.nam y --out OUT", "did you mean '--model.name'?"),
        (
            "train kwon-resnet-20-cifar10-sam --data.source.root no/where --out OUT",
            "cannot load CIFAR10 from no/where, because there is no such directory",
        ),
        (
            "train kwon-resnet-20-cifar10-sam --data.source.kind Folder --data.source.root no/where --out OUT",
            "no/where",
        ),
        ("train --config no/where.json --out OUT", "cannot read no/where.json, because there is no such file"),
        ("train digits-sam --config no/where.json --out OUT", "because a run has one configuration; name one"),
        ("train nowhere.py:make --out OUT", "because there is no such Python file"),
        ("resume", "because RUN is missing; see samnesia resume --help"),
        ("resume no/where", "cannot find a run in no/where, because there is no config.json"),
        ("resume OUT --out OUT", "cannot set --out, because samnesia resume has no such option"),
        ("train digits-sam --model.channels 1000000000 --out OUT", "cannot build a net with channels (1000000000,)"),
        ("compare digits --seeds 0 --out OUT", "cannot compare with 0 seeds, because nothing would run"),
        ("compare digits --workers 0 --out OUT", "cannot compare with 0 workers, because nothing would run"),
        (
            "compare digits --set optimizer.lr --out OUT",
            "cannot set 'optimizer.lr', because that is not of the form NAME",
        ),
        ("compare digits --set optimizer.lt=1 --out OUT", "did you mean 'lr'?"),
        ("compare digits --set epochs=9 --epochs 8 --out OUT", "cannot set epochs twice, because one value would be"),
        (
            "compare digits --set epochs=9 --set epochs=8 --out OUT",
            "cannot set epochs twice, because one value would be",
        ),
        (
            "compare digits --set optimizer.lr=fast --out OUT",
            "cannot use 'fast' for optimizer.lr, because it must be a number",
        ),
        ("compare digits --seeds 2 --seeds 3 --out OUT", "cannot set --seeds twice"),
        ("compare digits --equal flops --out OUT", "invalid choice 'flops' for argument '--equal'"),
        ("compare digits --smallest -1 --out OUT", "cannot compare with --smallest -1, because a difference that"),
        ("compare digits --smallest x --out OUT", "cannot set --smallest to 'x', because it must be a number"),
        ("compare digits --methods sgd sam sam --out OUT", "because sam stands there twice; name it once"),
        ("compare digits --set method.rho=1 --out OUT", "set it for each that has it, as in --set sam:method.rho=1"),
        ("compare digits --epochs -3 --seeds 1 --out OUT", "cannot train with epochs -3"),
        ("compare --out OUT", "because PROBLEM is missing; see samnesia compare --help"),
        ("report OUT", "cannot read a study from"),
        ("report", "because DIR is missing; see samnesia report --help"),
        ("recipes vaani", "because no recipe begins with it; "),
        ("recipes --ou OUT", "did you mean '--out'?"),
        ("conformance", "name the function that does, as in samnesia conformance my_sam.py:make"),
        ("conformance nowhere.py:make", "because there is no such Python file"),
        ("conformance nowhere.py:make --rows 99", "cannot find row '99'"),
        ("conformance nowhere.py:make --row 1", "did you mean '--rows'?"),
        ("conformance nowhere.py:make --out OUT", "because cards are written as .json or .md"),
    ],
)
def test_user_errors_are_one_sentence_and_write_nothing(samnesia, tmp_path, words, sentence):
    out_directory = tmp_path / "out"
    code, out, err = samnesia(*words.replace("OUT", str(out_directory)).split())
    assert code == 2
    assert out == ""
    assert err.startswith("samnesia: cannot ")
    assert sentence in err
    assert err.count("\n") == 1
    assert not out_directory.exists()


def test_sentences_do_not_depend_on_the_terminal():
    code = "import sys; from samnesia.cli import main; sys.exit(main(sys.argv[1:]))"
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        words = [sys.executable, "-c", code, "train", "digits-sam"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
        sentence = (
            "cannot run samnesia train digits-sam, because --out is missing; see samnesia train digits-sam --help"
        )
        assert done.stderr == f"samnesia: {sentence}\n"


def test_directory_that_is_not_empty_is_refused(samnesia, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    code, out, err = samnesia("train", "digits-sgd", "--epochs", 1, "--out", tmp_path)
    assert (code, out) == (2, "")
    assert "not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_the_system_refuses_is_a_sentence(samnesia, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = samnesia("train", "digits-sgd", "--epochs", 1, "--out", tmp_path / "file" / "run")
    assert code == 2
    assert err.startswith("samnesia: cannot use ")
    assert err.count("\n") == 1


def test_warnings_are_sentences(samnesia, tmp_path):
    words = (
        "train",
        "digits-sam",
        "--method.rho",
        50,
        "--epochs",
        1,
        "--when.start-epoch",
        0,
        "--out",
        tmp_path / "run",
    )
    code, _, err = samnesia(*words)
    assert code == 0
    assert err.startswith("samnesia: warning: digits-sam (seed 0) ended near chance with rho 50 ")
    assert err.count("\n") == 1


def test_missing_extra_names_the_command_that_installs_it():
    for package, words in (("tyro", ["recipes"]), ("sklearn", ["train", "digits-sgd", "--out", "never"])):
        code = (
            f"import sys; sys.modules['{package}'] = None; from samnesia.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        done = _python(code, *words)
        assert done.returncode == 2
        assert done.stderr.startswith(f"samnesia: cannot continue without {package}, ")
        assert done.stderr.endswith("run: pip install samnesia[train]\n")


def test_an_interruption_without_words_is_told(samnesia, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_command", interrupt)
    assert samnesia("recipes") == (130, "", "samnesia: interrupted\n")


def test_a_request_to_terminate_is_an_interruption(samnesia, monkeypatch):
    monkeypatch.setattr(cli, "_command", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert samnesia("recipes") == (130, "", "samnesia: interrupted\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_reader_that_leaves_is_no_trouble():
    script = f"{sys.executable} -m samnesia.cli recipes | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""


def test_recipes_are_not_written_over_anything(samnesia, tmp_path):
    (tmp_path / "thesis.tex").touch()
    code, out, err = samnesia("recipes", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert "cannot write the recipes to" in err


def test_compare_and_report(samnesia, tmp_path):
    out = tmp_path / "study"
    words = ("compare", "digits", "--methods", "sgd", "sam", "--seeds", 2, "--epochs", 6, "--workers", 1, "--out", out)
    code, _, err = samnesia(*words)
    assert (code, err) == (0, "")
    summary = json.loads((out / "compare.json").read_text())
    assert [row["method"] for row in summary["methods"]] == ["sgd", "sam"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    assert len(before) == 4
    (out / "report.html").unlink()
    assert samnesia("report", out, "--out", tmp_path / "copy")[0] == 0
    assert (tmp_path / "copy" / "report.html").read_bytes() == (out / "report.html").read_bytes()
    assert samnesia("report", out, "--out", out)[0] == 0
    assert samnesia(*words)[0] == 0  # continues: nothing is missing
    assert {path: path.stat().st_mtime_ns for path in out.rglob("result.json")} == before
    (out / "cells" / "sam-seed1" / "result.json").unlink()
    assert samnesia("report", out)[0] == 1  # a run that was asked for is missing


def test_compare_with_other_values_for_fields_and_as_many_gradients(samnesia, tmp_path):
    words = ("--methods", "sgd", "sam", "--seeds", 1, "--epochs", 2, "--workers", 1, "--equal", "gradients")
    values = ("--set", "when.start-epoch=1.0", "--set", "data.train=400", "--set=schedule.warmup_epochs=0.0")
    code, out, err = samnesia("compare", "digits", *words, *values, "--smallest", 0.5, "--out", tmp_path)
    assert (code, err) == (0, "")
    summary = json.loads((tmp_path / "compare.json").read_text())
    assert [row["config"]["epochs"] for row in summary["methods"]] == [3, 2]
    assert [row["gradient_evaluations"] for row in summary["methods"]] == [15, 15]
    assert all(row["config"]["data"]["train"] == 400 for row in summary["methods"])
    assert "Ending above SGD by 0.5 points or more in test accuracy, last epoch: undecided for SAM" in " ".join(
        out.split()
    )
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert samnesia(*shlex.split(summary["command"])[1:])[0] == 0  # it is what made the comparison
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == before


def test_demo_is_the_comparison_on_noisy_digits(monkeypatch, samnesia, tmp_path):
    from samnesia.study.comparison import compare

    calls = []

    def compared(*arguments, **options):
        calls.append((arguments, options))
        return {"failures": [], "missing": []}

    monkeypatch.setattr(compare, "compare", compared)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "cells").mkdir()
    code, out, _ = samnesia("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert out.startswith("continuing in ")
    ((problem, methods), options) = calls[0]
    assert (problem, methods) == ("digits-noisy", ("sgd", "sam", "asam", "gsam", "obf"))
    assert list(options["seeds"]) == [0, 1, 2, 3, 4]
    assert options["out"] == tmp_path / "demo"


@pytest.fixture
def my_sam(tmp_path):
    """A file with an optimizer that holds the rows of its card, and one that does not."""
    file = tmp_path / "my_sam.py"
    file.write_text(
        "import samnesia\n"
        "from samnesia.conformance import Closure, Passes\n"
        "def make(setup): return Passes(samnesia.sam(setup.model, setup.base(), rho=setup.rho))\n"
        "def plain(setup): return Closure(setup.base())\n"
    )
    return file


def test_conformance_prints_a_card_and_writes_it(samnesia, my_sam, tmp_path):
    words = ("conformance", f"{my_sam}:make", "--rows", "1", "4", "47", "--out", tmp_path / "cards" / "card.json")
    code, out, err = samnesia(*words)
    assert (code, err) == (0, "")
    assert "5 pass, 0 fail, 1 not applicable" in out
    card = json.loads((tmp_path / "cards" / "card.json").read_text())
    assert [result["row"] for result in card["results"]] == ["1", "4", "47a", "47b", "47c", "47d"]
    assert card["command"] == f"samnesia conformance {my_sam}:make --rows 1 4 47"


def test_conformance_of_what_does_not_conform_is_exit_code_one(samnesia, my_sam):
    code, out, err = samnesia("conformance", f"{my_sam}:plain", "--rows", "9")
    assert (code, err) == (1, "")
    assert "took 12 gradients in 12 steps, where it claims 24" in " ".join(out.replace("│", " ").split())
    assert "in practice: Steps are dropped or paid twice" in " ".join(out.replace("│", " ").split())


def test_conformance_lists_its_rows(samnesia):
    from samnesia.conformance import ROWS

    code, out, err = samnesia("conformance", "--list")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert all(f"{row.id} {row.title}" in text or row.title in text for row in ROWS)
    assert all(row.breaks in text for row in ROWS)
