"""What is trained once, whichever tables show it: a config, some digits, perhaps a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from interlace.experiments.config import read_config
from interlace.training.options import Options
from interlace.training.renamed import upgraded
from interlace.training.tasks import options_for, read_options
from interlace.training.tasks.digit_options import DigitRecipeOptions


@dataclass(frozen=True)
class Experiment:
    """A config, on digits and within a budget of videos.

    Args:
        config: its path below the folder of configs, without suffix.
        options: all of them, for these digits and this budget.
        budget_videos: what the config's videos were scaled down to; None is all of them.
    """

    config: str
    options: Options
    budget_videos: int | None = None

    @property
    def name(self) -> str:
        """Of the result's file, below the folder of results and without the seed."""
        digits = self.options.data.digits
        own = "" if digits == "mnist" else f"_{digits}"
        budget = "" if self.budget_videos is None else f"_budget{self.budget_videos}"
        return f"{self.config}{own}{budget}"

    @cached_property
    def stated(self) -> dict[str, dict[str, Any]]:
        """The options that make the result, for JSON; not where and how it is run."""
        stated = asdict(self.options)
        made_by = ("precision", "validate_every")
        return stated | {"trainer": {key: stated["trainer"][key] for key in made_by}}

    def difference(self, recorded: Mapping[str, Mapping[str, Any]]) -> str | None:
        """The first option in which a result was made otherwise, in words; None if there is none.

        An option that is not in the result did not exist yet: it had today's default. Early
        results hold nothing of the trainer.
        """
        kinds = options_for(self.options.data.name)
        then = upgraded(recorded)
        for part, now in self.stated.items():
            made_by, defaults = then.get(part, now), asdict(kinds[part]())
            for key in [*now, *(made_by.keys() - now.keys() - {"seed"})]:
                before = made_by.get(key, defaults.get(key))
                if before != now.get(key):
                    return f"{part}.{key} was {before} and is {now.get(key)} now"
        return None


def open_experiment(configs: Path, config: str) -> Experiment:
    """What a config states, all else at its default.

    Args:
        configs: the folder of configs.
        config: below it, without suffix.

    Raises:
        ValueError: if there is no such config, or an option does not exist or fit.
    """
    path = configs / f"{config}.yaml"
    try:
        return Experiment(config, read_options(read_config(path)))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def varied(experiment: Experiment, *, digits: str, budget: int | None) -> Experiment:
    """The experiment on other digits, and within a budget."""
    options = replace(experiment.options, data=replace(experiment.options.data, digits=digits))
    if budget is not None:
        options = replace(options, recipe=scaled(options.recipe, budget))
    return Experiment(experiment.config, options, budget)


# --- a budget -------------------------------------------------------------------------------------


def videos_of(recipe: DigitRecipeOptions) -> list[int]:
    """How many each lesson has, and the experiment itself."""
    return [*(lesson.videos for lesson in recipe.lessons), recipe.videos]


def scaled(recipe: DigitRecipeOptions, budget: int) -> DigitRecipeOptions:
    """The recipe with all that counts videos in proportion to a budget; pre-training stays."""
    share = budget / sum(videos_of(recipe))
    return replace(
        recipe,
        videos=round(recipe.videos * share),
        lessons=[replace(one, videos=round(one.videos * share)) for one in recipe.lessons],
    )


def check_budget(recipe: DigitRecipeOptions, budget: int) -> None:
    """Raises ValueError if a budget is no smaller than the recipe's videos, or too small."""
    total, part = sum(videos_of(recipe)), min(videos_of(recipe))
    least = -(-recipe.batch_size * total // part)
    if not least <= budget < total:
        raise ValueError(
            f"budget_videos must be at least {least:,}, a batch for every lesson, and below the "
            f"config's own {total:,} videos, got {budget:,}; leave it out to train on all"
        )
