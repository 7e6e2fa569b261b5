"""Data that the course draws itself, for when the real thing is not at hand.

The stand-in digits are line drawings: every way of writing a digit is a few strokes through hand-placed
points. For each image the points are jittered, bent, slanted and turned, the drawing is fitted into a box of
20 x 20 pixels and centered by its center of mass in 28 x 28 (as MNIST was made), and ink is laid along the
strokes.
NumPy only; the same seed gives the same digits.

`authoring/measure_standins.py` measures what they are worth: how well a network that has seen nothing else
reads real digits. Run it after every change here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

SIDE = 28  # pixels of an image side
BOX = 20.0  # the drawing, ink included, fits into BOX x BOX pixels
CHUNK = 1000  # images drawn at once; bounds the scratch memory to about 100 MB

# How far the drawings vary. More variation reads real digits better, and makes the stand-ins themselves
# harder than real digits are: these values are the balance (a linear classifier must get 80 to 97 % right).
JITTER = 0.025  # of the digit's height, each control point on its own
WARP = 0.029  # of the digit's height, smooth and shared by neighboring points
STRETCH = 0.13  # sd of log(width / height)
SLANT_MEAN, SLANT_SD = 0.12, 0.22  # shear, to the right
TURN_SD, TURN_MAX = 6.0, 15.0  # degrees
SHIFT_SD, SHIFT_MAX = 0.3, 2.0  # pixels
WIDTH_MEDIAN, WIDTH_SD = 2.35, 0.28  # of a stroke: pixels, and sd of its log
WIDTH_MIN, WIDTH_MAX = 1.3, 4.4  # pixels

# A style is (weight, [stroke, ...]); a stroke is a smooth curve through its points, x to the right, y down,
# in about 0..1. A point written twice in a row is a sharp corner. Equal points move together: joints stay so.
# fmt: off
STYLES: dict[int, list[tuple[float, list[list[tuple[float, float]]]]]] = {
    0: [
        (4, [[(0.50, 0.00), (0.20, 0.10), (0.05, 0.50), (0.20, 0.90), (0.50, 1.00), (0.80, 0.90),
              (0.95, 0.50), (0.80, 0.10), (0.50, 0.00)]]),
        # wide, closed past its start
        (2, [[(0.62, 0.06), (0.40, 0.00), (0.10, 0.22), (0.00, 0.60), (0.18, 0.95), (0.55, 0.98),
              (0.92, 0.70), (1.00, 0.32), (0.78, 0.04), (0.45, 0.04), (0.35, 0.08)]]),
        # narrow
        (2, [[(0.55, 0.00), (0.36, 0.12), (0.25, 0.50), (0.30, 0.88), (0.48, 1.00), (0.68, 0.86),
              (0.76, 0.45), (0.68, 0.10), (0.55, 0.00)]]),
        # begins at the upper right and ends with a hook inside
        (1, [[(0.60, 0.05), (0.25, 0.12), (0.05, 0.55), (0.22, 0.95), (0.58, 0.98), (0.92, 0.60),
              (0.86, 0.18), (0.62, 0.02), (0.48, 0.12), (0.55, 0.26)]]),
        # open at the top
        (1, [[(0.42, 0.06), (0.14, 0.28), (0.06, 0.66), (0.26, 0.97), (0.60, 0.96), (0.92, 0.62),
              (0.90, 0.22), (0.68, 0.00), (0.52, 0.02)]]),
        # round
        (2, [[(0.50, 0.00), (0.12, 0.16), (0.00, 0.50), (0.14, 0.86), (0.50, 1.00), (0.88, 0.84),
              (1.00, 0.50), (0.86, 0.14), (0.50, 0.00)]]),
    ],
    1: [
        (8, [[(0.50, 0.00), (0.50, 0.50), (0.50, 1.00)]]),
        (1, [[(0.46, 0.00), (0.56, 0.45), (0.50, 1.00)]]),
        # flag
        (1, [[(0.30, 0.20), (0.54, 0.00), (0.54, 0.00), (0.52, 0.50), (0.50, 1.00)]]),
        (0.4, [[(0.22, 0.34), (0.40, 0.20), (0.56, 0.00), (0.56, 0.00), (0.54, 0.50), (0.53, 1.00)]]),
        # flag and base
        (0.7, [[(0.26, 0.22), (0.52, 0.00), (0.52, 0.00), (0.50, 0.50), (0.48, 0.98)],
             [(0.12, 0.98), (0.48, 0.98), (0.86, 0.96)]]),
        (0.3, [[(0.30, 0.20), (0.52, 0.02), (0.52, 0.02), (0.51, 0.50), (0.50, 0.97)],
             [(0.28, 0.98), (0.50, 0.97), (0.72, 0.98)]]),
    ],
    2: [
        # plain, flat base
        (3, [[(0.10, 0.24), (0.22, 0.06), (0.52, 0.00), (0.80, 0.14), (0.78, 0.40), (0.48, 0.72),
              (0.08, 0.98), (0.08, 0.98), (0.50, 0.97), (0.95, 0.95)]]),
        # small loop at the lower left
        (3, [[(0.14, 0.20), (0.34, 0.02), (0.64, 0.04), (0.76, 0.26), (0.62, 0.58), (0.38, 0.88),
              (0.14, 0.98), (0.04, 0.86), (0.18, 0.74), (0.42, 0.84), (0.66, 0.96), (0.98, 0.90)]]),
        # large loop and a wave
        (1.5, [[(0.18, 0.16), (0.40, 0.00), (0.68, 0.08), (0.72, 0.34), (0.52, 0.66), (0.24, 0.94),
              (0.06, 0.90), (0.10, 0.70), (0.34, 0.70), (0.54, 0.88), (0.78, 0.99), (1.00, 0.84)]]),
        # angular, like a z
        (1.5, [[(0.06, 0.10), (0.40, 0.03), (0.76, 0.04), (0.84, 0.12), (0.62, 0.42), (0.30, 0.76),
              (0.06, 0.96), (0.06, 0.96), (0.45, 0.96), (0.94, 0.98)]]),
        # curved back, drooping base
        (1.5, [[(0.12, 0.30), (0.20, 0.08), (0.50, 0.00), (0.74, 0.16), (0.70, 0.46), (0.42, 0.76),
              (0.14, 0.92), (0.30, 0.86), (0.56, 0.92), (0.92, 1.00)]]),
        # hooked start
        (1, [[(0.24, 0.34), (0.10, 0.22), (0.26, 0.04), (0.58, 0.00), (0.82, 0.18), (0.72, 0.46),
              (0.40, 0.74), (0.06, 0.96), (0.06, 0.96), (0.48, 0.92), (0.92, 0.96)]]),
        # short base, tall
        (1, [[(0.24, 0.18), (0.42, 0.00), (0.66, 0.10), (0.68, 0.36), (0.52, 0.66), (0.26, 0.96),
              (0.26, 0.96), (0.50, 0.98), (0.74, 0.96)]]),
        # loop that runs out wide
        (2, [[(0.20, 0.20), (0.42, 0.02), (0.70, 0.06), (0.80, 0.28), (0.62, 0.56), (0.30, 0.86),
              (0.06, 0.92), (0.02, 0.78), (0.20, 0.70), (0.44, 0.80), (0.70, 0.92), (1.08, 0.86)]]),
        # curls at both ends
        (1, [[(0.30, 0.30), (0.16, 0.34), (0.10, 0.18), (0.34, 0.00), (0.66, 0.06), (0.74, 0.30),
              (0.56, 0.60), (0.20, 0.92), (0.04, 0.88), (0.16, 0.76), (0.46, 0.84), (0.74, 0.98),
              (0.96, 0.88)]]),
        # hardly any base
        (0.7, [[(0.16, 0.14), (0.44, 0.00), (0.66, 0.14), (0.58, 0.44), (0.30, 0.78), (0.10, 0.96),
              (0.34, 0.92), (0.60, 0.97)]]),
    ],
    3: [
        # two bowls with a kink
        (4, [[(0.12, 0.14), (0.38, 0.00), (0.72, 0.08), (0.76, 0.28), (0.56, 0.44), (0.36, 0.48),
              (0.36, 0.48), (0.66, 0.52), (0.86, 0.70), (0.72, 0.92), (0.40, 1.00), (0.06, 0.90)]]),
        # kink with a small loop
        (1.5, [[(0.14, 0.12), (0.42, 0.00), (0.74, 0.10), (0.72, 0.30), (0.50, 0.46), (0.34, 0.50),
              (0.32, 0.42), (0.46, 0.42), (0.74, 0.54), (0.84, 0.74), (0.66, 0.95), (0.34, 0.99),
              (0.04, 0.86)]]),
        # flat top
        (1.5, [[(0.10, 0.04), (0.42, 0.04), (0.78, 0.02), (0.78, 0.02), (0.58, 0.24), (0.38, 0.42),
              (0.38, 0.42), (0.68, 0.46), (0.86, 0.66), (0.72, 0.92), (0.38, 1.00), (0.06, 0.92)]]),
        # shallow bowls
        (2, [[(0.20, 0.08), (0.50, 0.00), (0.72, 0.14), (0.62, 0.36), (0.42, 0.46), (0.60, 0.52),
              (0.74, 0.70), (0.62, 0.90), (0.34, 1.00), (0.14, 0.96)]]),
        # small upper, large lower bowl, hooked ends
        (1, [[(0.22, 0.24), (0.24, 0.06), (0.52, 0.00), (0.74, 0.14), (0.62, 0.36), (0.38, 0.42),
              (0.38, 0.42), (0.72, 0.44), (0.92, 0.66), (0.78, 0.92), (0.42, 1.00), (0.10, 0.92),
              (0.06, 0.78)]]),
        # large upper bowl, tail to the left
        (1, [[(0.16, 0.16), (0.46, 0.00), (0.82, 0.12), (0.78, 0.38), (0.42, 0.54), (0.42, 0.54),
              (0.72, 0.62), (0.76, 0.80), (0.48, 0.96), (0.00, 1.00)]]),
        # long tail at the lower left
        (1.5, [[(0.20, 0.10), (0.50, 0.00), (0.76, 0.10), (0.70, 0.30), (0.42, 0.44), (0.42, 0.44),
              (0.68, 0.52), (0.70, 0.72), (0.44, 0.90), (0.08, 0.98), (-0.08, 0.90)]]),
        # the lower bowl does not turn back
        (0.7, [[(0.16, 0.12), (0.44, 0.02), (0.70, 0.10), (0.60, 0.28), (0.42, 0.38), (0.42, 0.38),
              (0.66, 0.46), (0.68, 0.72), (0.46, 1.00)]]),
    ],
    4: [
        # open
        (4, [[(0.22, 0.04), (0.14, 0.32), (0.10, 0.56), (0.10, 0.56), (0.44, 0.58), (0.84, 0.54)],
             [(0.78, 0.00), (0.70, 0.50), (0.62, 1.00)]]),
        # open, round corner, bar that does not cross
        (2, [[(0.18, 0.06), (0.08, 0.36), (0.20, 0.54), (0.50, 0.52), (0.76, 0.40)],
             [(0.82, 0.02), (0.74, 0.50), (0.68, 1.00)]]),
        # closed
        (1, [[(0.66, 0.00), (0.36, 0.32), (0.06, 0.66), (0.06, 0.66), (0.46, 0.64), (0.92, 0.62)],
             [(0.66, 0.00), (0.66, 0.50), (0.64, 1.00)]]),
        # in one line, like a lightning bolt
        (1, [[(0.40, 0.02), (0.22, 0.28), (0.06, 0.58), (0.06, 0.58), (0.46, 0.58), (0.96, 0.50)],
             [(0.70, 0.16), (0.56, 0.58), (0.44, 1.00)]]),
        # narrow, stem starts low
        (1.5, [[(0.30, 0.00), (0.24, 0.26), (0.26, 0.48), (0.50, 0.50), (0.72, 0.42)],
             [(0.74, 0.10), (0.70, 0.50), (0.66, 1.00)]]),
        # deep cup
        (1.5, [[(0.14, 0.08), (0.08, 0.40), (0.26, 0.58), (0.56, 0.48), (0.78, 0.16), (0.80, 0.10),
              (0.80, 0.10), (0.68, 0.50), (0.58, 1.00)]]),
        # tops nearly meet
        (1, [[(0.52, 0.04), (0.24, 0.26), (0.12, 0.52), (0.40, 0.56), (0.78, 0.46)],
             [(0.74, 0.02), (0.68, 0.50), (0.62, 1.00)]]),
        # long bar across a short stem
        (1, [[(0.36, 0.00), (0.24, 0.30), (0.12, 0.56), (0.12, 0.56), (0.50, 0.56), (1.00, 0.50)],
             [(0.62, 0.30), (0.56, 0.60), (0.50, 1.00)]]),
        # tight cup on a long stem
        (1, [[(0.36, 0.02), (0.26, 0.22), (0.24, 0.42), (0.44, 0.44), (0.68, 0.30)],
             [(0.76, 0.00), (0.66, 0.44), (0.56, 1.00)]]),
    ],
    5: [
        # separate top
        (3, [[(0.34, 0.04), (0.28, 0.24), (0.24, 0.44), (0.24, 0.44), (0.54, 0.40), (0.78, 0.58),
              (0.72, 0.86), (0.40, 1.00), (0.06, 0.92)],
             [(0.34, 0.04), (0.60, 0.03), (0.94, 0.00)]]),
        # one line
        (3, [[(0.92, 0.02), (0.60, 0.04), (0.32, 0.06), (0.32, 0.06), (0.26, 0.24), (0.20, 0.44),
              (0.46, 0.42), (0.70, 0.56), (0.72, 0.80), (0.44, 0.98), (0.06, 0.96)]]),
        # s-like
        (1.5, [[(0.86, 0.04), (0.56, 0.00), (0.30, 0.14), (0.26, 0.34), (0.46, 0.46), (0.66, 0.60),
              (0.66, 0.84), (0.40, 1.00), (0.10, 0.92)]]),
        # short back, big bowl
        (1.5, [[(0.80, 0.06), (0.30, 0.08), (0.30, 0.08), (0.22, 0.36), (0.22, 0.36), (0.58, 0.34),
              (0.88, 0.58), (0.78, 0.90), (0.40, 1.00), (0.04, 0.86)]]),
        # flat: long flag, small bowl
        (1.5, [[(1.10, 0.02), (0.76, 0.06), (0.44, 0.12), (0.44, 0.12), (0.34, 0.30), (0.26, 0.46),
              (0.50, 0.48), (0.62, 0.66), (0.48, 0.88), (0.22, 0.98), (-0.02, 0.90)]]),
        # bowl curls in
        (1, [[(0.36, 0.04), (0.28, 0.40), (0.28, 0.40), (0.60, 0.36), (0.84, 0.58), (0.74, 0.90),
              (0.42, 1.00), (0.16, 0.88), (0.18, 0.74)],
             [(0.36, 0.04), (0.84, 0.04)]]),
        # the flag stands off
        (1.5, [[(0.32, 0.10), (0.26, 0.28), (0.24, 0.46), (0.24, 0.46), (0.54, 0.40), (0.76, 0.58),
              (0.66, 0.88), (0.34, 1.00), (0.02, 0.92)],
             [(0.40, 0.10), (0.66, 0.06), (1.02, 0.00)]]),
        # bowl runs straight out to the left
        (0.7, [[(0.80, 0.02), (0.44, 0.06), (0.44, 0.06), (0.34, 0.28), (0.28, 0.44), (0.54, 0.50),
              (0.60, 0.72), (0.36, 0.90), (0.02, 1.00)]]),
    ],
    6: [
        # curved stem
        (4, [[(0.66, 0.00), (0.34, 0.24), (0.16, 0.62), (0.24, 0.92), (0.52, 1.00), (0.78, 0.82),
              (0.70, 0.58), (0.44, 0.56), (0.22, 0.76)]]),
        # straight stem, round bowl
        (2, [[(0.40, 0.00), (0.26, 0.34), (0.16, 0.70), (0.30, 0.97), (0.62, 0.95), (0.80, 0.74),
              (0.62, 0.58), (0.34, 0.66), (0.20, 0.84)]]),
        # long stem, small bowl
        (2, [[(0.74, 0.00), (0.46, 0.22), (0.24, 0.58), (0.22, 0.86), (0.42, 1.00), (0.62, 0.88),
              (0.60, 0.68), (0.42, 0.66), (0.24, 0.86)]]),
        # hooked top
        (1, [[(0.80, 0.14), (0.64, 0.00), (0.32, 0.18), (0.12, 0.58), (0.24, 0.94), (0.58, 0.98),
              (0.80, 0.76), (0.64, 0.54), (0.36, 0.58), (0.16, 0.74)]]),
        # big bowl
        (1, [[(0.46, 0.00), (0.18, 0.30), (0.08, 0.68), (0.28, 0.98), (0.68, 0.96), (0.92, 0.66),
              (0.74, 0.42), (0.40, 0.44), (0.12, 0.66)]]),
        # bowl ends with a loop through the stem
        (1, [[(0.56, 0.00), (0.30, 0.34), (0.22, 0.74), (0.44, 1.00), (0.76, 0.88), (0.78, 0.62),
              (0.54, 0.54), (0.26, 0.74), (0.10, 0.88)]]),
        # wide, flat bowl
        (1.5, [[(0.30, 0.00), (0.12, 0.36), (0.08, 0.72), (0.26, 0.96), (0.56, 0.97), (0.84, 0.84),
              (0.90, 0.66), (0.70, 0.56), (0.46, 0.66), (0.28, 0.90)]]),
    ],
    7: [
        # plain
        (4, [[(0.08, 0.06), (0.45, 0.05), (0.86, 0.02), (0.86, 0.02), (0.62, 0.46), (0.42, 1.00)]]),
        # hook at the left
        (2, [[(0.12, 0.24), (0.10, 0.06), (0.10, 0.06), (0.46, 0.06), (0.84, 0.04), (0.84, 0.04),
              (0.64, 0.46), (0.46, 1.00)]]),
        # bar
        (1, [[(0.10, 0.08), (0.48, 0.06), (0.88, 0.04), (0.88, 0.04), (0.60, 0.48), (0.36, 1.00)],
             [(0.28, 0.54), (0.58, 0.50), (0.86, 0.48)]]),
        # round corner
        (2, [[(0.14, 0.12), (0.42, 0.02), (0.74, 0.04), (0.80, 0.20), (0.66, 0.52), (0.54, 1.00)]]),
        # wave at the top
        (1, [[(0.06, 0.16), (0.26, 0.02), (0.52, 0.12), (0.88, 0.04), (0.88, 0.04), (0.64, 0.44),
              (0.46, 1.00)]]),
        # curved stem
        (1.5, [[(0.16, 0.08), (0.50, 0.06), (0.82, 0.06), (0.82, 0.06), (0.60, 0.32), (0.50, 0.64),
              (0.52, 1.00)]]),
        # steep, drooping top
        (1, [[(0.18, 0.34), (0.38, 0.16), (0.66, 0.02), (0.66, 0.02), (0.62, 0.50), (0.56, 1.00)]]),
        # hook and bar
        (0.7, [[(0.10, 0.22), (0.12, 0.06), (0.12, 0.06), (0.48, 0.06), (0.84, 0.04), (0.84, 0.04),
              (0.60, 0.48), (0.42, 1.00)],
             [(0.34, 0.52), (0.56, 0.50), (0.80, 0.50)]]),
        # arch
        (1, [[(0.08, 0.40), (0.16, 0.12), (0.46, 0.04), (0.82, 0.06), (0.82, 0.30), (0.70, 0.60),
              (0.60, 1.00)]]),
        # wide roof, curved stem
        (1, [[(0.00, 0.14), (0.40, 0.12), (0.90, 0.02), (0.90, 0.02), (0.56, 0.40), (0.38, 0.70),
              (0.30, 1.00)]]),
    ],
    8: [
        # one line from the upper right
        (4, [[(0.78, 0.12), (0.52, 0.00), (0.24, 0.14), (0.32, 0.36), (0.60, 0.54), (0.76, 0.78),
              (0.54, 1.00), (0.24, 0.88), (0.32, 0.62), (0.60, 0.42), (0.82, 0.18), (0.78, 0.12)]]),
        # two rings
        (1.5, [[(0.50, 0.00), (0.24, 0.10), (0.26, 0.36), (0.50, 0.46), (0.74, 0.36), (0.76, 0.10),
              (0.50, 0.00)],
             [(0.50, 0.46), (0.18, 0.60), (0.18, 0.90), (0.50, 1.00), (0.82, 0.90), (0.82, 0.60),
              (0.50, 0.46)]]),
        # open at the upper right
        (1.5, [[(0.86, 0.08), (0.60, 0.00), (0.30, 0.08), (0.26, 0.28), (0.52, 0.48), (0.70, 0.72),
              (0.56, 0.98), (0.26, 0.94), (0.26, 0.70), (0.54, 0.48), (0.92, 0.24)]]),
        # closed top, narrow
        (2, [[(0.60, 0.02), (0.36, 0.10), (0.36, 0.32), (0.56, 0.50), (0.66, 0.76), (0.50, 1.00),
              (0.30, 0.88), (0.38, 0.62), (0.62, 0.40), (0.74, 0.16), (0.60, 0.02)]]),
        # small upper, wide lower ring
        (1, [[(0.54, 0.02), (0.32, 0.12), (0.40, 0.34), (0.70, 0.52), (0.84, 0.78), (0.54, 1.00),
              (0.16, 0.88), (0.24, 0.60), (0.56, 0.40), (0.70, 0.18), (0.54, 0.02)]]),
        # large upper, small lower ring
        (1, [[(0.70, 0.04), (0.32, 0.04), (0.18, 0.30), (0.44, 0.50), (0.60, 0.74), (0.46, 0.98),
              (0.28, 0.84), (0.44, 0.58), (0.78, 0.36), (0.82, 0.12), (0.70, 0.04)]]),
        # s first, closed far to the upper right
        (1.5, [[(1.00, 0.06), (0.66, 0.02), (0.36, 0.12), (0.34, 0.32), (0.56, 0.50), (0.62, 0.74),
              (0.42, 0.98), (0.16, 0.92), (0.18, 0.72), (0.46, 0.52), (0.80, 0.30), (1.00, 0.06),
              (1.00, 0.06)]]),
        # flat upper ring
        (1, [[(0.84, 0.16), (0.50, 0.02), (0.12, 0.14), (0.24, 0.40), (0.56, 0.54), (0.72, 0.78),
              (0.52, 1.00), (0.28, 0.86), (0.38, 0.62), (0.64, 0.42), (0.84, 0.16)]]),
    ],
    9: [
        # straight tail
        (4, [[(0.76, 0.14), (0.48, 0.00), (0.18, 0.18), (0.20, 0.44), (0.48, 0.46), (0.76, 0.14),
              (0.76, 0.14), (0.70, 0.55), (0.62, 1.00)]]),
        # curved tail
        (2, [[(0.74, 0.10), (0.44, 0.02), (0.22, 0.24), (0.36, 0.46), (0.64, 0.34), (0.74, 0.10),
              (0.74, 0.10), (0.78, 0.46), (0.68, 0.84), (0.40, 1.00), (0.16, 0.92)]]),
        # ring closed from the right
        (2, [[(0.72, 0.22), (0.50, 0.00), (0.22, 0.12), (0.20, 0.36), (0.46, 0.46), (0.70, 0.30),
              (0.72, 0.22), (0.68, 0.60), (0.54, 1.00)]]),
        # open top
        (1, [[(0.66, 0.04), (0.32, 0.10), (0.16, 0.34), (0.34, 0.50), (0.62, 0.38), (0.78, 0.12),
              (0.78, 0.12), (0.70, 0.54), (0.60, 1.00)]]),
        # small ring, long tail
        (1.5, [[(0.70, 0.12), (0.48, 0.00), (0.32, 0.14), (0.36, 0.34), (0.58, 0.32), (0.70, 0.12),
              (0.70, 0.12), (0.64, 0.52), (0.50, 1.00)]]),
        # flat ring
        (1.5, [[(0.86, 0.10), (0.48, 0.02), (0.12, 0.20), (0.18, 0.42), (0.50, 0.38), (0.86, 0.10),
              (0.86, 0.10), (0.72, 0.50), (0.56, 1.00)]]),
        # big ring, short tail
        (1, [[(0.66, 0.06), (0.30, 0.06), (0.12, 0.34), (0.32, 0.58), (0.66, 0.46), (0.74, 0.16),
              (0.66, 0.06), (0.78, 0.44), (0.72, 1.00)]]),
        # tail curls to the left
        (1, [[(0.70, 0.08), (0.40, 0.04), (0.22, 0.26), (0.40, 0.44), (0.66, 0.30), (0.70, 0.08),
              (0.70, 0.08), (0.72, 0.50), (0.58, 0.92), (0.34, 1.00), (0.20, 0.86)]]),
        # narrow, with a roof
        (1, [[(0.80, 0.04), (0.50, 0.04), (0.30, 0.20), (0.36, 0.42), (0.60, 0.38), (0.72, 0.20),
              (0.72, 0.20), (0.70, 0.60), (0.66, 1.00)]]),
        # shallow open cup
        (1, [[(0.60, 0.02), (0.28, 0.12), (0.20, 0.34), (0.44, 0.42), (0.76, 0.26), (0.86, 0.06),
              (0.86, 0.06), (0.72, 0.50), (0.50, 1.00)]]),
    ],
}
# fmt: on


def _spline(stroke: list[tuple[float, float]]) -> np.ndarray:
    """Matrix (samples, points) that turns control points into points on a Catmull-Rom curve through them.

    A stroke that ends where it began is closed: the curve passes through that point smoothly.
    """
    n = len(stroke)
    closed = stroke[0] == stroke[-1]
    blocks = []
    for i in range(n - 1):
        gap = np.hypot(stroke[i + 1][0] - stroke[i][0], stroke[i + 1][1] - stroke[i][1])
        samples = 2 + int(gap * BOX * 1.3)  # closer than a pixel, so that the blots melt into a line
        t = np.linspace(0, 1, samples, endpoint=False)
        basis = 0.5 * np.stack(
            [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1
        )
        block = np.zeros((samples, n))
        for k in range(4):
            j = i - 1 + k
            j = (j % (n - 1)) if closed else min(max(j, 0), n - 1)
            block[:, j] += basis[:, k]
        blocks.append(block)
    end = np.zeros((1, n))
    end[0, -1] = 1.0
    return np.concatenate([*blocks, end])


def _bend_and_place(xy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Warp, stretch, slant and turn drawings (n, samples, 2) around 0; returns x and y, each (n, samples)."""
    n = len(xy)
    for _ in range(3):  # three slow waves across the drawing
        frequency = rng.normal(0, 0.6, (n, 1, 2))
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        amount = rng.normal(0, WARP, (n, 1, 2))
        xy = xy + amount * np.sin(2 * np.pi * (xy * frequency).sum(2) + phase)[:, :, None]
    stretch = np.exp(rng.normal(0, STRETCH, (n, 1)))
    slant = rng.normal(SLANT_MEAN, SLANT_SD, (n, 1))
    turn = np.radians(np.clip(rng.normal(0, TURN_SD, (n, 1)), -TURN_MAX, TURN_MAX))
    y = xy[:, :, 1]
    x = stretch * xy[:, :, 0] - slant * y
    return np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y


