"""The experiments behind a paper's tables: what reproduce/dyreg.yaml says, as options of a run."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from jsonargparse import ArgumentParser

from interlace.training.options import ModelOptions, TrainerOptions
from interlace.training.renamed import upgraded
from interlace.training.tasks import options_for
from interlace.training.tasks.digit_options import DigitRecipeOptions as RecipeOptions

Setting = Literal["small", "paper"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
_SUFFIX: dict[Setting, str] = {"small": "_small", "paper": ""}  # of the registry's names


@dataclass(frozen=True)
class Row:
    """A line of a published table, and the model that stands beside it.

    Args:
        label: as in the paper.
        model: registered name without the suffix of the setting.
        published: top-1 in percent; None where the paper has none.
        parameters: as published, in millions.
        data: what differs from the setting's videos.
    """

    label: str
    model: str
    published: float | None
    parameters: float | None
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A published table: its name on the command line, what it is about, its lines."""

    name: str
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Options:
    """All options of a setting; the model's name is that of the row."""

    model: ModelOptions
    data: Any
    recipe: RecipeOptions
    trainer: TrainerOptions


@dataclass(frozen=True)
class Experiment:
    """What is trained once, whichever tables show it.

    Args:
        setting: "small" or "paper".
        row_model: registered name without the suffix of the setting.
        options: nothing in the data is left to the data set's own defaults.
        budget_videos: what the videos are scaled down to; None is all of them.
    """

    setting: Setting
    row_model: str
    options: Options
    budget_videos: int | None

    @property
    def name(self) -> str:
        """Of the result's file, without the seed."""
        data = self.options.data
        digits = "" if data.digits == "mnist" else f"_{data.digits}"
        budget = "" if self.budget_videos is None else f"_budget{self.budget_videos}"
        return f"{self.setting}_{self.row_model}_{data.num_digits}digits{digits}{budget}"

    def stated(self) -> dict[str, dict[str, Any]]:
        """The options that make the result, for JSON; not where and how it was run."""
        own = self.options
        return {
            "model": asdict(own.model),
            "data": asdict(own.data),
            "recipe": asdict(own.recipe),
        }

    def difference(self, made_by: Mapping[str, Mapping[str, Any]]) -> str | None:
        """The first option in which a result was made otherwise, in words; None if there is none.

        An option that is not in the result did not exist yet: it had today's default.
        """
        defaults = {
            "model": asdict(ModelOptions()),
            "data": asdict(type(self.options.data)()),
            "recipe": asdict(RecipeOptions()),
        }
        made_by = upgraded(made_by)
        for part, now in self.stated().items():
            before = defaults[part] | dict(made_by.get(part, {}))
            for key in [*now, *(before.keys() - now.keys())]:
                if before.get(key) != now.get(key):
                    return f"{part}.{key} was {before.get(key)} and is {now.get(key)} now"
        return None


@dataclass(frozen=True)
class Plan:
    """The tables and the settings of a YAML file."""

    tables: dict[str, Table]
    settings: dict[Setting, Options]

    def experiment(
        self, row: Row, setting: Setting, *, digits: str = "mnist", budget: int | None = None
    ) -> Experiment:
        """What is trained for a row of a table.

        Args:
            row: of a table.
            setting: which size.
            digits: "mnist" or "embedded", as results name them.
            budget: videos of the lessons and of the experiment itself, together.
        """
        own = self.settings[setting]
        options = Options(
            model=replace(own.model, name=row.model + _SUFFIX[setting]),
            data=replace(own.data, **row.data, digits=digits),
            recipe=own.recipe if budget is None else scaled(own.recipe, budget),
            trainer=own.trainer,
        )
        return Experiment(setting, row.model, options, budget)

    def rows_of(self, experiment: Experiment) -> list[tuple[str, str]]:
        """(table, label) of all the rows that an experiment stands beside."""
        digits, budget = experiment.options.data.digits, experiment.budget_videos
        return [
            (table.name, row.label)
            for table in self.tables.values()
            for row in table.rows
            if self.experiment(row, experiment.setting, digits=digits, budget=budget) == experiment
        ]


def read_plan(path: str | Path) -> Plan:
    """Reads a YAML file of settings and tables.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not readable as YAML, or an option does not exist or fit.
    """
    path = Path(path)
    try:
        stated = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not readable as YAML: {error}") from error
    if not isinstance(stated, dict) or stated.keys() != {"settings", "tables"}:
        raise ValueError(f"{path} must have settings and tables, and nothing else")
    if stated["settings"].keys() != set(SETTINGS):
        raise ValueError(f"{path}: settings must be {', '.join(SETTINGS)}")
    settings = {
        setting: _options(stated["settings"][setting], f"{path}: {setting}") for setting in SETTINGS
    }
    known = {one.name for setting in settings.values() for one in fields(setting.data)}
    tables = {
        name: Table(
            name, one["title"], tuple(_row(row, f"{path}: {name}", known) for row in one["rows"])
        )
        for name, one in stated["tables"].items()
    }
    return Plan(tables, settings)


def videos_of(recipe: RecipeOptions) -> int:
    """Videos of the lessons and of the experiment itself."""
    return recipe.videos + sum(lesson.videos for lesson in recipe.lessons)


def scaled(recipe: RecipeOptions, budget: int) -> RecipeOptions:
    """The recipe with all that counts videos in proportion to a budget; pre-training stays."""
    share = budget / videos_of(recipe)
    return replace(
        recipe,
        videos=round(recipe.videos * share),
        lessons=[replace(one, videos=round(one.videos * share)) for one in recipe.lessons],
    )


def check_budget(recipe: RecipeOptions, budget: int) -> None:
    """Raises ValueError if a budget is no smaller than the recipe's videos, or too small."""
    total = videos_of(recipe)
    if budget >= total:
        raise ValueError(
            f"budget_videos must be below the setting's own {total:,} videos, got {budget:,}; "
            "leave it out to train on all"
        )
    part = min([recipe.videos, *(lesson.videos for lesson in recipe.lessons)])
    least = -(-recipe.batch_size * total // part)
    if budget < least:
        raise ValueError(
            f"budget_videos must be at least {least:,}, a batch for every lesson, got {budget:,}"
        )


def _options(stated: dict[str, Any], where: str) -> Options:
    """Checked by the parser of the command line, so that both take the same."""
    kinds = options_for(stated.get("data", {}).get("name", "SyncMNIST"))
    parser = ArgumentParser(exit_on_error=False)
    for name, kind in kinds.items():
        parser.add_argument(f"--{name}", type=kind, default=kind())
    try:
        made = parser.instantiate(parser.parse_object(stated))
    except (ArgumentError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where}: {' '.join(str(error).split())}") from error
    return Options(**{one.name: made[one.name] for one in fields(Options)})


def _row(stated: dict[str, Any], where: str, known_data: set[str]) -> Row:
    given = {"published": None, "parameters": None, "data": {}} | stated
    if given.keys() != {one.name for one in fields(Row)}:
        known = ", ".join(one.name for one in fields(Row))
        raise ValueError(f"{where}: a row is made of {known}, got {', '.join(stated)}")
    if unknown := given["data"].keys() - known_data:
        raise ValueError(f"{where}: data has no option {unknown.pop()!r}")
    return Row(**given)
