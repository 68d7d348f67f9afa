"""The encoder of texts: against transformers' GPT-2 and BERT, what a token sees, and its parts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sklearn_ssl.encoders import TextEncoder
from sklearn_ssl.encoders.text import POOLINGS, pool, turned
from sklearn_ssl.masking import corrupt_tokens
from sklearn_ssl.methods.causal_lm import CausalLMTask
from sklearn_ssl.methods.masked_lm import MaskedLMTask

N_TOKENS, LONGEST, WIDTH, DEPTH, N_HEADS = 50, 12, 32, 3, 4
GPT = {"causal": True, "norm_first": True}
BERT = {"causal": False, "norm_first": False}
every_kind = pytest.mark.parametrize("kind", [GPT, BERT, {**GPT, "causal": False}])
every_position = pytest.mark.parametrize("positions", ["rotary", "learned"])


def scaled_up(module):
    """Return a module whose weights are far from their start, in float64.

    At the start all states are near those of the embeddings alone: a wrong attention would hardly
    be seen.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 2:
                parameter.copy_(1.5 * parameter.shape[1] ** -0.5 * noise)
            else:
                parameter += 0.4 * noise
    return module.double()


def encoder_of(**params):
    params = {"width": WIDTH, "depth": DEPTH, "n_heads": N_HEADS, **params}
    return scaled_up(TextEncoder(N_TOKENS, LONGEST, **params)).eval()


def rows(*lengths, seed=0):
    """Return rows of ids of these lengths, filled up with -1."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((len(lengths), max(lengths)), -1)
    for row, length in zip(ids, lengths):
        row[:length] = torch.randint(1, N_TOKENS, (length,), generator=generator)
    return ids


def for_transformers(ids):
    return {"input_ids": ids.clamp(min=0), "attention_mask": (ids >= 0).long()}


def copy_norm_or_linear(theirs, ours):
    theirs.weight.copy_(ours.weight)
    theirs.bias.copy_(ours.bias)


# Against transformers ---------------------------------------------------------------------------


@torch.no_grad()
def gpt2_of(encoder):
    """Return transformers' GPT-2 with the weights of an encoder."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=N_TOKENS,
            n_positions=LONGEST,
            n_embd=WIDTH,
            n_layer=DEPTH,
            n_head=N_HEADS,
            activation_function="gelu",
            layer_norm_epsilon=1e-5,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).double()
    body = model.transformer
    body.wte.weight.copy_(encoder.embedding.weight)
    body.wpe.weight.copy_(encoder.positions.weight)
    copy_norm_or_linear(body.ln_f, encoder.last_norm)
    for layer, block in zip(body.h, encoder.blocks, strict=True):
        copy_norm_or_linear(layer.ln_1, block.norm1)
        copy_norm_or_linear(layer.ln_2, block.norm2)
        for theirs, ours in (
            (layer.attn.c_attn, block.attention.qkv),
            (layer.attn.c_proj, block.attention.projection),
            (layer.mlp.c_fc, block.mlp[0]),
            (layer.mlp.c_proj, block.mlp[2]),
        ):
            theirs.weight.copy_(ours.weight.T)  # a Conv1D
            theirs.bias.copy_(ours.bias)
    return model.eval()


