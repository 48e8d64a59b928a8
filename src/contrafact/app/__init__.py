"""The page to play with: every direction a slider, on a live server or in a file that anyone opens."""
