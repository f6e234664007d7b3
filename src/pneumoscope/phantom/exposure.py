"""From attenuation to a radiograph: beam, scatter, noise, exposure control, response curve."""

from __future__ import annotations

import numpy as np

from pneumoscope.phantom.anatomy import View
from pneumoscope.phantom.fields import Field, Frame, Mask, enlarge, ramp, smooth

SCATTER_REACH = 0.07
DARKEST, BRIGHTEST = 0.03, 0.97


def expose(rng: np.random.Generator, attenuation: Field, view: View) -> Field:
    """Send the beam through: log exposure, with scatter, quantum noise and the detector's blur.

    Beer-Lambert: the transmitted share is exp(-attenuation); scatter arises in tissue,
    spreads wide and is added; the photons that arrive are counted with Poisson noise (in its
    Gaussian limit).
    """
    height = attenuation.shape[0]
    transmitted = np.exp(-view.contrast * attenuation)
    if view.blur * height > 0.2:
        transmitted = smooth(transmitted, view.blur * height)
    scattered = transmitted * np.minimum(attenuation, 4)
    transmitted += 0.35 * view.scatter * _spread(scattered, SCATTER_REACH * height)
    counts = view.photons * transmitted
    noise = rng.standard_normal(counts.shape, dtype=np.float32)
    counts += np.sqrt(counts) * noise
    log_exposure: Field = -np.log(np.maximum(counts, 1) / view.photons)
    return log_exposure


def develop(exposure: Field, body: Mask, view: View) -> Field:
    """Map log exposure to gray levels in [0, 1], bright where little arrived.

    The exposure control sees the body only: its 4th and 97th percentile span the `window`, and a
    gamma brings its mean to the view's brightness, so that an opacity brightens its surroundings
    but not the radiograph.
    """
    low, high = np.percentile(exposure[body][::7], (4, 97)).tolist()
    z = (exposure - low) / max(high - low, 0.1)
    z = (z - 0.5) * view.window + 0.5
    # A radiograph's response: nearly straight in the middle, with a toe and a shoulder.
    gray = 1 / (1 + np.exp(-4.7 * (z - 0.5)))
    return _with_mean(gray, body, view.brightness)


def collimate(frame: Frame, gray: Field, view: View) -> Field:
    """Blacken the border that the collimator shielded, with its slight penumbra."""
    left, top, right, bottom = view.margins
    if not any(view.margins):
        return gray
    rows = np.arange(frame.height, dtype=np.float32)[:, None] / frame.height
    columns = np.arange(frame.width, dtype=np.float32)[None, :] / frame.height
    inside = np.minimum(rows - top, 1 - bottom - rows)
    across = np.minimum(columns - left, (frame.width / frame.height - right) - columns)
    return gray * ramp(np.minimum(inside, across), 0.006)


def _with_mean(gray: Field, body: Mask, target: float) -> Field:
    """Raise to the power that gives the body's mean `target` (bisection on a sample)."""
    sample = np.log(np.clip(gray[body][::13], 1e-3, 1))
    low, high = 0.3, 4.0
    for _ in range(12):
        gamma = 0.5 * (low + high)
        if float(np.exp(gamma * sample).mean()) > target:
            low = gamma
        else:
            high = gamma
    corrected: Field = np.clip(gray, 1e-3, 1) ** (0.5 * (low + high))
    return np.clip(corrected, DARKEST, BRIGHTEST, out=corrected)


def _spread(field: Field, sigma: float) -> Field:
    """Wide blur, computed on every fourth pixel."""
    height, width = field.shape
    return enlarge(smooth(field[::4, ::4], sigma / 4), height, width, 4)