@pytest.mark.parametrize("lengths", [(12, 12, 12), (12, 1, 5, 9), (1, 2)])
def test_states_loss_and_gradients_are_those_of_gpt2(lengths):
    encoder = encoder_of(positions="learned", **GPT)
    task, model = CausalLMTask(encoder), gpt2_of(encoder)
    ids = rows(*lengths)
    real = ids >= 0

    theirs = model(**for_transformers(ids), labels=torch.where(real, ids, -100))
    logits = encoder.states(ids) @ encoder.embedding.weight.T
    assert logits[real].std() > 1  # far from those of the start
    torch.testing.assert_close(logits[real], theirs.logits[real], atol=1e-8, rtol=1e-8)

    loss = task(ids)
    # Theirs is computed in float32.
    torch.testing.assert_close(loss, theirs.loss.double(), atol=1e-5, rtol=1e-5)
    loss.backward()
    theirs.loss.backward()
    for ours, their in [
        (encoder.embedding.weight, model.transformer.wte.weight),
        (encoder.positions.weight, model.transformer.wpe.weight),
        (encoder.blocks[0].norm1.weight, model.transformer.h[0].ln_1.weight),
        (encoder.blocks[0].attention.qkv.weight.T, model.transformer.h[0].attn.c_attn.weight),
    ]:
        gradient = ours.grad if ours.is_leaf else encoder.blocks[0].attention.qkv.weight.grad.T
        torch.testing.assert_close(gradient, their.grad, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def bert_of(task):
    """Return transformers' BERT with the weights of a task."""
    encoder = task.encoder
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=N_TOKENS,
            max_position_embeddings=LONGEST,
            hidden_size=WIDTH,
            num_hidden_layers=DEPTH,
            num_attention_heads=N_HEADS,
            intermediate_size=4 * WIDTH,
            hidden_act="gelu",
            layer_norm_eps=1e-5,
            pad_token_id=None,  # its embedding would have no gradient
        )
    ).double()
    embeddings, predictions = model.bert.embeddings, model.cls.predictions
    embeddings.word_embeddings.weight.copy_(encoder.embedding.weight)
    # A text is of type 0: what they add for it, we have in the positions.
    nn.init.normal_(embeddings.token_type_embeddings.weight)
    of_type = embeddings.token_type_embeddings.weight[0]
    embeddings.position_embeddings.weight.copy_(encoder.positions.weight - of_type)
    copy_norm_or_linear(embeddings.LayerNorm, encoder.first_norm)
    for layer, block in zip(model.bert.encoder.layer, encoder.blocks, strict=True):
        attention, qkv = layer.attention.self, block.attention.qkv
        parts = zip(qkv.weight.chunk(3), qkv.bias.chunk(3))
        for part, (weight, bias) in zip((attention.query, attention.key, attention.value), parts):
            part.weight.copy_(weight)
            part.bias.copy_(bias)
        for theirs, ours in (
            (layer.attention.output.dense, block.attention.projection),
            (layer.attention.output.LayerNorm, block.norm1),
            (layer.intermediate.dense, block.mlp[0]),
            (layer.output.dense, block.mlp[2]),
            (layer.output.LayerNorm, block.norm2),
        ):
            copy_norm_or_linear(theirs, ours)
    copy_norm_or_linear(predictions.transform.dense, task.head[0])
    copy_norm_or_linear(predictions.transform.LayerNorm, task.head[2])
    predictions.decoder.bias.copy_(task.bias)
    assert predictions.decoder.weight is embeddings.word_embeddings.weight
    return model.eval()


@pytest.mark.parametrize("lengths", [(12, 12, 12), (12, 3, 5, 9), (3, 4)])
def test_states_loss_and_gradients_are_those_of_bert(lengths):
    words = {"mask": 1, "special": (0, 1, 2), "vocabulary_size": N_TOKENS}
    encoder = TextEncoder(
        N_TOKENS, LONGEST, width=WIDTH, depth=DEPTH, n_heads=N_HEADS, positions="learned", **BERT
    )
    frequency = torch.rand(N_TOKENS)
    task = scaled_up(MaskedLMTask(encoder, 0.3, frequency, **words)).eval()
    model = bert_of(task)
    ids = rows(*lengths).clamp(max=N_TOKENS - 1)
    ids[:, 1:3] = torch.tensor([7, 9])  # at least two ordinary tokens
    real = ids >= 0
    corrupted, chosen = corrupt_tokens(ids, 0.3, torch.Generator().manual_seed(5), **words)

    labels = torch.where(chosen, ids, -100)
    theirs = model(**for_transformers(corrupted), labels=labels)
    states = model.bert(**for_transformers(corrupted)).last_hidden_state
    ours = encoder.states(corrupted)
    torch.testing.assert_close(ours[real], states[real], atol=1e-8, rtol=1e-8)
    logits = task.logits(corrupted, chosen)
    assert logits.std() > 1
    torch.testing.assert_close(logits, theirs.logits[chosen], atol=1e-8, rtol=1e-8)

    task.generator = torch.Generator().manual_seed(5)
    loss = task(ids)
    torch.testing.assert_close(loss, theirs.loss, atol=1e-5, rtol=1e-5)
    loss.backward()
    theirs.loss.backward()
    embeddings, predictions = model.bert.embeddings, model.cls.predictions
    for mine, their in [
        (encoder.embedding.weight, embeddings.word_embeddings.weight),
        (encoder.positions.weight, embeddings.position_embeddings.weight),
        (encoder.first_norm.weight, embeddings.LayerNorm.weight),
        (task.head[0].weight, predictions.transform.dense.weight),
        (task.bias, predictions.decoder.bias),
    ]:
        torch.testing.assert_close(mine.grad, their.grad, atol=1e-6, rtol=1e-4)


