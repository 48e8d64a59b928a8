"""Editing real images: photographs to latents, latents along directions.

>>> import torch
>>> from contrafact.editing.similarity import psnr
>>> round(psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1)).item(), 3)  # decibels
20.0
"""