def _blots(position: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """One-dimensional bell curves (n, samples, SIDE), one for each position (n, samples), in pixels."""
    z = (position[:, :, None] - np.arange(SIDE)) / sigma[:, :, None]
    return np.exp(-0.5 * np.square(z.astype(np.float32)))


def _draw(strokes: list[list[tuple[float, float]]], n: int, rng: np.random.Generator) -> np.ndarray:
    """n images (n, 28, 28) uint8 of one way to write a digit."""
    # 1. Control points, jittered. A point written twice is one point, and moves once.
    unique = sorted({point for stroke in strokes for point in stroke})
    index = {point: i for i, point in enumerate(unique)}
    points = np.array(unique) + rng.normal(0, JITTER, (n, len(unique), 2))

    # 2. Curves through them, bent as a whole.
    curves = [_spline(stroke) @ points[:, [index[p] for p in stroke]] for stroke in strokes]
    x, y = _bend_and_place(np.concatenate(curves, axis=1) - 0.5, rng)

    # 3. Into the box, the width of the pen included.
    width = WIDTH_MEDIAN * np.exp(rng.normal(0, WIDTH_SD, (n, 1)))
    width = np.clip(width, WIDTH_MIN, WIDTH_MAX)
    scale = (BOX - width) / np.maximum(np.ptp(x, axis=1), np.ptp(y, axis=1))[:, None]
    x, y = x * scale, y * scale

    # 4. The way of the pen that each sample stands for; between two strokes the pen is up.
    step = np.hypot(np.diff(x, axis=1), np.diff(y, axis=1))
    step[:, np.cumsum([curve.shape[1] for curve in curves])[:-1] - 1] = 0.0
    length = np.zeros_like(x)
    length[:, :-1] += step / 2
    length[:, 1:] += step / 2

    # 5. Ink: each sample is a round soft blot. Along a straight line the blots add up to 1, and fall off
    # beside it like a bell curve, which passes `level` at half the pen's width.
    level = 0.35
    sigma = width / 2 / np.sqrt(2 * np.log(1 / level))
    wave = np.linspace(0, 1, x.shape[1]) * rng.normal(0, 6, (n, 1)) + rng.uniform(0, 2 * np.pi, (n, 1))
    weight = (
        (1 + 0.25 * np.sin(wave)) * length / (sigma * np.sqrt(2 * np.pi))
    )  # the pen presses now more, now less

    # 6. The center of mass of the ink into the middle of the image, give or take a shift.
    total = weight.sum(axis=1, keepdims=True)
    shift = np.clip(rng.normal(0, SHIFT_SD, (2, n, 1)), -SHIFT_MAX, SHIFT_MAX) + SIDE / 2
    x += shift[0] - (weight * x).sum(axis=1, keepdims=True) / total
    y += shift[1] - (weight * y).sum(axis=1, keepdims=True) / total

    # 7. A round blot is a bell curve in x times one in y: the sum over all blots is a matrix product.
    rows = _blots(y, sigma) * weight[:, :, None].astype(np.float32)
    ink = rows.transpose(0, 2, 1) @ _blots(x, sigma)

    # 8. The paper is covered where there is more ink than `level`; the edge is about a pixel wide.
    sharpness = np.maximum(1.8 * sigma * np.exp(rng.normal(0, 0.2, (n, 1))), 1.6).astype(np.float32)
    image = np.clip((ink - level) * sharpness[:, :, None] + 0.5, 0, 1)
    image += (image > 0.02) * rng.normal(0, 0.04, image.shape).astype(np.float32)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def draw_digits(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one image for each label, white on black.

    Args:
        labels: (n,) integers from 0 to 9.
        rng: the source of all randomness.

    Returns:
        (n, 28, 28) uint8, 0 for paper to 255 for ink.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and not np.isin(labels, range(10)).all()):
        raise ValueError("labels must be one row of digits from 0 to 9")
    images = np.zeros((len(labels), SIDE, SIDE), np.uint8)
    for digit, styles in STYLES.items():
        mine = np.flatnonzero(labels == digit)
        weights = np.array([weight for weight, _ in styles])
        choice = rng.choice(len(styles), len(mine), p=weights / weights.sum())
        for style, (_, strokes) in enumerate(styles):
            rows = mine[choice == style]
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                images[part] = _draw(strokes, len(part), rng)
    return images


def _split(draw, n: int, seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, part])
    labels = rng.integers(0, 10, n)
    return draw(labels, rng), labels.astype(np.int64)