def test_rotary_positions_are_those_of_llama():
    encoder = TextEncoder(5, 20, width=24, n_heads=3)
    q, k = torch.randn(2, 2, 3, 20, 8, generator=torch.Generator().manual_seed(0))
    frequencies = 1 / 10_000 ** (torch.arange(0, 8, 2) / 8)
    angles = torch.outer(torch.arange(20), frequencies)
    angles = torch.cat([angles, angles], dim=1)[None]
    theirs = apply_rotary_pos_emb(q, k, angles.cos(), angles.sin())
    for ours, their in zip((q, k), theirs, strict=True):
        torch.testing.assert_close(turned(ours, encoder.turns), their)


# What a token sees ------------------------------------------------------------------------------


def gradients_of_states(encoder, ids):
    """Return how strongly each state depends on each embedding: ``(length, n, length)``."""
    kept = []
    handle = encoder.embedding.register_forward_hook(lambda m, a, output: kept.append(output))
    states = encoder.states(ids)
    handle.remove()
    return torch.stack(
        [
            torch.autograd.grad(states[:, t].pow(3).sum(), kept[0], retain_graph=True)[0]
            for t in range(ids.shape[1])
        ]
    ).norm(dim=3)


@every_position
@every_kind
def test_a_causal_token_sees_what_is_before_it_and_any_other_sees_all(kind, positions):
    encoder = encoder_of(positions=positions, **kind)
    seen = gradients_of_states(encoder, rows(8, 8))
    backwards = torch.ones(8, 8, dtype=torch.bool).tril()[:, None].expand(8, 2, 8)
    assert (seen[backwards] > 1e-3).all()
    if kind["causal"]:
        assert (seen[~backwards] == 0).all()
    else:
        assert (seen[~backwards] > 1e-3).all()


@every_kind
def test_what_fills_up_a_row_is_seen_by_no_token(kind):
    ids = rows(8, 5)
    seen = gradients_of_states(encoder_of(**kind), ids)
    assert (seen[:5, 1, 5:] == 0).all()
    assert (seen[:, 0, 5:] != 0).any()


@pytest.mark.parametrize("causal", [True, False])
def test_rotary_attention_depends_on_relative_places_only(causal):
    encoder = encoder_of(causal=causal)
    ids = rows(6, 6, 4)
    states = encoder.states(ids)
    encoder.turns = encoder.turns[5:]
    torch.testing.assert_close(encoder.states(ids), states, atol=1e-4, rtol=1e-4)
    encoder.turns = encoder.turns[torch.tensor([0, 2, 1, 3, 4, 5])]
    assert (encoder.states(ids) - states).abs().max() > 0.1


@every_position
@every_kind
def test_the_order_of_tokens_counts(kind, positions):
    encoder = encoder_of(positions=positions, **kind)
    ids = rows(6)
    swapped = ids[:, [0, 2, 1, 3, 4, 5]]
    assert (encoder(ids) - encoder(swapped)).abs().max() > 0.05


@pytest.mark.parametrize("pooling", POOLINGS)
@every_position
@every_kind
def test_padding_and_neighbors_change_nothing(kind, positions, pooling):
    encoder = encoder_of(positions=positions, pooling=pooling, **kind)
    ids = rows(4, 12, 1, 7)
    together = encoder(ids)
    for row, length in enumerate((4, 12, 1, 7)):
        alone = encoder(ids[row : row + 1, :length])[0]
        torch.testing.assert_close(together[row], alone, atol=1e-10, rtol=1e-10)
    others = rows(9, 12, 3, 2, seed=1)
    others[0, :4], others[0, 4:] = ids[0, :4], -1
    torch.testing.assert_close(encoder(others)[0], together[0], atol=1e-10, rtol=1e-10)


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), causal=st.booleans())
def test_batches_of_any_lengths(lengths, causal):
    encoder = encoder_of(causal=causal, depth=1, pooling="last")
    ids = rows(*lengths)
    alone = torch.cat([encoder(row[None, :length]) for row, length in zip(ids, lengths)])
    torch.testing.assert_close(encoder(ids), alone, atol=1e-10, rtol=1e-10)


