"""The rivals' side: TRL's trainers and transformers' `generate`, in settings that the benchmarks search over.

Settings: `mode` is `fp32`, `bf16 autocast` (float32 weights, bf16 products) or `bf16 weights` (weights, gradients and
moments in bf16: less exact than what we do, but the fastest where bf16 is); `attention` is transformers' `sdpa` or
`eager`; `batch` the rows of one forward and backward; `cache` the kind of key-value cache.  Logging, saving, progress
bars and gradient checkpointing, which would cost time, are off.
"""

from __future__ import annotations

import functools
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from benchmarks.lesson import BETA2, GRAD_CLIP, TEMPERATURE, Lesson, rewards, turns_of
from benchmarks.worker import Facts, Turns

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
"""Where the trainers put themselves, too."""
DTYPES = {"fp32": torch.float32, "bf16 autocast": torch.float32, "bf16 weights": torch.bfloat16}


def grpo(turns: Turns, *, folder: str, settings: dict[str, Any], lesson: dict[str, Any]) -> None:
    """`GRPOTrainer` steps: generate, pay, learn."""
    plan, steps = Lesson(**lesson), Steps(turns)
    lengths: list[int] = []

    def pay(completions: Any, completion_ids: list[list[int]], place: list[int], **_: Any) -> list[float]:
        lengths[:] = map(len, completion_ids)
        return digit_pay(completions, place)

    steps.facts = lambda: {"samples": len(lengths), "sampled_tokens": sum(lengths)}
    steps.run(grpo_trainer(folder, settings, plan, pay, steps))


def sft(turns: Turns, *, folder: str, settings: dict[str, Any], lesson: dict[str, Any]) -> None:
    """`SFTTrainer` steps on examples tokenised before the race."""
    plan, steps = Lesson(**lesson), Steps(turns)
    steps.facts = lambda: {"samples": plan.prompts}
    steps.run(sft_trainer(folder, settings, plan, steps))


def rate(turns: Turns, *, kind: str, folder: str, lesson: dict[str, Any]) -> None:
    """The fastest step of a lesson in the `settings` of each command, the first left out where there are more.

    `prompts` in a command makes the lesson shorter: a warm-up.
    """

    def step(number: int, command: Facts) -> Facts:
        plan = Lesson(**{**lesson, **({"prompts": command["prompts"]} if "prompts" in command else {})})
        clock = Clock()
        try:
            if kind == "grpo":
                trainer = grpo_trainer(folder, command["settings"], plan, digit_pay, clock)
            else:
                trainer = sft_trainer(folder, command["settings"], plan, clock)
            trainer.train()
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            gc.collect()
        return {"seconds": min(clock.seconds[1:] or clock.seconds), "samples": plan.prompts * plan.samples}

    turns.each(step)


def generate(turns: Turns, *, folder: str, prompts: list[str], samples: int) -> None:
    """`model.generate` of exactly as many `tokens` as a command says, for all `rows` or some, in its `settings`."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # not every version writes it into the folder
    load = functools.lru_cache(maxsize=1)(lambda mode, attention: model_of(folder, mode, attention).eval())
    chats = [
        tokenizer.apply_chat_template([{"role": "user", "content": p}], add_generation_prompt=True, tokenize=False)
        for p in prompts
        for _ in range(samples)
    ]

    def step(number: int, command: Facts) -> Facts:
        settings, rows, tokens = command["settings"], chats[: command.get("rows", len(chats))], command["tokens"]
        model = load(settings["mode"], settings["attention"]).to(DEVICE)
        # Without an end-of-sequence id every row runs to the last token, and no filter has to look for it.
        wanted = model.generation_config = GenerationConfig(
            max_new_tokens=tokens, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, eos_token_id=None,
            bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id, use_cache=True,
            cache_implementation=settings["cache"],
        )  # fmt: skip
        lengths, began = set(), time.perf_counter()
        for at in range(0, len(rows), settings["batch"]):
            part = rows[at : at + settings["batch"]]
            encoded = tokenizer(part, return_tensors="pt", padding=True, add_special_tokens=False).to(DEVICE)
            with torch.inference_mode():
                made = model.generate(**encoded, generation_config=wanted)
            lengths.add(made.shape[1] - encoded["input_ids"].shape[1])
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "tokens": tokens * len(rows), "lengths": sorted(lengths)}

    turns.each(step)


def digit_pay(completions: Any, place: list[int], **_: Any) -> list[float]:
    """The reward function in the form that TRL calls."""
    return rewards([c[0]["content"] for c in completions], place, "dense")


def model_of(folder: str, mode: str, attention: str) -> Any:
    """The model in the number type of `mode`."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[mode], attn_implementation=attention)