Digits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits(n_train: int = 6000, n_test: int = 1000, seed: int = 0, cache: Path | None = None) -> Digits:
    """Stand-in digits in the form of MNIST: 28 x 28, white on black, all ten digits about equally often.

    Args:
        n_train, n_test: number of images. The test images do not depend on n_train.
        seed: the same seed gives the same images (a single gray level may differ between two processors).
        cache: a folder where the drawn images are kept for the next time; None draws them anew.
            A damaged file there is replaced, and a folder that cannot be written is no error.

    Returns:
        train_images (n_train, 28, 28) uint8, train_labels (n_train,) int64, test_images, test_labels.
    """
    return _drawn("digits", draw_digits, n_train, n_test, seed, cache)


def _drawn(name: str, draw, n_train: int, n_test: int, seed: int, cache: Path | None) -> Digits:
    """Training and test images by `draw(labels, rng)`, from the cache if it has them."""
    if min(n_train, n_test) < 0:
        raise ValueError("n_train and n_test must not be negative")
    if cache is None:
        return (*_split(draw, n_train, seed, 0), *_split(draw, n_test, seed, 1))
    # the code is part of the name: whoever changes a drawing gets new images
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    path = Path(cache) / f"{name}-{version}-{n_train}-{n_test}-{seed}.npz"
    found = _read(path, n_train, n_test)
    if found is None:
        found = _drawn(name, draw, n_train, n_test, seed, None)
        _write(path, found)
        for old in path.parent.glob(f"{name}-*.npz"):
            if not old.name.startswith(f"{name}-{version}-"):
                with contextlib.suppress(OSError):
                    old.unlink()
    return found


NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def _read(path: Path, n_train: int, n_test: int) -> Digits | None:
    """The arrays in `path`, or None if it is missing, damaged or not what it should be."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = tuple(file[name] for name in NAMES)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    shapes = ((n_train, SIDE, SIDE), (n_train,), (n_test, SIDE, SIDE), (n_test,))
    kinds = (np.uint8, np.int64, np.uint8, np.int64)
    if any(a.shape != s or a.dtype != k for a, s, k in zip(arrays, shapes, kinds, strict=True)):
        return None
    return arrays


def _write(path: Path, arrays: Digits) -> None:
    """Write beside `path` and rename, so that nobody reads half a file. Trouble is ignored: it is a cache."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".digits-", delete=False) as file:
            temporary = Path(file.name)
            np.savez_compressed(file, **dict(zip(NAMES, arrays, strict=True)))
        os.replace(temporary, path)
    except OSError:
        pass
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


# --- Garments ---

# How far the garments vary. With these values a linear classifier gets 70 to 85 % right and a small network more, and a
# network that learns 2,000 of them by heart pays for it.
KNOT_SD = 0.55  # pixels, each corner on its own
SIZE_SD = 0.13  # sd of the log of width and height
LEAN_SD = 0.08  # pixels sideways for each pixel down
PLACE_SD, PLACE_MAX = 1.1, 3.0  # pixels
NOISE_SD = 25 / 255  # of the cloth
TONE_MIN = 0.3  # darkest cloth; the brightest is 1
PATTERN_SHARE = 0.45  # of the garments have stripes, and as many a print

