"""What the page of the survey shows: how often ours is the best, against whom, and where."""

import numpy as np

from benchmarks import store
from benchmarks.formatting import markdown
from benchmarks.survey import FEW_SERIES, KEPT_APART, KERNELS, RAW, UNTRAINED

RECIPES = {
    "table": "VIME, probe, then fine-tuned",
    "image": "VICReg, probe, then fine-tuned",
    "series": "SimCLR, probe, then fine-tuned",  # of few series: fixed kernels
    "text": "Sent2Vec, beside TF-IDF",
}
KINDS = {"table": "tables", "image": "images", "series": "series", "text": "texts"}
POINT = 0.01  # accuracies that differ less are level


WORDS = ("ahead", "level", "behind")
COLORS = ("#1b7837", "#c7c7c7", "#b2182b")


def recipe(kind, n_rows):
    """Return the method that the guide recommends for data of a kind."""
    return KERNELS if kind == "series" and n_rows < FEW_SERIES else RECIPES[kind]


def load(results):
    """Return the rows of the survey by data set, method and number of labels.

    Returns
    -------
    scores : dict of (str, str, int) to dict of str to dict of int to list of float
        For each data set, its kind and number of rows, the accuracies of each method with so many
        labels per class, one for each draw and seed.
    roles : dict of str to str
        Of each method: "ours" or "rival".
    """
    scores, roles = {}, {}
    for row in sorted(store.read(results / "survey.csv"), key=lambda row: int(row["seed"])):
        of_set = scores.setdefault((row["dataset"], row["kind"], int(row["n_rows"])), {})
        of_method = of_set.setdefault(row["method"], {}).setdefault(int(row["labels"]), [])
        of_method += [float(score) for score in row["scores"].split()]
        roles[row["method"]] = row["role"]
    return scores, roles


def means(results, k):
    """Return for each data set with k labels per class its kind, our mean, and those of rivals."""
    scores, roles = load(results)
    found = {}
    for (name, kind, n_rows), methods in scores.items():
        of_methods = {method: np.mean(s[k]) for method, s in methods.items() if k in s}
        ours = of_methods.get(recipe(kind, n_rows))
        if ours is not None:
            rivals = {m: mean for m, mean in of_methods.items() if roles[m] == "rival"}
            found[name] = kind, ours, rivals
    return found


def verdict(lead):
    """Say whether a lead is more than a point, less, or negative."""
    lead = round(lead, 4)  # as many digits as there are in the results
    return WORDS[0] if lead >= POINT else WORDS[1] if lead > -POINT else WORDS[2]


def counted(leads):
    """Return how many leads are ahead, level and behind, as text."""
    verdicts = [verdict(lead) for lead in leads]
    return " / ".join(str(verdicts.count(word)) for word in WORDS) if verdicts else "-"


def survey_counts(results):
    """Return on how many data sets our recipe is ahead of the best rival, level or behind."""
    of_k = {k: means(results, k) for k in (1, 5, 10, 100)}
    groups = {words: [kind] for kind, words in KINDS.items()}
    groups |= {"**all**": list(KINDS), "those kept apart": list(KINDS)}
    lines = []
    for title, kinds in groups.items():
        cells = []
        for found in of_k.values():
            cells.append(
                counted(
                    ours - max(rivals.values())
                    for name, (kind, ours, rivals) in found.items()
                    if kind in kinds and ("apart" not in title or name in KEPT_APART)
                )
            )
        lines.append([title, *cells])
    return markdown(["labels per class", *map(str, of_k)], lines)


def rivals_of(found):
    """Return the leads over each rival of the survey, those over whom we lead least often last."""
    leads = {}
    for _, ours, rivals in found.values():
        for rival, mean in rivals.items():
            leads.setdefault(rival, []).append(ours - mean)
    share = {rival: np.mean([verdict(x) == WORDS[0] for x in own]) for rival, own in leads.items()}
    return {rival: leads[rival] for rival in sorted(leads, key=lambda r: -share[r])}


def survey_rivals(results):
    """Return how often ours is ahead of each rival, level or behind; by how much on average."""
    lines = [
        [rival, counted(leads), f"{100 * np.mean(leads):+.1f}", f"{100 * min(leads):+.1f}"]
        for rival, leads in rivals_of(means(results, 10)).items()
    ]
    return markdown(["rival", " / ".join(WORDS), "mean lead", "least lead"], lines)


def survey_sets(results):
    """Return for each data set our accuracy with 10 labels per class, or 5, beside the best."""
    few, more = means(results, 5), means(results, 10)
    scores, _ = load(results)
    of_names = {name: methods for (name, _, _), methods in scores.items()}
    lines = []
    for name, (kind, ours, rivals) in {**few, **more}.items():
        k = 10 if name in more else 5
        best = max(rivals, key=rivals.get)
        frozen = f"{RECIPES[kind].split(',')[0]}, frozen"
        others = [f"{np.mean(of_names[name][frozen][k]):.3f}"]
        leads = [f"{100 * (ours - rivals[rival]):+.1f}" for rival in (RAW, UNTRAINED, best)]
        title = f"*{name}*" if name in KEPT_APART else name
        title += "" if k == 10 else ", 5 labels"
        lines.append([title, kind, f"{ours:.3f}", *others, *leads, f"{best} {rivals[best]:.3f}"])
    header = ["", "kind", "recipe", "frozen encoder", "lead over raw", "over untrained"]
    return markdown([*header, "over the best", "best rival"], lines)


def survey_runs(results):
    """Say how many data sets there are, and how many draws of labels."""
    rows = [row for row in store.read(results / "survey.csv") if row["method"] == RAW]
    names = {row["dataset"] for row in rows}
    n_draws = len(rows[0]["scores"].split())
    repeated = {row["dataset"] for row in rows if row["seed"] != "0"}
    seeds = f", {len(repeated)} of them with a second seed" if repeated else ""
    return [f"{len(names)} data sets{seeds}; {n_draws} draws of labels for each seed."]


def survey_in_short(results):
    """Return the survey in one sentence, which README has too."""
    found = means(results, 10).values()
    over_raw = counted(ours - rivals[RAW] for _, ours, rivals in found).split(" / ")
    over_best = counted(ours - max(rivals.values()) for _, ours, rivals in found).split(" / ")
    return [
        f"On {len(found)} data sets with ten labels per class, one recipe for each kind of data "
        f"was more than a point ahead of raw features on {over_raw[0]}, level on {over_raw[1]} and "
        f"behind on {over_raw[2]}. Compared with the best of up to twelve rivals on each set, it "
        f"was ahead on {over_best[0]}, level on {over_best[1]} and behind on {over_best[2]}."
    ]


def plot(results, path):
    """Draw how often ours is ahead of each rival with 10 labels per class."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "survey"  # the same file for the same results
    leads = rivals_of(means(results, 10))
    _, ax = plt.subplots(figsize=(7, 0.32 * len(leads) + 1), layout="constrained")
    left = np.zeros(len(leads))
    for word, color in zip(WORDS, COLORS):
        counts = np.array([[verdict(x) for x in own].count(word) for own in leads.values()])
        bars = ax.barh(list(leads), counts, left=left, color=color, label=word)
        ax.bar_label(bars, [n or "" for n in counts], label_type="center", fontsize=8)
        left += counts
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(xlabel="data sets", title="Ours, with ten labels per class")
    ax.legend(ncols=3, loc="lower right")
    plt.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close()
