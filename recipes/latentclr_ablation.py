"""LatentCLR: which layer is contrasted, how many directions, which kind; beside the finders it is compared with.

The paper speaks of these choices in Sections 3.2 and 4.1 and prints no numbers. What decides is the row of random
directions, in equal number.
"""

from contrafact.bench.recipe import Column, Recipe, Row

TEN = {"num_directions": 10}
LAYERS = ("b4.conv1", "b8.conv1", "b16.conv1", "b32.conv1", "image")
SCENE = {"size": 32}
EIGHT = {"num_directions": 8, "layer": "image"}


def row(name: str, **settings: object) -> Row:
    """LatentCLR with one choice changed; on the scene, which has no such layers, all contrast the image."""
    elsewhere = {"layer": "image", "num_directions": min(8, int(settings.get("num_directions", 8)))}  # type: ignore[call-overload]
    return Row(
        name,
        "latentclr",
        settings={**TEN, **settings},
        elsewhere=elsewhere,
        role="method" if settings == {"model": "nonlinear"} else "ablation",
    )


RECIPE = Recipe(
    title="LatentCLR: layer, number and kind of directions, and the finders beside it",
    table="Yüksel et al. 2021, Sections 3.2 and 4.1 (no numbers)",
    rows=(
        *(row(f"layer {layer}", layer=layer) for layer in LAYERS),
        *(row(f"K = {number}", num_directions=number) for number in (5, 20, 32)),
        *(row(f"{kind} directions", model=kind) for kind in ("linear", "nonlinear")),
        Row("GANSpace", "ganspace", settings=TEN, small={"num_samples": 20_000}, elsewhere=EIGHT),
        Row("SeFa", "sefa", settings=TEN, elsewhere={"num_directions": 8}),
        Row("Hessian Penalty", "hessian_penalty", settings=TEN, elsewhere={"num_directions": 8}),
        Row("random (control)", "random", settings=TEN, elsewhere={"num_directions": 8}, role="control"),
    ),
    columns={
        "MDS": Column("mds", "score"),
        "recovery": Column("recovery", "score", "analytic:sprite", SCENE),
    },
    presets={"small": "quick", "paper": "quick"},
    sources={"small": "shapes3d-64", "paper": "shapes3d-64"},
    remark="rooms of 64 pixels, ten directions unless the row says otherwise (with more of them the best is better by "
    "chance), judged by a predictor of their factors; recovery of eight true directions of a scene, where every row "
    "contrasts the image. Transfer between classes has a table of its own, `contrafact bench latentclr-transfer`",
)
