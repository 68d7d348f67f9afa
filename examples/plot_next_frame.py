"""
What comes next: moving digits and waves
========================================

:class:`~sklearn_ssl.NextFrameEmbedder` learns by predicting the next frames of a series or a video
from the earlier ones. Its states are a representation, and it can also continue its input. Here it
continues clips of handwritten digits that move across a canvas and bounce off its borders, and
waves.
"""

# %%
# A thousand clips of ten frames to learn from, and two hundred others for testing. The last four
# frames of these are hidden: NaN means not observed.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ssl import NextFrameEmbedder
from sklearn_ssl.datasets import make_moving_digits

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds
N_STEPS = 4

n_train = 40 if QUICK else 1000
clips, _ = make_moving_digits(n_train + 200, n_frames=10, side=16, random_state=0)
train, test = clips[:n_train], clips[n_train:].astype(np.float32)
past = test.copy()
past[:, -N_STEPS:] = np.nan
future = test[:, -N_STEPS:]

# %%
# Compare the predictions with the guess that nothing moves, which repeats the last frame.
ssl = NextFrameEmbedder(max_epochs=1 if QUICK else 8, random_state=0).fit(train)
predicted = ssl.predict_next(past, N_STEPS)
last = np.repeat(test[:, [-N_STEPS - 1]], N_STEPS, axis=1)


def error(frames):
    """Return the mean squared error of each step, black 0 and white 1."""
    return np.square((frames - future) / 255).mean(axis=(0, 2, 3)).round(3)


print(f"{'step':20}{np.arange(1, N_STEPS + 1)}")
print(f"{'nothing moves':20}{error(last)}")
print(f"{'predicted':20}{error(predicted)}")

# %%
# Three clips. The first two columns are observed frames. After them, the upper row shows the true
# continuation, and the lower row the prediction.
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure, axes = plt.subplots(6, 2 + N_STEPS, figsize=(8, 8), layout="constrained")
for k in range(3):
    seen = test[k, -N_STEPS - 2 : -N_STEPS]
    rows = {"true": [*seen, *future[k]], "predicted": [*seen, *predicted[k]]}
    for i, (name, frames) in enumerate(rows.items()):
        for j, frame in enumerate(frames):
            axis = axes[2 * k + i, j]
            axis.imshow(frame, cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            if 2 * k + i == 0:
                axis.set_title("seen" if j < 2 else f"step {j - 1}")
        axes[2 * k + i, 0].set_ylabel(name)
figure.savefig(output / "next_frames.png", dpi=100)

# %%
# A series works the same way, with fewer numbers per frame. Here: noisy waves of two frequencies
# each, whose last third is to be predicted.
rng = np.random.default_rng(0)
n_waves = 300 if QUICK else 2000
time = np.arange(60)
waves = np.zeros((n_waves, 60))
for shortest, longest in ((8, 12), (18, 30)):
    period, phase = rng.uniform(shortest, longest, (n_waves, 1)), rng.uniform(0, 7, (n_waves, 1))
    waves += np.sin(2 * np.pi * time / period + phase)
waves += rng.normal(scale=0.1, size=waves.shape)

seen = 40
ssl = NextFrameEmbedder(max_epochs=1 if QUICK else 15, random_state=0).fit(waves[200:])
test = waves[:200].copy()
test[:, seen:] = np.nan
forecast = ssl.predict_next(test, 60 - seen)
truth = waves[:200, seen:]
for name, guess in (
    ("the mean", 0),
    ("the last value", test[:, [seen - 1]]),
    ("forecast", forecast),
):
    print(f"{name:15} mean squared error of 20 steps: {np.square(guess - truth).mean():.3f}")

# %%
# Three of the forecasts.
figure, axes = plt.subplots(3, 1, figsize=(8, 5), sharex=True, layout="constrained")
for k, axis in enumerate(axes):
    axis.plot(time, waves[k], color="0.7", label="true")
    axis.plot(time[seen:], forecast[k], color="tab:red", label="forecast")
    axis.axvline(seen - 0.5, color="0.5", linewidth=0.8)
axes[0].legend(loc="upper left")
axes[-1].set_xlabel("step")
figure.savefig(output / "forecast.png", dpi=100)
