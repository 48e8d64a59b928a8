"""CD-GAN, Table 3: clustering and image quality on CIFAR-10 with 5 % of the labels."""

from contrafact.bench.cd_gan import AS_PRINTED
from contrafact.bench.recipe import Recipe, Row
from contrafact.methods.cd_gan import CDGAN

CIFAR10, FEW = CDGAN.presets["cifar10"], {"labels": 0.05}
PRINTED = AS_PRINTED | {"contrast_weight": CIFAR10.get("contrast_weight", AS_PRINTED["contrast_weight"])}
# What the text says of an unsupervised CD-GAN, beside the table.
UNSUPERVISED = {
    name: value for name, value in CDGAN.presets["cifar10_unsupervised"].items() if CIFAR10.get(name) != value
}


def row(name: str, method: str, acc: float | None, score: float, fid: float, **more: object) -> Row:
    published = {"IS": (score, None), "FID": (fid, None)} | ({} if acc is None else {"ACC": (acc, None)})
    return Row(name, method, published, source="cifar10", **more)


RECIPE = Recipe(
    title="CIFAR-10: clusters of the class codes, and image quality by a CIFAR-10 classifier's features",
    table="Pan et al. 2021, Table 3",
    rows=(
        row("ClusterGAN", "cluster_gan", 0.14, 7.26, 26.86),
        row("InfoGAN", "infogan", None, 7.19, 28.20),
        row("InfoGAN-CR", "infogan_cr", None, 6.81, 29.82),
        row("CD-GAN, no labels (in the text)", "cd_gan", None, 7.38, 25.40, settings=UNSUPERVISED),
        row("CD-GAN, few labels", "cd_gan", 0.41, 7.65, 23.97, data=FEW),
        Row("CD-GAN, few labels, losses as printed", "cd_gan", source="cifar10", data=FEW, settings=PRINTED,
            role="ablation"),
        Row("SupCon on the same labels alone (control)", "sup_con", source="cifar10", data=FEW, role="control"),
    ),
    columns={
        "ACC": ("clustering", "accuracy"),
        "IS": ("inception_score", "score"),
        "FID": ("fid", "score"),
    },
    presets={"small": "quick", "paper": "cifar10"},
    best=True,
    remark=(
        "the published IS and FID are with Inception's features, ours with a CIFAR-10 classifier's: compare rows, not "
        "columns. Both scales need cifar-10-batches-py (or cifar-10-batches-bin), unpacked, in the data folder"
    ),
)  # fmt: skip