@every_position
@pytest.mark.parametrize("n_first", [1, 5, 11])
def test_states_with_a_cache_are_those_of_all_tokens_at_once(n_first, positions):
    encoder = encoder_of(positions=positions, **GPT)
    ids = rows(12, 12, 12)
    cache = encoder.new_cache()
    assert cache.length == 0
    parts = [encoder.states(ids[:, :n_first], cache)]
    for t in range(n_first, 12):
        assert cache.length == t
        parts.append(encoder.states(ids[:, t : t + 1], cache))
    assert cache.length == 12
    torch.testing.assert_close(torch.cat(parts, dim=1), encoder.states(ids))


@pytest.mark.parametrize("lengths", [(12, 12), (12, 5, 1)])
@every_kind
def test_in_bfloat16_states_are_about_those_in_float32(kind, lengths):
    encoder = TextEncoder(N_TOKENS, LONGEST, width=WIDTH, depth=DEPTH, n_heads=N_HEADS, **kind)
    encoder = scaled_up(encoder).float()
    ids = rows(*lengths)
    real = ids >= 0
    exact = encoder.states(ids)[real]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder.states(ids)[real]
    assert rounded.isfinite().all()
    error = (rounded - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.05


# The parts --------------------------------------------------------------------------------------


def test_poolings_are_the_mean_the_last_and_the_first_state():
    states = torch.arange(24.0).view(2, 4, 3)
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, -1, -1]])
    expected = {
        "mean": [states[0].mean(dim=0), states[1, :2].mean(dim=0)],
        "last": [states[0, 3], states[1, 1]],
        "cls": [states[0, 0], states[1, 0]],
    }
    assert set(expected) == set(POOLINGS)
    for pooling, rows_ in expected.items():
        torch.testing.assert_close(pool(states, ids, pooling), torch.stack(rows_))


@every_kind
def test_representations_are_pooled_states(kind):
    ids = rows(12, 5, 1)
    representations = {}
    for pooling in POOLINGS:
        encoder = encoder_of(pooling=pooling, **kind)
        representations[pooling] = encoder(ids)
        assert representations[pooling].shape == (3, encoder.output_dim) == (3, WIDTH)
        torch.testing.assert_close(encoder(ids), pool(encoder.states(ids), ids, pooling))
    assert not torch.allclose(representations["mean"][:2], representations["last"][:2])
    assert not torch.allclose(representations["cls"][:2], representations["last"][:2])
    torch.testing.assert_close(representations["mean"][2], representations["cls"][2])


@every_kind
def test_dropout_is_active_in_training_only(kind):
    params = {"width": WIDTH, "depth": 2, "n_heads": N_HEADS, **kind}
    encoder = TextEncoder(N_TOKENS, LONGEST, dropout=0.3, **params)
    without = TextEncoder(N_TOKENS, LONGEST, **params)
    without.load_state_dict(encoder.state_dict())
    ids = rows(12, 5)
    expected = without(ids)
    encoder.eval()
    torch.testing.assert_close(encoder(ids), expected)
    encoder.train()
    a, b = encoder(ids), encoder(ids)
    assert not torch.allclose(a, b)
    assert not torch.allclose(a, expected)
    torch.testing.assert_close(without.train()(ids), expected)