# A garment is cut from parts: (kind, shade, sd of the log of its length, [(t, from, to), ...]), all in pixels from the
# middle, straight between the corners. "rows" goes down, t, and lies between two places across; "sides" is the same with its
# mirror image; "columns" goes across and lies between two heights. A shade of 0 cuts a hole, others are multiples of the tone.
# A kind of garment has several cuts, each with a weight. T-shirts and shirts overlap, as they do in a shop.
# fmt: off
_BODY = [(-10, -5, 5), (-8, -6.5, 6.5), (-2, -6, 6), (10, -6.5, 6.5)]
_SHORT = ("sides", 1.0, 0.18, [(-10, 4, 6), (-7, 5, 9.5), (-3, 7, 10.5)])
_LONG = ("sides", 1.0, 0.08, [(-10, 4, 6), (-5, 6, 9), (3, 7.5, 10.5), (9, 8.5, 11.5)])
_NECK = ("rows", 0.0, 0.3, [(-11, -3, 3), (-8.5, -1, 1)])
_COLLAR = ("sides", 1.3, 0.2, [(-11, 1, 3.5), (-8, 0, 1.2)])
_BUTTONS = ("rows", 0.75, 0.1, [(-8, -0.5, 0.5), (10, -0.5, 0.5)])
_OPENING = ("rows", 0.2, 0.1, [(-9, -0.6, 0.6), (11, -0.9, 0.9)])
_SOLE = ("columns", 1.3, 0.04, [(-11, 4, 5.5), (11, 4, 5.5)])
GARMENTS: dict[int, list[tuple[float, list[tuple]]]] = {
    0: [  # T-shirt
        (4, [("rows", 1.0, 0.1, _BODY), _SHORT, _NECK]),
        (1, [("rows", 1.0, 0.1, _BODY), _NECK]),
        (1, [("rows", 1.0, 0.1, _BODY), _SHORT, _NECK, _BUTTONS]),
        (0.7, [("rows", 1.0, 0.1, _BODY), _LONG, _NECK]),
    ],
    1: [  # trouser
        (3, [("rows", 1.0, 0.05, [(-11, -4, 4), (-5, -5, 5)]), ("sides", 1.0, 0.1, [(-5, 0.2, 5), (11, 1.2, 4)])]),
        (1, [("rows", 1.0, 0.05, [(-11, -4, 4), (-5, -5, 5)]), ("sides", 1.0, 0.1, [(-5, 0.2, 5), (11, 2, 7)])]),
        (1, [("rows", 1.0, 0.05, [(-11, -4.5, 4.5), (11, -4, 4)])]),
    ],
    2: [  # pullover
        (4, [("rows", 1.0, 0.08, _BODY), _LONG, ("rows", 0.6, 0.2, [(-10.5, -2.5, 2.5), (-9, -1.5, 1.5)])]),
        (2, [("rows", 1.0, 0.08, _BODY), _LONG, ("rows", 1.2, 0.1, [(8.5, -6.5, 6.5), (10, -6, 6)])]),
        (0.7, [("rows", 1.0, 0.08, _BODY), _LONG, _OPENING]),
    ],
    3: [  # dress
        (3, [("rows", 1.0, 0.08, [(-11, -3, 3), (-7, -4, 4), (-3, -3, 3), (11, -6.5, 6.5)]), _NECK]),
        (1, [("rows", 1.0, 0.08, [(-11, -3.5, 3.5), (11, -4.5, 4.5)]), _NECK]),
        (1, [("rows", 1.0, 0.08, [(-11, -3, 3), (-7, -4, 4), (-3, -3, 3), (11, -6, 6)]),
             ("sides", 1.0, 0.15, [(-11, 3, 4), (-6, 4, 6.5), (-1, 5, 7)])]),
    ],
    4: [  # coat
        (4, [("rows", 1.0, 0.06, [(-10, -5, 5), (-8, -6.5, 6.5), (-2, -6, 6), (11, -7.5, 7.5)]), _LONG, _OPENING]),
        (2, [("rows", 1.0, 0.06, [(-10, -5, 5), (-8, -6.5, 6.5), (11, -7, 7)]), _LONG, _COLLAR, _BUTTONS]),
        (0.7, [("rows", 1.0, 0.06, [(-10, -5, 5), (-8, -6.5, 6.5), (11, -7, 7)]), _LONG]),
    ],
    5: [  # sandal
        (2, [_SOLE, ("columns", 1.0, 0.1, [(-7, -1, 4), (-4, -2, 4)]), ("columns", 1.0, 0.1, [(5, -4, 4), (8, -5, 4)])]),
        (2, [("columns", 1.0, 0.05, [(-11, 3.5, 5), (2, 3, 4.5), (11, -3, 4.5)]), ("columns", 0.0, 0.1, [(2, 3, 5), (8, 1, 5)]),
             ("columns", 1.0, 0.1, [(-8, 0, 4), (-5, -1, 4)])]),
        (1, [_SOLE, ("columns", 1.0, 0.1, [(-9, 1, 4), (0, -3, 4), (10, -4, 4)]),
             ("columns", 0.0, 0.1, [(-4, 0.5, 3), (7, -1.5, 3)])]),
    ],
    6: [  # shirt
        (3, [("rows", 1.0, 0.1, _BODY), _LONG, _COLLAR, _BUTTONS]),
        (2, [("rows", 1.0, 0.1, _BODY), _SHORT, _COLLAR, _BUTTONS]),
        (1.5, [("rows", 1.0, 0.1, _BODY), _SHORT, _NECK]),
        (1, [("rows", 1.0, 0.1, _BODY), _LONG, _NECK]),
    ],
    7: [  # sneaker
        (3, [("columns", 1.0, 0.05, [(-11, 1, 5), (-4, -1, 5), (2, -4, 5), (10, -4.5, 5)]), _SOLE]),
        (1, [("columns", 1.0, 0.05, [(-11, 2, 5), (-2, 0, 5), (3, -3, 5), (10, -2.5, 5)]),
             ("columns", 0.6, 0.1, [(-2, 0.5, 4), (0, 0, 4)])]),
        (0.5, [("columns", 1.0, 0.05, [(-11, 1, 5), (-3, -2, 5), (2, -7, 5), (10, -7, 5)]), _SOLE]),
    ],
    8: [  # bag
        (2, [("columns", 1.0, 0.1, [(-9, -3, 8), (9, -3, 8)]), ("rows", 1.0, 0.1, [(-10, -4, 4), (-3, -6, 6)]),
             ("rows", 0.0, 0.1, [(-8, -3, 3), (-3, -4.5, 4.5)])]),
        (1, [("columns", 1.0, 0.1, [(-10, -4, 7), (10, -4, 7)]), ("columns", 0.7, 0.1, [(-10, -4, 0), (10, -4, 0)])]),
        (1, [("rows", 1.0, 0.1, [(-8, -5, 5), (9, -8, 8)]), ("rows", 0.0, 0.1, [(-6, -3, 3), (-4, -3, 3)])]),
    ],
    9: [  # ankle boot
        (3, [("columns", 1.0, 0.05, [(-10, 3, 8), (-3, 0, 8), (0, -8, 8), (9, -9, 8)]),
             ("columns", 1.3, 0.04, [(-10, 7, 8.5), (9, 7, 8.5)])]),
        (1, [("columns", 1.0, 0.05, [(-10, 4, 7), (-1, 1, 7), (1, -9, 6), (8, -9, 8)]),
             ("columns", 0.0, 0.1, [(-2, 6.5, 9), (4, 6, 9)])]),
        (1, [("columns", 1.0, 0.05, [(-11, 1, 6), (-4, -1, 6), (1, -6, 6), (9, -6, 6)]), _SOLE]),
    ],
}
# fmt: on


