"""Measurements: how long things take, as ratios taken in one run (`make bench`)."""
