"""
What comes next: a GPT from scratch, and a page of Hamlet
=========================================================

:class:`~sklearn_ssl.CausalLMEmbedder` reads texts and learns to say which token comes next. That is
how GPT is trained; here the network is tiny, and its library is a single page. Within seconds it
knows the page by heart. Then we can ask it: what comes next, how likely is a text, and how
surprising is a line?
"""

# %%
# The page: Hamlet's most famous lines, from about 1600, one text per line. The first line is the
# way everybody quotes them.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder
from sklearn_ssl.datasets import load_scipy_docstrings

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

lines = """\
To be or not to be, that is the question
To be, or not to be, that is the question:
Whether 'tis nobler in the mind to suffer
The slings and arrows of outrageous fortune,
Or to take arms against a sea of troubles
And by opposing end them. To die: to sleep;
No more; and by a sleep to say we end
The heart-ache and the thousand natural shocks
That flesh is heir to: 'tis a consummation
Devoutly to be wish'd. To die, to sleep;
To sleep, perchance to dream: ay, there's the rub;
For in that sleep of death what dreams may come,
When we have shuffled off this mortal coil,
Must give us pause: there's the respect
That makes calamity of so long life;
For who would bear the whips and scorns of time,
The oppressor's wrong, the proud man's contumely,
The pangs of despised love, the law's delay,
The insolence of office, and the spurns
That patient merit of the unworthy takes,
When he himself might his quietus make
With a bare bodkin? Who would fardels bear,
To grunt and sweat under a weary life,
But that the dread of something after death,
The undiscover'd country, from whose bourn
No traveller returns, puzzles the will,
And makes us rather bear those ills we have
Than fly to others that we know not of?
Thus conscience does make cowards of us all,
And thus the native hue of resolution
Is sicklied o'er with the pale cast of thought,
And enterprises of great pith and moment
With this regard their currents turn awry
And lose the name of action.""".splitlines()

# %%
# ``fit`` builds a vocabulary from the page and trains the network on it. With room for 1,024 tokens
# every word gets one; with the default, rare words would be split into pieces. Dropout would keep
# the network from learning by heart, so we turn it off. ``generate`` continues a text; temperature
# 0 takes the most likely token each time, until the text ends.
small = {"vocabulary_size": 1024, "width": 64, "depth": 2, "dropout": 0, "random_state": 0}
gpt = CausalLMEmbedder(**small, batch_size=8, lr=4e-3, max_epochs=40).fit(lines)
print(f"{len(lines)} lines, a vocabulary of {gpt.input_spec_.vocabulary_size} tokens")

prompt = "To be or not to"
print(f"Input: {prompt}")
print(f"Output:{gpt.generate(prompt, temperature=0).removeprefix(prompt)}")

# %%
# The same network before it has read anything: with ``max_epochs=0`` nothing is trained.
untrained = CausalLMEmbedder(**small, max_epochs=0).fit(lines)
said = untrained.generate(prompt, max_new_tokens=8, temperature=0).removeprefix(prompt)
print(f"Untrained output: {said!r}")

# %%
# Six lines begin with "To". Above temperature 0, the next token is drawn according to its
# probability; a higher temperature makes the probabilities more even, until the text falls apart.
# ``top_k`` draws only from the most likely tokens, which excludes the worst ones.
for temperature, top_k in ((0.3, None), (1, None), (2, None), (2, 2)):
    drawn = gpt.generate(
        ["To"] * 4, max_new_tokens=12, temperature=temperature, top_k=top_k, random_state=0
    )
    print(f"\nTemperature {temperature}, top_k {top_k}:")
    print("\n".join(f"  {text!r}" for text in drawn))

# %%
# How surprising is a line? The perplexity is the number of tokens among which the model hesitates,
# on average. 1 is no surprise at all; a blind guess hesitates among all tokens of the vocabulary.
# The words of a line in reverse order show that the network has learned the order, not just the
# words. A line of another scene shows the limits of this model: it knows one page, not English.
known = "The slings and arrows of outrageous fortune,"
examples = {
    "a line of the page": known,
    "its words in reverse": " ".join(reversed(known.split())),
    "a line of another scene": "O, what a rogue and peasant slave am I!",
}
print(f"\n{'perplexity':26}{'untrained':>12}{'trained':>12}")
for name, line in examples.items():
    print(f"{name:26}{untrained.perplexity([line]):12.1f}{gpt.perplexity([line]):12.1f}")


