"""What the recipes of CD-GAN share."""

AS_PRINTED = {
    "reading": "inside",
    "temperature": 0.07,
    "augmentation": "none",
    "anchors_per_class": 5,
    "unlabelled": 0,
    "contrast_weight": 50.0,
}
"""Losses as the paper prints them, without what was added here to make few labels work."""
