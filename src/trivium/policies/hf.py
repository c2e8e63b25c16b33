"""`hf:<folder or Hub id>`: any causal language model in Hugging Face format."""

from __future__ import annotations

from pathlib import Path

from trivium.errors import UserError
from trivium.policies.folder import load
from trivium.types import Policy


def hf(model: str, *, dtype: str = "auto", max_rows: int | None = None, lora: int = 0, device: str = "auto") -> Policy:
    """A Hugging Face model: a folder on disk, or an id on the Hub such as `hf:Qwen/Qwen2.5-0.5B-Instruct`.

    `lora` is the rank of adapters to train in place of the weights; 0 trains the weights.  `device` is `cpu`, `cuda`,
    `cuda:1` or `auto`, a GPU where there is one.  `max_rows` samples are made at a time; `none` is 128, on a GPU 1024.
    """
    return load(locate(model), f"hf:{model}", dtype, max_rows, lora, device)


def locate(model: str) -> Path:
    """The folder of a model on disk or on the Hub (downloaded once).  Raises UserError when there is neither."""
    if Path(model).is_dir():
        return Path(model)
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise UserError(
            f"no model folder at {model!r}; expected a folder with config.json, or a Hub id such as org/name"
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(model, allow_patterns=patterns))
    except Exception as error:
        raise UserError(
            f"{model!r} is neither a folder here nor could it be downloaded from the Hub"
            f" ({type(error).__name__}); give a path to a model folder, or check the name and the network"
        ) from error
