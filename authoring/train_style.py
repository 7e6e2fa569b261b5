"""Paint one picture as large as the machine allows, print the losses on the way, and save it.

    python -m authoring.train_style --save picture.png                          512 pixels, 2,000 steps of Adam
    python -m authoring.train_style --side 128 --steps 150 --save small.png     in seconds on a CPU
    python -m authoring.train_style --network vgg19 --save picture.png          with VGG19, if its weights are here

The losses are the normalized ones of lesson 13: content 0 and style 1 at the start, total = content + beta * style. It fails
if the total, measured after the colors were clamped, has not fallen --fall times. Pictures come from data.style_pictures().
With --raw the style terms keep their scale (weights of the literature, --beta 1e3 or more).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers import data, devices
from helpers.lessons import style_transfer as lesson
from helpers.models import Backbone, load_backbone


def to_tensor(picture: np.ndarray, backbone: Backbone, device: torch.device) -> torch.Tensor:
    """A picture (H, W, 3) uint8 as a normalized (1, 3, H, W) tensor."""
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (backbone.mean, backbone.std))
    colors = torch.tensor(picture / 255, dtype=torch.float32).permute(2, 0, 1)
    return ((colors - mean) / std)[None].contiguous().to(device)


def make_terms(content: torch.Tensor, style: torch.Tensor, backbone: Backbone, raw: bool = False):
    """A function from the target to (content loss, style loss), normalized unless ``raw``."""
    layers = lesson.layers_named(backbone.layer_names, [*lesson.STYLE_WEIGHTS, lesson.CONTENT_LAYER])
    network = backbone.features.to(content.device).requires_grad_(False)
    start, aim = (lesson.features_of(picture, network, layers) for picture in (content, style))
    grams = {name: lesson.gram_of(aim[name]) for name in lesson.STYLE_WEIGHTS}
    weights, alpha = dict(lesson.STYLE_WEIGHTS), 1.0
    if not raw:
        weights = {name: 1 / (len(grams) * lesson.style_of(start, grams, {name: 1.0}).item()) for name in grams}
        alpha = 1 / start[lesson.CONTENT_LAYER].square().mean().item()

    def terms(target: torch.Tensor):
        now = lesson.features_of(target, network, layers)
        gap = now[lesson.CONTENT_LAYER] - start[lesson.CONTENT_LAYER]
        return alpha * gap.square().mean(), lesson.style_of(now, grams, weights)
    return terms


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="longer side in pixels")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--beta", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--method", choices=("Adam", "L-BFGS"), default="Adam", help="L-BFGS takes --rate 1")
    parser.add_argument("--raw", action="store_true", help="losses without normalization")
    parser.add_argument("--network", default="tiny", help="tiny, vgg16 or vgg19")
    parser.add_argument("--content", help="a name of data.style_pictures(), or a file")
    parser.add_argument("--style", help="likewise")
    parser.add_argument("--fall", type=float, default=20.0, help="how many times the total must fall")
    parser.add_argument("--save", type=Path, required=True, help="where to write the picture, a .png")
    options = parser.parse_args(argv)
    device, backbone = devices.device(), load_backbone(options.network)
    pictures = data.style_pictures()

    def chosen(name: str | None, known: dict[str, np.ndarray], place: int) -> np.ndarray:
        if name is not None and name not in known:
            return lesson.read_picture(name, options.side)
        return lesson.scaled(known[name or list(known)[place]], options.side)

    content = to_tensor(chosen(options.content, pictures.contents, 0), backbone, device)
    style = to_tensor(chosen(options.style, pictures.styles, 0), backbone, device)
    print(f"torch {torch.__version__.split('+')[0]}, {device}, {backbone.source}; content {tuple(content.shape[2:])}, "
          f"style {tuple(style.shape[2:])}", flush=True)
    started = time.perf_counter()
    run = lesson.optimize(make_terms(content, style, backbone, options.raw), content, beta=options.beta, method=options.method,
                          rate=options.rate, evaluations=options.steps)
    seconds = time.perf_counter() - started
    for step in sorted({0, *(round(options.steps * part / 5) for part in range(1, 5))}):
        content_loss, style_loss, total = run.history[step]
        print(f"step {step:5}: content {content_loss:.4g}  style {style_loss:.4g}  total {total:.5g}")
    content_loss, style_loss, total = run.after
    fall = run.totals[0] / total
    print(f"at the end, colors clamped: content {content_loss:.4g}  style {style_loss:.4g}  total {total:.5g}; "
          f"{fall:.1f}-fold in {seconds:.1f} s ({1000 * seconds / options.steps:.1f} ms a step)")
    Image.fromarray((lesson.as_colors(run.picture) * 255).round().astype(np.uint8)).save(options.save)
    print(f"{'✓' if fall >= options.fall else '✗'} the total fell {fall:.1f}-fold (must be at least {options.fall:g}-fold); "
          f"picture: {options.save}")
    return 0 if fall >= options.fall else 1


if __name__ == "__main__":
    sys.exit(main())
