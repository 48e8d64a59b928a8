"""Draws the analytic scenes' factors: docs/pictures/analytic-sprite.png and analytic-room.png.

    python docs/pictures/analytic.py

Each row moves one factor from −2 to 2 standard deviations, the others stay at a typical place.
"""

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from contrafact.core.pictures import enlarge, save_png, tile, to_bytes
from contrafact.generators import Analytic

STEPS, SCALE, LABEL, GAP = 7, 2, 190, 4
START = {"sprite": [0.3, 0.1, 0.6, 0.4, 0.5, 0.2, 0.0, 0.0], "room": [0.8, 0.0, -0.4, 0.5, 0.9, 0.3, 0.0, -0.6]}


def main() -> None:
    for scene, start in START.items():
        generator = Analytic(scene, size=64)
        count = len(generator.factor_names)
        factors = torch.tensor(start).repeat(count, STEPS, 1)
        index = torch.arange(count)
        factors[index, :, index] = torch.linspace(-2, 2, STEPS)
        images = generator(generator.latent_of(factors.flatten(0, 1))).unflatten(0, (count, STEPS))
        sheet = tile(enlarge(to_bytes(images), SCALE), gap=GAP)
        picture = Image.new("RGB", (LABEL + sheet.shape[1], sheet.shape[0]), "white")
        picture.paste(Image.fromarray(sheet), (LABEL, 0))
        draw = ImageDraw.Draw(picture)
        font = ImageFont.load_default(size=20)
        for row, name in enumerate(generator.factor_names):
            middle = row * (64 * SCALE + GAP) + 32 * SCALE
            draw.text((LABEL - 14, middle), name, fill="black", font=font, anchor="rm")
        save_png(picture, Path(__file__).parent / f"analytic-{scene}.png")


if __name__ == "__main__":
    main()
