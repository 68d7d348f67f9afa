"""Cross-entropy over a vocabulary, without ever holding the logits of all tokens in memory."""

import torch
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

HEAD_ROWS_AT_ONCE = 256
LOGITS_AT_ONCE = 2**20  # 4 MB: they stay in the cache, and the memory is reused
FEWEST_ROWS = 128  # the gradient of all weights is added up as often


def linear_cross_entropy(h, weight, target, bias=None, share=None):
    """Return the mean cross-entropy of a linear layer over a vocabulary.

    Equal to ``cross_entropy(h @ weight.T + bias, target)``, or to the same with probabilities if a
    state has several targets. Logits are computed for a few tokens at
    a time and turned into gradients at once: with thousands of words in the vocabulary, they would
    take most of the memory of a language model, and moving them half of its training time. Under
    autocast, the matrix products use its dtype, and the rest is in float32.

    Parameters
    ----------
    h : torch.Tensor of shape (n, width)
        States of tokens.
    weight : torch.Tensor of shape (vocabulary_size, width)
    target : torch.Tensor of shape (n,) or (n, k) of int64
    bias : torch.Tensor of shape (vocabulary_size,) or None
    share : torch.Tensor of shape (n, k) or None
        The weight of each target, if there are k of them for a state; they usually sum to 1.

    Returns
    -------
    loss : torch.Tensor
        A scalar, in nats per state; 0 if there are none.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.vocabulary_loss import linear_cross_entropy
    >>> h, weight = torch.zeros(3, 8), torch.zeros(100, 8)
    >>> linear_cross_entropy(h, weight, torch.tensor([5, 7, 9]))  # ln 100
    tensor(4.6052)
    """
    device_type = h.device.type
    dtype = torch.promote_types(h.dtype, weight.dtype)
    if torch.is_autocast_enabled(device_type) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device_type)
    trained = any(x is not None and x.requires_grad for x in (h, weight, bias))
    wanted = torch.is_grad_enabled() and trained
    if share is None:
        target = target[:, None]
        share = torch.ones_like(target, dtype=h.dtype)
    return _LinearCrossEntropy.apply(h, weight, bias, target, share, dtype, wanted)


def head_cross_entropy(head, h, target):
    """Return the mean cross-entropy of any head over a vocabulary.

    Equal to ``cross_entropy(head(h), target)``, and uses as little memory as
    :func:`linear_cross_entropy`: logits are computed for a few tokens at a time, and again for
    their gradients.

    Parameters
    ----------
    head : callable
        Maps states of shape (n, width) to logits of shape (n, vocabulary_size).
    h : torch.Tensor of shape (n, width)
        States of tokens.
    target : torch.Tensor of shape (n,) of int64

    Returns
    -------
    loss : torch.Tensor
        A scalar, in nats per token; 0 if there are none.
    """

    def total(h, target):
        return torch.nn.functional.cross_entropy(head(h).float(), target, reduction="sum")

    n_rows = HEAD_ROWS_AT_ONCE
    parts = zip(h.split(n_rows), target.split(n_rows))
    return sum(checkpoint(total, *part, use_reentrant=False) for part in parts) / max(len(h), 1)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, weight, bias, target, share, dtype, wanted):
        exact = torch.promote_types(dtype, torch.float32)
        with torch.autocast(h.device.type, enabled=False):
            h_, weight_ = h.to(dtype), weight.to(dtype)
            bias_ = None if bias is None else bias.to(dtype)
            loss = torch.zeros((), dtype=exact, device=h.device)
            d_h = torch.empty_like(h_)
            d_weight = torch.zeros_like(weight, dtype=exact)
            d_bias = None if bias is None else torch.zeros_like(bias, dtype=exact)
            n_rows = max(LOGITS_AT_ONCE // len(weight), FEWEST_ROWS)
            for start in range(0, len(h), n_rows):
                rows = slice(start, start + n_rows)
                chunk, answer, part = h_[rows], target[rows], share[rows].to(exact)
                logits = torch.nn.functional.linear(chunk, weight_, bias_)
                log_p = torch.log_softmax(logits, dim=1, dtype=exact)
                loss -= (log_p.gather(1, answer) * part).sum()
                if wanted:  # d loss / d logits = p * (sum of the shares) - share at the answers
                    p = log_p.exp_().mul_(part.sum(dim=1, keepdim=True))
                    p.scatter_add_(1, answer, -part)
                    if bias is not None:
                        d_bias += p.sum(dim=0)
                    p = p.to(dtype)
                    d_h[rows] = p @ weight_
                    d_weight += p.T @ chunk
        n = max(len(h), 1)
        if wanted:
            d_bias = None if bias is None else (d_bias / n).to(bias.dtype)
            ctx.save_for_backward((d_h / n).to(h.dtype), (d_weight / n).to(weight.dtype), d_bias)
        return loss / n

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss):
        d_h, d_weight, d_bias = ctx.saved_tensors
        d_bias = None if d_bias is None else d_loss * d_bias
        return d_loss * d_h, d_loss * d_weight, d_bias, None, None, None, None
