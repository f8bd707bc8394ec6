"""What a recipe names, looked up before anything is downloaded or computed: source, scorer, classifier, licence."""

from __future__ import annotations

from breakers.pairs.sources import build_source
from breakers.pairs.sources.base import check_behaviour
from classifiers import build_classifier
from classifiers.scorers import build_scorer
from server.errors import ConfigError
from server.recipes.file import Recipe
from server.recipes.places import placed

RESTRICTED = ("-SA", "-NC", "-ND")
"""Parts of licences that what is made from a set has to carry on, or that forbid what ships."""


def check_names(recipe: Recipe) -> None:
    """Refuse a recipe that a later stage would refuse.

    Raises:
        PairsError: there is no such source, or it has nothing on the behaviour.
        ClassifiersError: there is no such scorer or classifier.
        ConfigError: the scorer or the classifier does not know the behaviour, or the licence of the bundle does not
            say what the source's asks for.
    """
    source = build_source(recipe.pairs.source)
    check_behaviour(source, recipe.behaviour)
    marks = [mark for mark in RESTRICTED if mark in source.licence and mark not in recipe.licence]
    if marks:
        raise ConfigError(
            f"licence is {recipe.licence}, and pairs of {source.name} are {source.licence}; wanted a licence with "
            f"{' and '.join(marks)}, or another source"
        )
    scorer = build_scorer(recipe.scorer)
    if recipe.behaviour not in scorer.behaviours:
        known = ", ".join(scorer.behaviours)
        raise ConfigError(f"scorer {scorer.name} does not judge {recipe.behaviour!r}; wanted one of {known}")
    _check_gate(recipe)


def _check_gate(recipe: Recipe) -> None:
    if recipe.gate is None:
        return
    path = recipe.gate.classifier_path
    classifier = build_classifier(recipe.gate.classifier, path=None if path is None else placed(path))
    if recipe.behaviour not in classifier.categories:
        raise ConfigError(
            f"classifier {classifier.name} reads {', '.join(classifier.categories)}, and not {recipe.behaviour}; "
            "wanted gate.classifier_path with one that does, or `gate: null`"
        )
