"""A public SCARF, that of TabularS3L (``pip install --no-deps ts3l``), trained as its README does.

Its loss has the 2n - 1 candidates of NT-Xent in place of the n of the paper; the rest is the
paper's. It needs pytorch-lightning and torchmetrics, which lightly brings too.
"""

import pandas as pd
import torch
from ts3l.pl_modules import SCARFLightning
from ts3l.utils.backbone_utils import MLPBackboneConfig
from ts3l.utils.embedding_utils import IdentityEmbeddingConfig
from ts3l.utils.scarf_utils import SCARFConfig, SCARFDataset

from benchmarks.speed.timing import loader, plain_epoch

WIDTH, DEPTH, HEAD_DEPTH = 256, 4, 2  # ours


def public_scarf_epoch(estimator, X):
    """Return a function that trains the public SCARF for an epoch, as an estimator would train.

    Rate, temperature, batch size and AdamW's settings are the estimator's, widths and depths those
    of our default network. Data set, collation, corruption, network and loss are the package's. The
    loop is a plain one, which spares it the overhead of its Trainer; so are the rows scaled before.
    """
    config = SCARFConfig(
        task="classification",
        loss_fn="CrossEntropyLoss",
        embedding_config=IdentityEmbeddingConfig(input_dim=X.shape[1]),
        backbone_config=MLPBackboneConfig(
            input_dim=X.shape[1], hidden_dims=WIDTH, n_hiddens=DEPTH, dropout_rate=0.0
        ),
        pretraining_head_dim=WIDTH,
        head_depth=HEAD_DEPTH,
        dropout_rate=0.0,
        output_dim=2,
        tau=estimator.temperature,
        corruption_rate=estimator.corruption_rate,
    )
    module = SCARFLightning(config).train()
    frame = pd.DataFrame((X - X.mean(axis=0)) / X.std(axis=0).clip(1e-9))
    rows = SCARFDataset(frame, config=config, continuous_cols=list(frame.columns), category_cols=[])
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=estimator._largest_lr(), weight_decay=estimator.weight_decay
    )
    batches = loader(rows, estimator.batch_size)
    return plain_epoch(module._get_first_phase_loss, batches, optimizer)