def _between(t: np.ndarray, corners: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Straight lines through the corners (n, k) at increasing t (n, k), read at the 28 places `at`: (n, 28)."""
    value = np.repeat(corners[:, :1], len(at), axis=1)
    for k in range(t.shape[1] - 1):
        part = np.clip((at - t[:, k, None]) / np.maximum(t[:, k + 1] - t[:, k], 1e-3)[:, None], 0, 1)
        value += part * (corners[:, k + 1] - corners[:, k])[:, None]
    return value


def _sew(parts: list[tuple], n: int, rng: np.random.Generator) -> np.ndarray:
    """n garments of one cut: the shade of each pixel (n, 28, 28) float32, 0 where there is no cloth."""
    width, height = np.exp(rng.normal(0, SIZE_SD, (2, n, 1)))
    lean = rng.normal(0, LEAN_SD, (n, 1))
    right, down = np.clip(rng.normal(0, PLACE_SD, (2, n, 1)), -PLACE_MAX, PLACE_MAX) + (SIDE - 1) / 2
    at, image = np.arange(SIDE, dtype=float), np.zeros((n, SIDE, SIDE), np.float32)
    for kind, shade, length_sd, knots in parts:
        corners = np.array(knots, float) + rng.normal(0, KNOT_SD, (n, len(knots), 3))
        t, low, high = (corners[:, :, i] for i in range(3))
        t = np.sort(t[:, :1] + (t - t[:, :1]) * np.exp(rng.normal(0, length_sd, (n, 1))), axis=1)
        across = kind == "columns"
        along, beside = ((width, right), (height, down)) if across else ((height, down), (width, right))
        t = t * along[0] + along[1]
        ends = np.clip(at - t[:, :1] + 0.5, 0, 1) * np.clip(t[:, -1:] - at + 0.5, 0, 1)
        for mirror in (1, -1) if kind == "sides" else (1,):
            a, b = (low, high) if mirror == 1 else (-high, -low)
            shift = beside[1] + lean * (at - along[1])
            edges = [_between(t, edge * beside[0], at) + shift for edge in (a, b)]
            inside = np.clip(at - edges[0][:, :, None] + 0.5, 0, 1) * np.clip(edges[1][:, :, None] - at + 0.5, 0, 1)
            inside = (inside * ends[:, :, None]).astype(np.float32)
            if across:
                inside = inside.transpose(0, 2, 1)
            image += inside * (shade - image)
    return image


def draw_garments(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one garment for each label, in the order of Fashion-MNIST's classes, light on black.

    Args:
        labels: (n,) integers from 0 (T-shirt) to 9 (ankle boot).
        rng: the source of all randomness.

    Returns:
        (n, 28, 28) uint8.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and not np.isin(labels, range(10)).all()):
        raise ValueError("labels must be one row of kinds of garment from 0 to 9")
    images = np.zeros((len(labels), SIDE, SIDE), np.uint8)
    for kind, cuts in GARMENTS.items():
        mine = np.flatnonzero(labels == kind)
        weights = np.array([weight for weight, _ in cuts])
        choice = rng.choice(len(cuts), len(mine), p=weights / weights.sum())
        for cut, (_, parts) in enumerate(cuts):
            rows = mine[choice == cut]
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                images[part] = _dye(_sew(parts, len(part), rng), rng)
    return images


def _dye(shade: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cloth (n, 28, 28) of one gray tone, some of it with stripes or a print, with noise: uint8."""
    n = len(shade)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    one = (n, 1, 1)
    angle, wave = rng.choice([0.0, np.pi / 2, np.pi / 4], one), rng.uniform(0.8, 2.2, one)
    stripes = np.sin(wave * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 2 * np.pi, one))
    striped = (rng.random(one) < PATTERN_SHARE) * rng.uniform(0.1, 0.45, one)
    across, down = x - rng.normal(13.5, 2, one), y - rng.normal(13, 3, one)
    far = np.hypot(across / rng.uniform(1, 4, one), down / rng.uniform(1, 4, one))
    printed = (rng.random(one) < PATTERN_SHARE) * (far < 1) * rng.uniform(-0.7, 0.7, one)
    cloth = shade * rng.uniform(TONE_MIN, 1, one) * (1 + striped * stripes + printed)
    cloth += (shade > 0.05) * rng.normal(0, NOISE_SD, shade.shape)
    return np.round(np.clip(cloth, 0, 1) * 255).astype(np.uint8)


