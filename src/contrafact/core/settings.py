"""Settings in groups to read, and by flat names to write down: presets, ``config.json``, recipes and the command line.

A method with many settings gathers those that belong together in a :class:`Group`, a field of its own. Everywhere
settings are data they have no such places: ``max_shift``, not ``edits.max_shift``. So names are unique over groups.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from contrafact.core.catalog import unknown_name_message
from contrafact.core.ranges import are_checked_later, check_ranges


@dataclass(frozen=True)
class Group:
    """Settings that belong together: a field of a method, whose default is an instance. Its docstring is the title."""

    def __post_init__(self) -> None:
        """Refuse settings out of their fields' ranges (ValueError)."""
        check_ranges(self)


def flat_fields(options: Any) -> dict[str, dataclasses.Field[Any]]:
    """Every setting of a dataclass by its name, those of its groups in the group's place.

    Args:
        options: a class or an instance.

    Raises:
        ValueError: two settings of one name.

    >>> from contrafact.methods.disco import DisCo
    >>> list(flat_fields(DisCo))[:2], DisCo.of(max_shift=2.0).edits.max_shift, flat_settings(DisCo())["max_shift"]
    (['formulation', 'num_directions'], 2.0, 6.0)
    """
    found: dict[str, dataclasses.Field[Any]] = {}
    for field in dataclasses.fields(options):
        for part in dataclasses.fields(field.default) if isinstance(field.default, Group) else (field,):
            if part.name in found:
                raise ValueError(f"{options} has two settings called {part.name}; call one of them something else")
            found[part.name] = part
    return found


def flat_settings(options: Any) -> dict[str, Any]:
    """Every setting's value by its name, as :func:`flat_fields` orders them."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values |= flat_settings(value) if isinstance(value, Group) else {field.name: value}
    return values


def refuse_without(options: Any, settings: Iterable[str]) -> None:
    """Refuse settings that a method says it cannot have (ValueError, with its reason)."""
    for name in settings:
        if name in options.without:
            raise ValueError(f"{options.name()} takes no {name}: {options.without[name]}")


def check_names(options: Any, settings: Mapping[str, Any], owner: str = "") -> None:
    """Refuse names of no setting (ValueError); the message names the nearest, and whose settings they are."""
    known = flat_fields(options)
    for name in settings:
        if name not in known:
            raise ValueError(unknown_name_message(f"setting of {owner}" if owner else "setting", name, list(known)))


def _nested(options: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a dataclass's own fields that ``settings`` ask for."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        if isinstance(field.default, Group):
            own = {
                part.name: settings[part.name] for part in dataclasses.fields(field.default) if part.name in settings
            }
            group = field.default if isinstance(options, type) else getattr(options, field.name)
            values |= {field.name: dataclasses.replace(group, **own)} if own else {}
        elif field.name in settings:
            values[field.name] = settings[field.name]
    return values


@dataclass(frozen=True)
class Configured:
    """What is made of settings: all of them have defaults, and presets name others.

    Attributes:
        presets: named settings, flat: values that differ from the defaults.
        without: settings that others of its kind have and this one cannot have, each with the reason.

    >>> from contrafact.methods import DisCo
    >>> brief = DisCo.preset("quick", steps=400)
    >>> brief.hyperparameters()["steps"], brief.changed(steps=50).steps, DisCo.of(max_shift=2.0).edits.max_shift
    (400, 50, 2.0)
    >>> DisCo.of(step=400)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown setting of disco 'step'; did you mean 'steps'? known: ...
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    without: ClassVar[Mapping[str, str]] = {}

    def __new__(cls, *given: Any, **settings: Any) -> Self:
        """Say why a setting cannot be, where there is a reason, before Python says that there is none (ValueError)."""
        refuse_without(cls, settings)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Refuse settings out of their fields' ranges, or that do not go together, whatever the method (ValueError)."""
        if not are_checked_later():
            check_ranges(self)
            self.check_options()

    @classmethod
    def of(cls, /, **settings: Any) -> Self:
        """The method with settings named flat, whatever group they stand in (:mod:`contrafact.core.settings`).

        Raises:
            ValueError: no such setting (the message names the nearest), or a value out of range.
        """
        refuse_without(cls, settings)
        check_names(cls, settings, cls.name())
        return cls(**_nested(cls, settings))

    @classmethod
    def preset(cls, name: str, /, **settings: Any) -> Self:
        """The method with the settings called ``name``, and others on top of them: ``preset("quick", steps=400)``.

        Raises:
            ValueError: unknown preset (the message lists the known ones), or as :meth:`of`.
        """
        if name not in cls.presets:
            raise ValueError(unknown_name_message(f"preset of {cls.name()}", name, list(cls.presets)))
        return cls.of(**{**cls.presets[name], **settings})

    def changed(self, /, **settings: Any) -> Self:
        """The same method with other settings, named flat.

        Raises:
            ValueError: as :meth:`of`.
        """
        refuse_without(self, settings)
        check_names(self, settings, self.name())
        return dataclasses.replace(self, **_nested(self, settings))

    def hyperparameters(self) -> dict[str, Any]:
        """Every setting by its flat name, as ``config.json`` holds them; :meth:`of` takes them back."""
        return flat_settings(self)

    @classmethod
    def name(cls) -> str:
        """The method's catalogue name: its file's, or of a class that is not named as its file, the class's own.

        >>> from contrafact.methods.cd_gan import CDGAN
        >>> CDGAN.name(), type("OwnMethod", (CDGAN,), {"__module__": "__main__"}).name()
        ('cd_gan', 'own_method')
        """
        file = cls.__module__.rpartition(".")[2]
        if file.replace("_", "").lower() == cls.__name__.replace("_", "").lower():
            return file
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def check_options(self) -> None:
        """Refuse settings that do not go together (ValueError); called when the method is made, ranges being checked.

        A method with such settings overrides this. What a single field may be is written beside it
        (:mod:`contrafact.core.ranges`).
        """
