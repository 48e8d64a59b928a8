"""Draws what datasets hold: docs/pictures/fonts.png, digits-garments.png, digits-over-garments.png and
digits-centred-on-garments.png.

    python docs/pictures/datasets.py

Fonts: each row gives one factor six of its values, the others stay. Digits beside and over garments: eight pairs, one a
column; Debian's package dataset-fashion-mnist, or its files, must be there.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from contrafact.core.pictures import enlarge, save_png, tile, to_bytes
from contrafact.data import DigitsGarments, Fonts

COLUMNS, LABEL, GAP = 6, 130, 3
START = {"character": 6, "family": 2, "weight": 0, "slant": 0, "size": 3, "position x": 2, "position y": 2}
PAIRS, SCALE = 8, 5


def main() -> None:
    fonts = Fonts()
    rows = []
    for axis, (name, size) in enumerate(zip(fonts.factor_names, fonts.factor_sizes, strict=True)):
        factors = np.array([list(START.values())] * COLUMNS)
        factors[:, axis] = (
            (START[name] + np.arange(COLUMNS)) % size if name == "character" else np.arange(COLUMNS) % size
        )
        images = fonts.images(factors)
        images[min(COLUMNS, size) :] = 1  # fewer values than columns: white
        rows.append(images)
    sheet = tile(to_bytes(torch.stack(rows).expand(-1, -1, 3, -1, -1)), gap=GAP)
    picture = Image.new("RGB", (LABEL + sheet.shape[1], sheet.shape[0]), "white")
    picture.paste(Image.fromarray(sheet), (LABEL, 0))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=16)
    for row, name in enumerate(fonts.factor_names):
        draw.text((LABEL - 10, row * (64 + GAP) + 32), name, fill="black", font=font, anchor="rm")
    save_png(picture, Path(__file__).parent / "fonts.png")

    for variant, scale, name in (
        ("beside", SCALE, "digits-garments"),
        ("over", 3, "digits-over-garments"),
        ("centred", 3, "digits-centred-on-garments"),
    ):
        pairs = DigitsGarments(variant=variant).pairs(range(PAIRS))
        both = torch.stack([pairs.first, pairs.second]).expand(-1, -1, 3, -1, -1)
        save_png(Image.fromarray(tile(enlarge(to_bytes(both), scale), gap=GAP)), Path(__file__).parent / f"{name}.png")


if __name__ == "__main__":
    main()
