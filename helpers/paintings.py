"""Pictures for style transfer that the course draws itself: two scenes to be painted, and three paintings to learn from.

The paintings are made of strokes, as real ones are: short strokes along a flow, waves with foam, a sunset in bands.
The scenes are clear shapes: a face, and a cup on a table. The same seed gives the same picture.
"""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH = 300, 400  # pixels
FINE = 2  # drawn this many times larger, then scaled down: smooth edges

Color = tuple[float, float, float]


def _canvas(color: Color = (255, 255, 255)):
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (FINE * WIDTH, FINE * HEIGHT), _rgb(color))
    return picture, ImageDraw.Draw(picture)


def _rgb(color) -> tuple[int, int, int]:
    return tuple(int(v) for v in np.clip(np.round(color), 0, 255))


def _done(picture) -> np.ndarray:
    from PIL import Image

    return np.array(picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def _smooth(rng: np.random.Generator, cells: int, height: int, width: int) -> np.ndarray:
    """Smooth noise (height, width), about -2 to 2, with so many hills along the height."""
    from PIL import Image

    coarse = rng.normal(0, 1, (cells, round(cells * width / height))).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _mix(first, second, share) -> np.ndarray:
    first, second = np.asarray(first, float), np.asarray(second, float)
    return first + (second - first) * share


# --- Styles ---


def flow(seed: int = 0, strokes: int = 4000) -> np.ndarray:
    """Short strokes along a flow that swirls around two suns, in blues and yellows: (300, 400, 3) uint8."""
    rng = np.random.default_rng([seed, 1])
    picture, draw = _canvas((24, 44, 96))
    h, w = FINE * HEIGHT, FINE * WIDTH
    lift, tint = _smooth(rng, 3, h, w), _smooth(rng, 5, h, w)
    suns = np.array([[0.27, 0.33], [0.76, 0.26]]) * [w, h]
    night = ((20, 38, 92), (40, 82, 150), (90, 140, 190), (168, 200, 205))
    day = ((246, 206, 80), (250, 232, 150), (226, 158, 40))
    for number in range(strokes):
        # the first quarter is coarse and fills the canvas, the rest are fine
        coarse = number < strokes // 4
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        far = np.hypot(*(suns - [x, y]).T) / h
        near = int(far.argmin())
        color = _mix(night[rng.integers(4)], night[int(np.clip(2 + tint[int(y), int(x)], 0, 3))], 0.6)
        glow = np.exp(-((far[near] / (0.17 if near else 0.22)) ** 2))
        if rng.random() < glow:
            color = np.array(day[rng.integers(3)], float)
        points = [(x, y)]
        for _ in range(14 if coarse else 9):
            i, j = int(np.clip(y, 0, h - 1)), int(np.clip(x, 0, w - 1))
            away = suns[near] - [x, y]
            around = np.arctan2(away[1], away[0]) + np.pi / 2
            drift = 0.55 * lift[i, j]
            weight = np.exp(-((np.hypot(*away) / (0.42 * h)) ** 2))
            direction = np.array([np.cos(drift), np.sin(drift)]) * (1 - weight) + weight * np.array([np.cos(around),
                                                                                                  np.sin(around)])
            x, y = np.array([x, y]) + 5.0 * direction / (np.hypot(*direction) + 1e-6)
            points.append((x, y))
        width = 11 if coarse else int(rng.integers(4, 8))
        draw.line(points, fill=_rgb(color + rng.normal(0, 9, 3)), width=width, joint="curve")
    return _done(picture)


def waves(seed: int = 0) -> np.ndarray:
    """Rows of curling waves with light foam under a pale sky: (300, 400, 3) uint8."""
    rng = np.random.default_rng([seed, 2])
    h, w = FINE * HEIGHT, FINE * WIDTH
    picture, draw = _canvas((236, 222, 190))
    for _ in range(260):  # the sky: long dry strokes
        x, y = rng.uniform(-80, w), rng.uniform(0, 0.5 * h)
        draw.line([(x, y), (x + rng.uniform(60, 200), y + rng.normal(0, 3))],
                  fill=_rgb(_mix((236, 222, 190), (205, 196, 178), rng.random())), width=int(rng.integers(2, 7)))
    deep, middle, foam = np.array((22, 50, 92.0)), np.array((62, 116, 160.0)), np.array((242, 240, 228.0))
    for row, base in enumerate(np.linspace(0.34, 1.08, 9)):
        length, height, phase = (110 + 26 * row), (16 + 7 * row), rng.uniform(0, 2 * np.pi)
        t = np.arange(-length, w + length, 2.0)
        a = 2 * np.pi * t / length + phase
        # a trochoid: crests are sharp and lean to the left
        x, y = t - 0.16 * length * np.sin(a + 0.9), base * h - height * np.cos(a) - 0.35 * height * np.cos(2 * a)
        body = _mix(middle, deep, (row % 3) / 2)
        draw.polygon([*zip(x, y, strict=True), (w + 300, h + 300), (-300, h + 300)], fill=_rgb(body))
        for depth in range(1, 6):  # lines inside the wave follow its crest
            shade = _mix(body, foam if depth % 2 else deep, 0.45 - 0.05 * depth)
            draw.line([*zip(x + 3 * depth, y + 7 * depth + 2, strict=True)], fill=_rgb(shade), width=3, joint="curve")
        draw.line([*zip(x, y, strict=True)], fill=_rgb(foam), width=5, joint="curve")
        crest = np.flatnonzero(np.cos(a) > 0.72)
        for k in rng.choice(crest, min(len(crest), 60 + 12 * row), replace=False):  # claws and drops of foam
            u, v, r = x[k] + rng.normal(0, 9), y[k] + rng.normal(-2, 6), rng.uniform(1.5, 4 + 0.5 * row)
            draw.ellipse([u - r, v - r, u + r, v + r], fill=_rgb(foam - rng.uniform(0, 20)))
    return _done(picture)


def dusk(seed: int = 0) -> np.ndarray:
    """A sky in wavy bands of red and orange over a dark bay, laid down in long strokes: (300, 400, 3) uint8."""
    rng = np.random.default_rng([seed, 3])
    h, w = FINE * HEIGHT, FINE * WIDTH
    picture, draw = _canvas((190, 90, 50))
    bend = _smooth(rng, 2, h, w)
    sky = ((196, 52, 36), (232, 112, 46), (246, 178, 72), (222, 84, 44), (250, 214, 130), (150, 40, 44))
    bay = ((24, 40, 66), (46, 74, 92), (16, 28, 44), (86, 104, 98))
    for number in range(1500):
        y0 = h * (1.2 * ((number * 0.61803) % 1.0) - 0.1)
        x0 = rng.uniform(-0.2 * w, w)
        x = np.arange(x0, x0 + rng.uniform(0.15, 0.5) * w, 8)
        rows, columns = int(np.clip(y0, 0, h - 1)), np.clip(x, 0, w - 1).astype(int)
        y = y0 + 26 * bend[rows, columns] + 9 * np.sin(x / 70 + y0 / 40)
        share = y0 / h
        colors = sky if share + 0.03 * rng.normal() < 0.62 else bay
        color = np.array(colors[int(share * 14 + 2 + rng.integers(2)) % len(colors)], float)
        color, width = color + rng.normal(0, 8, 3), int(rng.integers(5, 13))
        draw.line([*zip(x, y, strict=True)], fill=_rgb(color), width=width, joint="curve")
    return _done(picture)


# --- Contents ---


def portrait(seed: int = 0) -> np.ndarray:
    """A face with hair and shoulders before a window: (300, 400, 3) uint8."""
    from PIL import ImageFilter

    rng = np.random.default_rng([seed, 4])
    picture, draw = _canvas((176, 190, 200))
    u = FINE * HEIGHT / 100  # a hundredth of the height

    def ellipse(x, y, rx, ry, color):
        draw.ellipse([u * (x - rx), u * (y - ry), u * (x + rx), u * (y + ry)], fill=_rgb(color))

    for k in range(60):  # light from the left
        wall = _mix((222, 228, 226), (112, 128, 140), k / 59)
        draw.rectangle([u * k * 2.3, 0, u * (k * 2.3 + 2.4), u * 101], fill=_rgb(wall))
    draw.rectangle([u * 6, u * 8, u * 34, u * 62], fill=_rgb((238, 242, 236)))
    for x in (6, 19.5, 33):
        draw.rectangle([u * x, u * 8, u * (x + 1.6), u * 63], fill=_rgb((120, 96, 72)))
    for y in (8, 34, 61):
        draw.rectangle([u * 6, u * y, u * 34.6, u * (y + 1.6)], fill=_rgb((120, 96, 72)))
    ellipse(70, 112, 38, 36, (44, 84, 112))  # shoulders
    hair = (62, 42, 34)
    ellipse(70, 46, 26, 33, hair)
    draw.polygon([(u * x, u * y) for x, y in ((45, 46), (95, 46), (99, 86), (84, 92), (56, 92), (41, 86))], fill=_rgb(hair))
    draw.polygon([(u * x, u * y) for x, y in ((62, 66), (78, 66), (80, 90), (70, 95), (60, 90))], fill=_rgb((206, 152, 122)))
    ellipse(70, 50, 19, 25, (228, 178, 146))
    ellipse(62, 50, 9, 20, (236, 192, 160))  # the lit cheek
    draw.pieslice([u * 48, u * 20, u * 92, u * 58], 180, 360, fill=_rgb(hair))
    ellipse(64, 39, 19, 9, hair)
    for x in (62, 78):
        ellipse(x, 49, 4.2, 2.5, (250, 248, 244))
        ellipse(x + 0.3, 49, 2.1, 2.3, (70, 104, 80))
        ellipse(x + 0.3, 49, 1.0, 1.1, (20, 18, 20))
        brow = [(u * (x - 5), u * 45), (u * x, u * 43.6), (u * (x + 5), u * 45)]
        draw.line(brow, fill=_rgb(hair), width=round(1.2 * u))
    draw.line([(u * 70, u * 50), (u * 72.5, u * 59), (u * 69, u * 60)], fill=_rgb((190, 132, 104)), width=round(0.9 * u))
    draw.pieslice([u * 62, u * 61, u * 78, u * 70], 5, 175, fill=_rgb((186, 72, 74)))
    draw.polygon([(u * x, u * y) for x, y in ((56, 82), (61, 80), (70, 93), (79, 80), (84, 82), (82, 100), (58, 100))],
                 fill=_rgb((44, 84, 112)))
    draw.line([(u * x, u * y) for x, y in ((58, 81), (70, 94.5), (82, 81))], fill=_rgb((232, 226, 214)), width=round(1.6 * u),
              joint="curve")
    picture = picture.filter(ImageFilter.GaussianBlur(1.6))
    grain = 5 * _smooth(rng, 60, HEIGHT, WIDTH)[..., None]
    return np.clip(_done(picture) + grain, 0, 255).astype(np.uint8)


def cup(seed: int = 0) -> np.ndarray:
    """A red cup on a saucer, on a wooden table: (300, 400, 3) uint8."""
    from PIL import ImageFilter

    rng = np.random.default_rng([seed, 5])
    picture, draw = _canvas((120, 84, 56))
    u = FINE * HEIGHT / 100
    for k in range(5):  # planks
        top = 20 * k
        draw.rectangle([0, u * top, u * 134, u * (top + 20)], fill=_rgb(np.array((150, 106, 70)) + rng.normal(0, 10)))
        draw.line([(0, u * top), (u * 134, u * top)], fill=_rgb((84, 56, 36)), width=round(0.7 * u))
        for _ in range(14):
            x, y = rng.uniform(0, 134), top + rng.uniform(2, 18)
            draw.line([(u * x, u * y), (u * (x + rng.uniform(8, 30)), u * (y + rng.normal(0, 0.6)))],
                      fill=_rgb((120, 82, 52)), width=round(0.5 * u))

    def ellipse(x, y, rx, ry, color):
        draw.ellipse([u * (x - rx), u * (y - ry), u * (x + rx), u * (y + ry)], fill=_rgb(color))

    ellipse(72, 76, 48, 19, (70, 46, 32))  # shadow
    ellipse(66, 72, 46, 18, (226, 222, 214))  # saucer
    ellipse(66, 71, 40, 15, (244, 242, 236))
    ellipse(66, 71, 24, 8.5, (206, 200, 190))
    draw.ellipse([u * 84, u * 30, u * 112, u * 62], outline=_rgb((176, 36, 40)), width=round(5 * u))  # handle
    body = [(36, 26), (38, 48), (46, 66), (54, 72), (78, 72), (86, 66), (94, 48), (96, 26)]
    draw.polygon([(u * x, u * y) for x, y in body], fill=_rgb((200, 44, 46)))
    draw.polygon([(u * x, u * y) for x, y in ((36, 26), (38, 48), (46, 66), (54, 72), (58, 72), (50, 62), (45, 46), (44, 26))],
                 fill=_rgb((226, 84, 80)))
    ellipse(66, 26, 30, 10.5, (232, 226, 220))
    ellipse(66, 26.6, 27, 8.8, (58, 34, 22))
    ellipse(60, 25.6, 13, 4.4, (150, 104, 66))  # foam on the coffee
    ellipse(72, 28, 8, 2.6, (176, 130, 88))
    picture = picture.filter(ImageFilter.GaussianBlur(1.4))
    return np.clip(_done(picture) + 4 * _smooth(rng, 80, HEIGHT, WIDTH)[..., None], 0, 255).astype(np.uint8)


STYLES = {"flow": flow, "waves": waves, "dusk": dusk}
CONTENTS = {"portrait": portrait, "cup": cup}
