"""What files call the classes of their contents: short names that stay when code moves.

A class that moves or is renamed changes its one line in :data:`PLACES`. Nothing is ever removed from :data:`SPELLED`:
it holds the names in files of version 0, which load for ever. A catalogued generator needs no line: it is called
``generator/`` and its file's name.
"""

from __future__ import annotations

import importlib
from typing import Any

from contrafact.core.catalog import Catalog

PLACES = {
    "directions/global": "contrafact.core.directions:GlobalDirections",
    "directions/layered": "contrafact.core.directions:LayeredDirections",
    "directions/curved": "contrafact.core.directions:CurvedDirections",
    "directions/chosen": "contrafact.core.direction_files:ChosenDirections",
    "directions/whitened": "contrafact.core.whitened_directions:WhitenedDirections",
    "directions/pose": "contrafact.core.pose:PoseDirections",
    "directions/latent": "contrafact.methods.latentclr:LatentDirections",
    "directions/deformator": "contrafact.editing.deformator:DeformatorDirections",
    "encoder/conv": "contrafact.nn.encoders:ConvEncoder",
    "encoder/batch_norm": "contrafact.nn.batch_norm_encoder:BatchNormEncoder",
    "encoder/vectors": "contrafact.nn.batch_norm_encoder:VectorEncoder",
    "encoder/locatello": "contrafact.nn.encoders:LocatelloEncoder",
    "encoder/mlp": "contrafact.nn.perceptron:MLPEncoder",
    "encoder/gaussian": "contrafact.nn.encoders:GaussianEncoder",
    "encoder/resnet": "contrafact.nn.resnet:ResNetEncoder",
    "encoder/own": "contrafact.nn.own_encoder:OwnEncoder",
    "encoder/projected": "contrafact.nn.projected:ProjectedEncoder",
    "encoder/features": "contrafact.nn.critics:FeatureEncoder",
    "encoder/class": "contrafact.nn.critics:ClassEncoder",
    "encoder/assigned": "contrafact.nn.factor_codes:AssignedEncoder",
    "encoder/regressed": "contrafact.nn.factor_codes:RegressedEncoder",
    "encoder/shared": "contrafact.nn.factor_codes:SharedEncoder",
    "encoder/grouped": "contrafact.nn.grouped_encoder:GroupedEncoder",
    "encoder/attributes": "contrafact.nn.attributes:AttributeClassifier",
    "encoder/lab": "contrafact.methods.cmc:LabEncoder",
    "encoder/inversion": "contrafact.methods.gan_inversion:InversionEncoder",
}
"""Where each named class is now."""

SPELLED = {
    "contrafact.core.directions:GlobalDirections": "directions/global",
    "contrafact.core.directions:CurvedDirections": "directions/curved",
    "contrafact.core.direction_files:ChosenDirections": "directions/chosen",
    "contrafact.nn.latent_directions:LatentDirections": "directions/latent",
    "contrafact.nn.encoders:ConvEncoder": "encoder/conv",
    "contrafact.nn.encoders:LocatelloEncoder": "encoder/locatello",
    "contrafact.nn.encoders:GaussianEncoder": "encoder/gaussian",
    "contrafact.nn.resnet:ResNetEncoder": "encoder/resnet",
    "contrafact.nn.projected:ProjectedEncoder": "encoder/projected",
    "contrafact.nn.critics:FeatureEncoder": "encoder/features",
    "contrafact.nn.critics:ClassEncoder": "encoder/class",
    "contrafact.nn.factor_codes:AssignedEncoder": "encoder/assigned",
    "contrafact.nn.factor_codes:RegressedEncoder": "encoder/regressed",
    "contrafact.nn.factor_codes:SharedEncoder": "encoder/shared",
    "contrafact.nn.attributes:AttributeClassifier": "encoder/attributes",
    "contrafact.methods.cmc:LabEncoder": "encoder/lab",
    "contrafact.methods.gan_inversion:InversionEncoder": "encoder/inversion",
    "contrafact.generators.analytic:Analytic": "generator/analytic",
    "contrafact.generators.biggan:BigGAN": "generator/biggan",
    "contrafact.generators.class_knob:ClassKnob": "generator/class_knob",
    "contrafact.generators.dcgan:DCGAN": "generator/dcgan",
    "contrafact.generators.glow:Glow": "generator/glow",
    "contrafact.generators.lord:LORD": "generator/lord",
    "contrafact.generators.prog_gan:ProgGAN": "generator/prog_gan",
    "contrafact.generators.sngan:SNGAN": "generator/sngan",
    "contrafact.generators.stylegan2:StyleGAN2": "generator/stylegan2",
    "contrafact.generators.vae:VAE": "generator/vae",
}
"""Names of the files of version 0, which spelled out a class's place at the time."""

RENAMED: dict[str, str] = {}
"""Stable names that gave way to others, such as a generator's when its file gets another name."""

_NAMES = {place: name for name, place in PLACES.items()}
_GENERATOR = "generator/"
_GENERATORS = Catalog("generators", "generator architecture", helpers={"checkpoints", "wrap"})


def stable_name(cls: type[Any]) -> str | None:
    """What files call a class of this package; None for any other class.

    >>> from contrafact.generators.vae import VAE
    >>> stable_name(VAE), stable_name(dict)
    ('generator/vae', None)
    """
    place = f"{cls.__module__}:{cls.__qualname__}"
    if place in _NAMES:
        return _NAMES[place]
    package, _, file = cls.__module__.rpartition(".")
    if package == "contrafact.generators" and file in _GENERATORS.own_names() and _GENERATORS.get(file) is cls:
        return _GENERATOR + file
    return None


def find_named(name: str) -> Any:
    """The class of this package that files call ``name``, today or in version 0; None if there is none.

    Only what the table and the folder of generators list is imported, whatever the name is.
    """
    name = SPELLED.get(name, name)
    name = RENAMED.get(name, name)
    if name in PLACES:
        module, _, attribute = PLACES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    file = name.removeprefix(_GENERATOR)
    if file != name and file in _GENERATORS.own_names():
        return _GENERATORS.get(file)
    return None
