"""Write labelled recordings of digits for `hal compare`: those that no training saw, by the event camera.

    python examples/digit_samples.py --out examples/data/digits_cnn.npz [--n 20]

Needs scikit-learn. Events as the camera gives them, x, y, t (us), p, of all samples one after the other; `splits` says
where each begins, `labels` what it shows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import event_camera
import numpy as np


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Write labelled recordings of digits.")
    parser.add_argument("--out", type=Path, required=True, help=".npz to write")
    parser.add_argument("--n", type=int, default=20, help="how many")
    asked = parser.parse_args()
    recordings, labels = zip(*event_camera.held_out(asked.n), strict=True)
    events = np.concatenate(recordings)
    np.savez_compressed(
        asked.out,
        t=events["t"].astype(np.uint32),
        x=events["x"].astype(np.uint8),
        y=events["y"].astype(np.uint8),
        p=events["p"].astype(np.uint8),
        splits=np.concatenate([[0], np.cumsum([len(recording) for recording in recordings])]),
        labels=np.array(labels, np.uint8),
        duration_ns=np.int64(event_camera.Camera().duration_us * 1000),
    )


if __name__ == "__main__":
    main()
