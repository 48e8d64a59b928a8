"""The page to play with: every direction a slider, on a live server or in a file that anyone opens.

>>> import contrafact as cf
>>> from contrafact.app.session import Session
>>> from contrafact.app.state import parse_state
>>> run = cf.methods.Random(num_directions=2).fit(cf.load_generator("analytic", {"size": 16}), "runs/two")
>>> page = Session.open(run.folder)
>>> page.render([parse_state({"latent": {"seed": 0}, "magnitudes": {"1": 2.0}})]).shape
torch.Size([1, 3, 16, 16])
"""
