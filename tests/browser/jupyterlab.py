"""A JupyterLab server of the tests' own, and its notebooks opened in a headless Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from helpers.notebooks import ROOT

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


class Lab:
    """The server's folder and address."""

    def __init__(self, folder: Path, address: str):
        self.folder, self.address = folder, address

    def write(self, name: str, *cells: str) -> None:
        """A notebook ``name``.ipynb of code cells."""
        nb = new_notebook(cells=[new_code_cell(source) for source in cells], metadata={"kernelspec": KERNEL})
        nbformat.write(nb, self.folder / f"{name}.ipynb")

    @contextlib.contextmanager
    def opened(self, name: str, chromium) -> Iterator:
        """The page of a notebook whose cells have been told to run; page.outside lists requests to anywhere else."""
        context = chromium.new_context(viewport={"width": 1400, "height": 1000}, has_touch=True)
        page = context.new_page()
        page.outside = []
        page.on("request", lambda request: page.outside.append(request.url)
                if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost", None) else None)
        page.goto(f"{self.address}lab/tree/{name}.ipynb?token=pad&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel", timeout=90_000)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        yield page
        context.close()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Lab]:
    """A server for the notebooks in ``folder``, with settings of its own."""
    runtime = folder / "runtime"
    settings = folder / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    # No question about news and no look for updates: nothing may ask the network.
    settings.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COURSE_PROGRESS": "off", "OMP_NUM_THREADS": "1",
                   "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(folder / "config"),
                   "IPYTHONDIR": str(folder / "ipython")}
    options = ["--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}",
               "--allow-root", "--IdentityProvider.token=pad", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
    with open(folder / "lab.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=environment, cwd=folder,
                                  stdout=log, stderr=log)
    try:
        yield Lab(folder, _address(server, runtime, folder / "lab.log"))
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _address(server, runtime: Path, log: Path, seconds: float = 120.0) -> str:
    """Where the server answers: it says so in a file once it is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(file.read_text(encoding="utf-8"))["url"]
            except (ValueError, KeyError):  # being written
                pass
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start: {log.read_text(encoding='utf-8')[-2000:]}")
