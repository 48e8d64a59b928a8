"""What training loops share besides the run: latent tables, queues, momentum, schedules, image changes.

>>> import torch
>>> from contrafact.training.momentum import momentum_copy
>>> next(momentum_copy(torch.nn.Linear(2, 2)).parameters()).requires_grad
False
"""