@pytest.mark.parametrize("part", ["embedding", "attention", "mlp"])
@pytest.mark.parametrize("kind", [GPT, BERT])
def test_dropout_drops_embeddings_and_what_blocks_add(kind, part):
    params = {"width": WIDTH, "depth": 1, "n_heads": N_HEADS, **kind}
    encoder = TextEncoder(N_TOKENS, LONGEST, dropout=0.4, **params)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_()
    block = encoder.blocks[0]
    dropped, kept = {}, {"attention": [], "mlp": []}
    block.attention.register_forward_hook(lambda m, a, output: kept["attention"].append(output))
    block.mlp.register_forward_hook(lambda m, a, output: kept["mlp"].append(output))
    encoder.dropout.register_forward_hook(lambda m, a, output: dropped.update(embedding=output))
    names = iter(["attention", "mlp"])
    block.dropout.register_forward_hook(lambda m, a, output: dropped.update({next(names): output}))
    block.register_forward_pre_hook(lambda m, args: dropped.update(read=args[0]))
    encoder.train().states(rows(12, 12, 12, 12, 12, 12, 12, 12))
    assert set(dropped) == {"read", "embedding", "attention", "mlp"}
    assert torch.equal(dropped["read"], dropped["embedding"])
    zeros = (dropped[part] == 0).double().mean().item()
    assert zeros == pytest.approx(0.4, abs=0.06)  # of 3072, with a deviation of 0.009
    if part != "embedding":
        here = dropped[part] != 0
        torch.testing.assert_close(dropped[part][here], kept[part][0][here] / 0.6)


@pytest.mark.parametrize("depth", [1, 8])
@every_position
def test_initial_weights_are_those_of_gpt2(positions, depth):
    torch.manual_seed(0)
    encoder = TextEncoder(400, 64, width=64, depth=depth, positions=positions)
    small = 0.02 / math.sqrt(2 * depth)
    expected = {"embedding.weight": 0.02, "positions.weight": 0.02}
    for i in range(depth):
        expected |= {
            f"blocks.{i}.attention.qkv.weight": 0.02,
            f"blocks.{i}.attention.projection.weight": small,
            f"blocks.{i}.mlp.0.weight": 0.02,
            f"blocks.{i}.mlp.2.weight": small,
        }
    for name, parameter in encoder.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == float("norm" in name and "weight" in name)).all(), name
        else:
            assert parameter.std().item() == pytest.approx(expected[name], rel=0.05), name
            assert abs(parameter.mean().item()) < 0.1 * expected[name], name


def test_rotary_positions_are_not_saved_and_not_trained():
    encoder = TextEncoder(5, 20, width=16, n_heads=2)
    assert not any("turns" in name for name in encoder.state_dict())
    assert not any("turns" in name for name, _ in encoder.named_parameters())
    learned = TextEncoder(5, 20, width=16, n_heads=2, positions="learned")
    assert learned.positions.weight.shape == (20, 16)


@every_kind
def test_gradients_reach_every_parameter(kind):
    encoder = encoder_of(positions="learned", **kind)
    encoder(rows(12, 12, 12)).pow(3).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_attention_is_that_of_the_formula():
    """One causal block with rotary positions, in loops."""
    encoder = encoder_of(causal=True, depth=1)
    ids = rows(5)
    block, d = encoder.blocks[0], WIDTH // N_HEADS
    x = encoder.embedding(ids)[0].detach()
    normed = F.layer_norm(x, (WIDTH,), block.norm1.weight, block.norm1.bias)
    q, k, v = block.attention.qkv(normed).detach().chunk(3, dim=1)
    frequencies = [10_000 ** (-2 * i / d) for i in range(d // 2)]

    def turn(vector, place):
        pairs = [complex(vector[i], vector[i + d // 2]) for i in range(d // 2)]
        turned = [z * np.exp(1j * place * f) for z, f in zip(pairs, frequencies)]
        return np.array([z.real for z in turned] + [z.imag for z in turned])

    found = torch.zeros_like(x)
    for head in range(N_HEADS):
        part = slice(head * d, (head + 1) * d)
        for t in range(5):
            query = turn(q[t, part], t)
            logits = [query @ turn(k[s, part], s) / math.sqrt(d) for s in range(t + 1)]
            weights = np.exp(logits) / np.exp(logits).sum()
            found[t, part] = sum(w * v[s, part] for s, w in enumerate(weights))
    x = x + block.attention.projection(found)
    x = x + block.mlp(block.norm2(x))
    torch.testing.assert_close(encoder.states(ids)[0], encoder.last_norm(x), atol=1e-5, rtol=1e-5)