def grpo_trainer(
    folder: str,
    settings: dict[str, Any],
    plan: Lesson,
    pay: Callable[..., list[float]],
    callback: TrainerCallback,
    **more: Any,
) -> GRPOTrainer:
    """A trainer for `plan`: the paper's loss without KL term, one update for each batch of rollouts."""
    rows = plan.prompts * plan.samples
    batch = min(settings["batch"], rows)
    arguments = GRPOConfig(
        **common(settings, plan.lr, batch, rows),
        steps_per_generation=rows // batch, num_generations=plan.samples, max_completion_length=plan.max_tokens,
        max_steps=plan.steps, temperature=TEMPERATURE, top_k=0, top_p=1.0, loss_type="grpo", beta=0.0,
        num_iterations=1, scale_rewards="group", epsilon=0.2, disable_dropout=False, shuffle_dataset=False,
        cache_implementation=settings.get("cache"), **more,
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": turns_of(p), "place": i % plan.prompts} for i, p in enumerate(plan.problems)])
    return GRPOTrainer(
        model=model_of(folder, settings["mode"], settings["attention"]), reward_funcs=pay, args=arguments,
        train_dataset=data, processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
        callbacks=[callback],
    )  # fmt: skip


def sft_trainer(
    folder: str, settings: dict[str, Any], plan: Lesson, callback: TrainerCallback, **more: Any
) -> SFTTrainer:
    """A trainer on prompts and written solutions, of which the solutions are trained."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = min(settings["batch"], plan.prompts)
    arguments = SFTConfig(
        **common(settings, plan.lr, batch, plan.prompts),
        max_steps=plan.steps, max_length=None, packing=False, shuffle_dataset=False,
        dataset_kwargs={"skip_prepare_dataset": True}, **more,
    )  # fmt: skip
    rows = []
    for problem in plan.problems:
        read = tokenizer.apply_chat_template(
            turns_of(problem), add_generation_prompt=True, tokenize=True, return_dict=False
        )
        said = [*tokenizer.encode(str(problem.solution), add_special_tokens=False), tokenizer.eos_token_id]
        rows.append({"input_ids": [*read, *said], "labels": [-100] * len(read) + said})
    return SFTTrainer(
        model=model_of(folder, settings["mode"], settings["attention"]), args=arguments,
        train_dataset=Dataset.from_list(rows), processing_class=tokenizer, callbacks=[callback],
    )  # fmt: skip


def common(settings: dict[str, Any], lr: float, batch: int, rows: int) -> dict[str, Any]:
    """What both trainers are told: the shared optimiser, and nothing that costs time."""
    return {
        "output_dir": tempfile.mkdtemp(prefix="trl-"), "use_cpu": DEVICE == "cpu",
        "bf16": settings["mode"] == "bf16 autocast",
        "per_device_train_batch_size": batch, "gradient_accumulation_steps": rows // batch,
        "gradient_checkpointing": False, "learning_rate": lr, "lr_scheduler_type": "constant", "warmup_steps": 0,
        "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": BETA2, "adam_epsilon": 1e-8, "max_grad_norm": GRAD_CLIP,
        "optim": "adamw_torch_fused", "logging_strategy": "no", "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "dataloader_pin_memory": False, "seed": 0,
    }  # fmt: skip


class Steps(TrainerCallback):  # type: ignore[misc]
    """Stops a running trainer between its steps until it is its turn, and times each step.

    The clock runs from the command to the end of the optimiser step, so loading the next batch counts.
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.facts: Callable[[], Facts] = dict
        self.began = 0.0

    def run(self, trainer: Any) -> None:
        """Train, one step for each command."""
        if self._wait():
            trainer.train()

    def _wait(self) -> bool:
        command = self.turns.next()
        self.began = time.perf_counter()
        return command is not None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        # The trainer zeroes gradients only after this call.
        self.turns.done(seconds=time.perf_counter() - self.began, **self.facts())
        if not self._wait():
            control.should_training_stop = True
        return control


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds of each step of a trainer that runs freely."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = 0.0

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)


class Gradients(TrainerCallback):  # type: ignore[misc]
    """Keeps a copy of the accumulated gradient as the optimiser first sees it."""

    def __init__(self) -> None:
        self.by_name: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        if not self.by_name:
            self.by_name = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def first_gradient(trainer: Any, gradients: Gradients) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and gradient of the first step of a trainer made with `gradients` as its callback."""
    return float(trainer.train().training_loss), gradients.by_name


def given(completions: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]) -> Callable[..., Any]:
    """A stand-in for a GRPO trainer's generation that returns `completions`.

    Raises ValueError when the trainer's own prompt ids are not `prompts`: the two sides would read different texts.
    """

    def generate_single_turn(prompt_ids: Any, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        if [list(p) for p in prompt_ids] != [list(p) for p in prompts]:
            raise ValueError("the trainer's prompts differ from ours, token by token")
        return [list(c) for c in completions], None

    return generate_single_turn
