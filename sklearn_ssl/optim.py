"""The optimizer of transformers."""

import torch


def adamw(params, lr, weight_decay=0.05, fused=False):
    """AdamW with the betas of MAE and GPT: a shorter memory of squared gradients than torch's own.

    Parameters
    ----------
    params, lr, weight_decay, fused
        As in :class:`torch.optim.AdamW`.
    """
    return torch.optim.AdamW(
        params, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.95), fused=fused
    )