def garments(n_train: int = 6000, n_test: int = 1000, seed: int = 0, cache: Path | None = None) -> Digits:
    """Stand-in clothes in the form of Fashion-MNIST: as `digits`, with the ten kinds of garment as labels."""
    return _drawn("garments", draw_garments, n_train, n_test, seed, cache)


def points() -> tuple[np.ndarray, np.ndarray]:
    """100 points for the perceptron: X (100, 2) float64 within 0..1, y (100,) int64.

    First the 50 ones, then the zeros: two round clouds. Unlike the real points, a line separates them.
    """
    rng = np.random.default_rng(7)
    ones = rng.normal((0.35, 0.35), 0.14, (50, 2))
    zeros = rng.normal((0.69, 0.69), 0.14, (50, 2))
    X = np.clip(np.concatenate([ones, zeros]), 0, 1)
    return X, np.repeat(np.array([1, 0], np.int64), 50)


def admissions() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """400 generated applicants: gre, gpa (400,) float64, rank, admit (400,) int64.

    In number, range, spread and ranks they are like the well-known table: 61, 151, 121 and 67 applicants of rank 1 to 4,
    and the 127 with the largest sum of merit and luck are admitted. Test score and grades go together (correlation 0.38).
    """
    rng = np.random.default_rng(2024)
    rank = rng.permutation(np.repeat([1, 2, 3, 4], [61, 151, 121, 67])).astype(np.int64)
    grades, test, luck = rng.normal(size=400), rng.normal(size=400), rng.logistic(size=400)
    gpa = np.clip((3.39 + 0.38 * grades).round(2), 2.26, 4.0)
    gre = np.clip(((588 + 115 * (0.38 * grades + 0.925 * test)) / 20).round() * 20, 220, 800)
    merit = 2 * gre / 800 + 3 * gpa / 4 - 0.6 * (rank - 1)
    admit = np.zeros(400, np.int64)
    admit[np.argsort(merit + luck)[-127:]] = 1
    return gre, gpa, rank, admit
