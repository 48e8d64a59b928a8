"""How each authors' program is run from a checkout, as it is, beside our step."""
