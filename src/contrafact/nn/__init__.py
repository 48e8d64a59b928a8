"""Networks and losses that more than one method uses.

>>> import torch
>>> from contrafact.nn.encoders import ConvEncoder
>>> ConvEncoder((3, 32, 32), code_dim=10, width=0.1)(torch.rand(2, 3, 32, 32)).shape
torch.Size([2, 10])
"""
