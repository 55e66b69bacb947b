"""The commands of ``samnesia``: a dataclass each, whose fields are its options and whose ``run`` does the work."""

from samnesia.commands.compare import Compare, Demo
from samnesia.commands.conformance import Conformance
from samnesia.commands.evaluate import Evaluate, Options
from samnesia.commands.federate import Federate, FederateRecipe
from samnesia.commands.lifelong import Lifelong, LifelongRecipe
from samnesia.commands.measure import Measure
from samnesia.commands.recipes import Recipes
from samnesia.commands.study import Report, Study
from samnesia.commands.train import Resume, Train, TrainRecipe
from samnesia.commands.tune import Tune, TuneRecipe

Command = (
    Federate
    | FederateRecipe
    | Lifelong
    | LifelongRecipe
    | Train
    | TrainRecipe
    | Resume
    | Measure
    | Options
    | Compare
    | Demo
    | Tune
    | TuneRecipe
    | Study
    | Recipes
    | Report
    | Conformance
)

COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "train": Train,
    "resume": Resume,
    "federate": Federate,
    "lifelong": Lifelong,
    "measure": Measure,
    "evaluate": Evaluate,
    "compare": Compare,
    "tune": Tune,
    "study": Study,
    "report": Report,
    "recipes": Recipes,
    "conformance": Conformance,
}
"""Every command by its name, in the order of the overview."""
