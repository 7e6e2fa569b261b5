"""Data-parallel training in one file: the same script for one process or many, on CPUs or on NVIDIA GPUs.

    torchrun --standalone --nproc_per_node=2 -m helpers.train_parallel
    torchrun --standalone --nproc_per_node=2 -m helpers.train_parallel --save model.pt --epochs 5
    python -m helpers.train_parallel                          one process, no torchrun

Each process has a copy of the model and draws its own share of the samples. While the gradients are computed they are averaged
over all processes, so that every copy takes the same step. Lesson 17 goes through it.
"""

from __future__ import annotations

import argparse
import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

N, BATCH = 1003, 32
SLOPES, OFFSET = (1.0, -2.0, 3.0, 0.5), 0.7


def points(n: int = N) -> TensorDataset:
    """n points of a plane: x (n, 4) and y = x · (1, -2, 3, 0.5) + 0.7, of shape (n, 1). The same in every process."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, x @ torch.tensor(SLOPES)[:, None] + OFFSET)


def start() -> tuple[int, int, torch.device]:
    """Join the group: who am I (rank), how many are we (world size), and which device is mine?"""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # processes on this machine: nccl wants a GPU for each
    cuda = torch.cuda.device_count() >= here and os.environ.get("COURSE_DEVICE", "cuda") == "cuda"
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")  # torchrun sets all five; without it we are alone
    os.environ.setdefault("MASTER_PORT", "0")
    if cuda:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if cuda else "gloo", rank=int(os.environ.get("RANK", 0)),
                            world_size=int(os.environ.get("WORLD_SIZE", 1)))
    return dist.get_rank(), dist.get_world_size(), torch.device("cuda", local_rank) if cuda else torch.device("cpu")


def gradient_gap(model: DistributedDataParallel, x: torch.Tensor, y: torch.Tensor) -> float:
    """Largest difference between the averaged gradients and those that one process gets from everybody's samples at once."""
    everybody = []
    for mine in (x, y):
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine)
        everybody.append(torch.cat(parts))
    alone = nn.Linear(4, 1).to(x.device)
    alone.load_state_dict(model.module.state_dict())
    nn.functional.mse_loss(alone(everybody[0]), everybody[1]).backward()
    pairs = zip(alone.parameters(), model.module.parameters(), strict=True)
    return max((a.grad - b.grad).abs().max().item() for a, b in pairs)


def train(epochs: int, save: str | None) -> None:
    rank, world_size, device = start()
    torch.set_num_threads(1)  # the processes share the cores
    total = torch.tensor(rank + 1.0, device=device)
    dist.all_reduce(total)  # everybody gets the sum of all

    dataset = points()
    sampler = DistributedSampler(dataset, shuffle=True)
    loader = DataLoader(dataset, batch_size=BATCH, sampler=sampler)
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(4, 1).to(device))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    gap = None
    for epoch in range(epochs):
        sampler.set_epoch(epoch)  # without it each epoch has the same order
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()  # here the gradients are averaged
            gap = gradient_gap(model, x, y) if gap is None else gap  # looked at once
            optimizer.step()

    weights = ", ".join(f"{w:.4f}" for w in model.module.weight.flatten().tolist())
    report = (f"rank {rank} of {world_size}: all-reduce {total.item():g}, {len(sampler)} samples in {len(loader)} batches, "
              f"gradient gap {gap:.0e}, weights {weights}, loss {loss.item():.0e}\n")
    sys.stdout.write(report)  # text and end of line in one piece: the processes share the screen
    sys.stdout.flush()
    if save and rank == 0:  # one writer
        torch.save(model.module.state_dict(), save)  # .module: names without "module."
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--save", help="file for the state_dict; the process of rank 0 writes it")
    options = parser.parse_args()
    train(options.epochs, options.save)


if __name__ == "__main__":  # each process imports this file again
    main()