# %%
# A plot for the first two: the probability of each token given those before it. The logits are the
# products of the states of the network and the vectors of the tokens.
def next_token_probabilities(model, text):
    """Return the tokens of a text and of its end, and the probability of each."""
    spec = model.input_spec_
    ids = model.tokenizer_.encode(text, add_special_tokens=False).ids
    with torch.inference_mode():
        states = model.encoder_.states(torch.tensor([[spec.begin, *ids]]))[0]
        probabilities = (states @ model.encoder_.embedding.weight.T).softmax(dim=1)
    tokens = [model.tokenizer_.decode([i]).strip() for i in ids]
    return [*tokens, "(end)"], probabilities[range(len(ids) + 1), [*ids, spec.end]].numpy()


output = Path("demo_output")
output.mkdir(exist_ok=True)
figure, axes = plt.subplots(2, 1, figsize=(8, 6), sharey=True, layout="constrained")
for axis, name in zip(axes, list(examples)[:2]):
    for shift, (label, model) in zip((-0.2, 0.2), (("untrained", untrained), ("trained", gpt))):
        tokens, probability = next_token_probabilities(model, examples[name])
        color = "0.7" if model is untrained else "tab:red"
        axis.bar(np.arange(len(tokens)) + shift, probability, 0.4, color=color, label=label)
    axis.axhline(1 / gpt.input_spec_.vocabulary_size, color="0.3", linewidth=0.8, label="a guess")
    axis.set_xticks(range(len(tokens)), tokens, rotation=45, ha="right")
    axis.set(yscale="log", ylim=(1e-6, 1.5), ylabel="probability", title=name)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
figure.savefig(output / "next_token.png", dpi=100)
print(f"\nSaved {output}/next_token.png")

# %%
# :class:`~sklearn_ssl.MaskedLMEmbedder` sees both sides: it learns to fill in tokens that were
# hidden. Each line only asks it for a few of its tokens, so it needs more steps to learn the page.
max_epochs = 60 if QUICK else 500
bert = MaskedLMEmbedder(**small, mask_ratio=0.3, lr=5e-3, max_epochs=max_epochs).fit(lines)
for gap in (
    "To be or not to [MASK], that is the question",
    "The slings and [MASK] of outrageous fortune",
):
    print(f"{gap}: {', '.join(f'{token} {p:.2f}' for token, p in bert.fill_mask(gap, top_k=3))}")

# %%
# A useful model has to handle texts that it has not seen. Another model reads what SciPy says about
# its functions, and is tested on the descriptions of 200 others. We compare it with a blind guess,
# and with the frequencies of the tokens, which ignore what comes before.
texts = np.random.default_rng(0).permutation(load_scipy_docstrings()[0])
train, test = texts[200:400] if QUICK else texts[200:], texts[:200]
gpt = CausalLMEmbedder(max_epochs=1 if QUICK else 20, random_state=0).fit(train)


def count_tokens(texts):
    """Return how often each token occurs in texts, the end included."""
    ids = [i for text in texts for i in gpt.tokenizer_.encode(text).ids]
    counts = np.bincount(ids, minlength=gpt.input_spec_.vocabulary_size)
    counts[gpt.input_spec_.end] = len(texts)
    return counts


in_train, in_test = count_tokens(train) + 1, count_tokens(test)
surprise = -np.log(in_train / in_train.sum())
print(f"\nPerplexity of {len(test)} descriptions, after {gpt.n_iter_} times {len(train)} others")
print(f"{'a guess':26}{gpt.input_spec_.vocabulary_size:12.1f}")
print(f"{'frequencies of tokens':26}{np.exp(np.average(surprise, weights=in_test)):12.1f}")
print(f"{'trained':26}{gpt.perplexity(test):12.1f}")
print(gpt.generate("Compute the", max_new_tokens=40, temperature=0.7, random_state=0))

# %%
# Fifty thousand words teach it which words are frequent and which follow each other, and not much
# more. GPT-2 read a hundred thousand times as much.
# :ref:`sphx_glr_auto_examples_plot_texts_few_labels.py` asks another question: what such states are
# worth to a classifier.
