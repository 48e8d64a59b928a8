"""Directions in a generator of garments, by what can be measured of their silhouettes: no judge is trained.

Fashion-MNIST has no factors, so that no score of disentanglement can be had there. But a garment's area, lightness,
width, height and slant can be measured (``contrafact.nn.silhouette``), and so can what a step along a direction does to
each. As in ``faces``, every step changes the image equally, and of each method's ten directions the best is chosen on
some latents and measured on others.
"""

from contrafact.bench.judged import FRAME_ALONE, METRIC, TEN, effect_columns
from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.nn.silhouette import NAMES

RECIPE = Recipe(
    title="What directions of a generator of garments change",
    table="none: ours, after Yüksel et al. 2021, Table 1",
    rows=(
        Row("joint diagonal", "joint_diagonal", settings=FRAME_ALONE),
        Row("white axes", "joint_diagonal", settings={**FRAME_ALONE, "frame": "axes"}, role="control"),
        Row("random white frame", "joint_diagonal", settings={**FRAME_ALONE, "frame": "random"}, role="control"),
        Row("DeepSpectral, image", "deep_spectral", settings={**TEN, "layer": "image"}),
        Row("GANSpace", "ganspace", settings=TEN),
        Row("SeFa", "sefa", settings=TEN),
        Row("LatentCLR", "latentclr", settings=TEN, small={"steps": 400}),
        Row("LatentDiscovery", "latent_discovery", settings=TEN, small={"steps": 400}),
        Row("DisCo", "disco", settings=TEN),
        Row("random", "random", settings=TEN, role="control"),
        Row("InterFaceGAN, told (ceiling)", "interfacegan", settings={"predictor": "silhouette"}, role="ceiling"),
    ),
    columns={"all five": Column(METRIC, "score"), **effect_columns(NAMES)},
    presets={"small": "quick", "paper": "quick"},
    sources={"small": "fashion-mnist", "paper": "fashion-mnist"},
    predictor="silhouette",
    num_latents=450,
    against="random",
    remark="ten directions each; every step changes pixels by a quarter of what two unrelated garments differ by; best "
    "direction on 150 latents, measured on 300 others; all five: mean effect in deviations among the images before; "
    "area in percent of the image, lightness of white, width and height of the image's, slant in degrees, and of the "
    "others the mean |change| in deviations; small: 400 steps of LatentCLR and LatentDiscovery",
)
