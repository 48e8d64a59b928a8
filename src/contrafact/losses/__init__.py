"""Losses: pure functions, tensors in, scalar out.

>>> import torch
>>> from contrafact.losses.reconstruction import image_distance
>>> float(image_distance(torch.ones(2, 3, 16, 16), torch.ones(2, 3, 16, 16), "squared"))
0.0
"""
