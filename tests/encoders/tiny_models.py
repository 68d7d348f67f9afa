"""Tiny models of transformers with tokenizers, saved as users have them on disk."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

TEXTS = [
    "the cat sat on the mat",
    "a dog lay on the rug",
    "it rains cats and dogs on the mat",
    "the rug lay on the dog",
    "mat and rug",
] * 6
OF_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
OF_GPT2 = "<|endoftext|>"  # begins and ends texts, and stands for what is unknown


def bert_tokenizer():
    # Its trainer numbers equally frequent tokens in another order each time.
    words = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {token: i for i, token in enumerate([*OF_BERT, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def gpt2_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=[OF_GPT2],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def save(model, tokenizer, folder, **names):
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return folder


def save_bert(folder, model=BertModel, tokenizer=None, dtype=torch.float32, unused=0):
    tokenizer = tokenizer or bert_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size() + unused,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=24,
        initializer_range=0.2,
    )
    names = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    names = {f"{name}_token": OF_BERT[i] for name, i in names.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return save(model(config).to(dtype), tokenizer, folder, **names)


def save_gpt2(folder, dtype=torch.float32, unused=0):
    tokenizer = gpt2_tokenizer()
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size() + unused,
        n_positions=24,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), OF_GPT2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return save(GPT2LMHeadModel(config).to(dtype), tokenizer, folder, **names)
