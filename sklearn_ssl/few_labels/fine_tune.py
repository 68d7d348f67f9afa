"""The few-label step: a pretrained encoder and a head, as a classifier or a regressor.

::

    h = transformer.fit(all rows)                    # the mountain, without labels
    head = LogisticRegression().fit(h(x), y)         # "probe": the molehill, encoder frozen
    for each batch of labeled rows x, y:            # "full": encoder and linear layer
        loss = cross_entropy(linear(h(augment(x))), y)

"probe-then-full" starts the second from the first (LP-FT: Kumar et al., 2022,
https://arxiv.org/abs/2202.10054): a linear layer with random weights would first distort the
representation. "fixmatch", in :mod:`sklearn_ssl.few_labels.fixmatch`, also starts from the probe,
and learns from rows without labels too.
"""

from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from sklearn_ssl._sklearn_compat import StrOptions
from sklearn_ssl.base.estimator import of_one_fit
from sklearn_ssl.base.parameters import param
from sklearn_ssl.few_labels.base import BaseFineTuner, head_has
from sklearn_ssl.few_labels.multilabel import Multilabel, one_column_per_label
from sklearn_ssl.few_labels.targets import Classes, Numbers


class FineTuneClassifier(ClassifierMixin, BaseFineTuner):
    """Classifier with few labels: a pretrained encoder and a head.

    Rows without a label, marked by -1, None or NaN, are used too: an unfitted transformer is
    pretrained on all rows, and a classifier then learns from the labeled ones. A fitted transformer
    is copied, and never changed; inside cross-validation and searches, which clone their
    estimators, wrap it in :class:`sklearn.frozen.FrozenEstimator`. A row may also have several
    labels (multilabel): see Notes.

    Parameters
    ----------
    strategy : {"probe-then-full", "full", "probe", "fixmatch"}, default="probe-then-full"
        "probe" fits `head` on the frozen representation. "full" trains the whole encoder and a
        linear layer after it. "probe-then-full" does both: the linear layer starts from the probe,
        so it does not distort the representation while it is still random [1]_; if the loss on the
        labeled rows is larger at the end, the probe is kept. "fixmatch" starts from the probe too,
        and learns from all rows of X and `X_unlabeled`: a changed row should get the class that the
        network already predicts with confidence for the unchanged one [2]_. It takes longer, up to
        a few minutes, and was the best with 1 to 10 labels per class of images, series and about
        half of the tables; see Notes. For images with fewer than ten labels per class, "probe" is
        the fastest safe choice; for texts, "full" was the best.
    head : estimator, default=None
        For the probe, any scikit-learn classifier; it receives the output of ``transform``. None
        means LogisticRegression, on representations that are centered and divided by one factor for
        all columns. "probe-then-full" needs a head whose ``decision_function`` is ``X @ coef_.T +
        intercept_``, such as LogisticRegression, LinearSVC or RidgeClassifier, and checks this on
        the labeled rows; ``SVC(kernel="linear")`` compares classes in pairs, so it only works with
        two classes.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with the weights of their labels. A class with weight 0
        is left out. Not for several labels per row.
    validation_fraction : float, default=0.2
        Fraction of the labeled rows to hold out, with rows of each class. For several labels per
        row, they are drawn whatever their labels are.

    Attributes
    ----------
    head_ : estimator
        The fitted head. After a full training it is a LogisticRegression with the weights of the
        linear layer; for several labels per row, it has the same methods, one logistic regression
        per label, and a row of `coef_` and a number of `intercept_` for each.
    classes_ : ndarray of shape (n_classes,) or (n_labels,)
        The classes, without the mark of unlabeled rows; for several labels per row, the numbers of
        the columns of y.
    cv_accuracies_ : dict of str to float, or None
        With the strategy "fixmatch", the accuracies of "probe" and "fixmatch" on labels that were
        held out in turn; None if there is a class with a single label.

    Notes
    -----
    Several labels per row are an indicator matrix, y of shape (n, n_labels) with 1 where a row has
    a label and 0 where it has not, as :class:`~sklearn.preprocessing.MultiLabelBinarizer` makes it.
    A row is unlabeled if all of its columns are -1, None or NaN. Each label has a logistic
    regression of its own, and the encoder learns from the mean of their losses. A label that all
    labeled rows have, or none of them, is predicted like that for every row by the probe, with
    probability (n + 1) / (n + 2) or 1 / (n + 2) after n rows; a training starts from there. The
    strategies are "probe", "probe-then-full" and "full", and a `head` must take several labels:
    ``OneVsRestClassifier(LogisticRegression(C=10))``, RidgeClassifier or KNeighborsClassifier, for
    example. For several columns of classes, use
    :class:`~sklearn.multioutput.MultiOutputClassifier`.

    "fixmatch" follows [2]_, with three changes. Predictions are divided by their running mean and
    multiplied by the shares of the classes among the labels [3]_, so that no class takes over: the
    labels should be as frequent as the classes are, or equally many if the classes are about as
    frequent as each other. A prediction counts as confident if it is above the running mean of the
    confidence [4]_. And up to four shorter trainings, each without a part of the labels, are
    compared with their probes: if the probes predict more of these labels, the probe is kept, and
    `n_iter_` is 0. With one label of a class this is not possible, and the training is always kept.

    `augment` then says how to change the rows that learn from predictions. None means the
    transformer's own augmentation or, for those that compare no views, that of the kind of data; in
    tables 15 % of the entries are redrawn, in texts 20 % of the tokens left out. Predictions are
    made for rows that are not changed, except for images, which are mirrored, rotated as in the
    transformer's augmentation, and cropped a little. `max_epochs` counts passes over all rows; None
    means about 1,000 steps, each with up to `batch_size` rows and a third as many with labels, and
    no more rows than that takes.
    `history_` has two more entries: "used_share", the share of rows with a confident prediction,
    and "agreement", the share of changed rows with the same prediction.

    See Also
    --------
    FineTuneRegressor : The same for numbers.
    sklearn_ssl.semi_supervised.LabeledOnly : For the last step of a Pipeline.

    References
    ----------
    .. [1] A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang, "Fine-Tuning can Distort Pretrained
       Features and Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054
    .. [2] K. Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
       Confidence", NeurIPS 2020, https://arxiv.org/abs/2001.07685
    .. [3] D. Berthelot et al., "ReMixMatch: Semi-Supervised Learning with Distribution Alignment
       and Augmentation Anchoring", ICLR 2020, https://arxiv.org/abs/1911.09785
    .. [4] Y. Wang et al., "FreeMatch: Self-adaptive Thresholding for Semi-supervised Learning",
       ICLR 2023, https://arxiv.org/abs/2205.07246

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import FineTuneClassifier, SimCLRTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 50, y, -1)  # -1: no label
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> classifier = FineTuneClassifier(ssl, strategy="probe").fit(X, few)
    >>> classifier.predict_proba(X).shape
    (1797, 10)
    >>> classifier.score(X, y) > 0.5  # guessing: 0.1
    True

    Let the other rows help:

    >>> classifier.set_params(strategy="fixmatch", max_epochs=1).fit(X, few).predict(X).shape
    (1797,)

    Several labels per row:

    >>> even_and_large = np.column_stack([y % 2 == 0, y > 4]).astype(float)
    >>> even_and_large[50:] = np.nan  # no label
    >>> classifier.set_params(strategy="probe").fit(X, even_and_large).predict(X[:3])
    array([[1, 0],
           [0, 0],
           [1, 0]])
    """

    strategy: str = param(
        "probe-then-full", StrOptions({"probe", "full", "probe-then-full", "fixmatch"})
    )
    class_weight: dict | str | None = param(None, dict, StrOptions({"balanced"}), None)

    _Targets = Classes

    score = BaseFineTuner.score  # counts labeled rows only, unlike that of ClassifierMixin

    def _kind_of(self, labels):
        if labels.ndim == 1:
            return Classes
        if self.strategy == "fixmatch":
            raise ValueError(
                f'strategy="fixmatch" takes one label per row, but y has {labels.shape[1]} '
                'columns. Use strategy="probe-then-full", "full" or "probe".'
            )
        return Multilabel

    @available_if(head_has("predict_proba"))
    @of_one_fit
    def predict_proba(self, X):
        """Return the probability of each class or label.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes) or (n, n_labels)
            In the order of ``classes_``. For several labels per row, the probability of each that
            a row has it; they do not sum to 1.
        """
        Z = self._represent(X)
        return one_column_per_label(self.head_.predict_proba(Z), self.head_.classes_)

    @available_if(head_has("decision_function"))
    @of_one_fit
    def decision_function(self, X):
        """Return the decision function of the head.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        decisions : ndarray of shape (n,), (n, n_classes) or (n, n_labels)
            For two classes, the decision for the second one.
        """
        Z = self._represent(X)
        return self.head_.decision_function(Z)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        head_takes_it = self.head is None or Multilabel.takes(self.head)
        tags.classifier_tags.multi_label = head_takes_it and self.strategy != "fixmatch"
        return tags


class FineTuneRegressor(RegressorMixin, BaseFineTuner):
    """Regressor with few labels: a pretrained encoder and a head.

    Like :class:`FineTuneClassifier`, for numbers: NaN or None marks a row without a label, and -1
    is an ordinary number.

    Parameters
    ----------
    strategy : {"probe", "probe-then-full", "full"}, default="probe"
        As in :class:`FineTuneClassifier`, but by default the encoder stays as it is. Small changes
        that leave a predicted class as it is still add to a squared error: with 20 labels
        "probe-then-full" was behind its probe as often as ahead of it, and with 200 it was ahead by
        .01 of R², see :doc:`/regression_table`.
    head : estimator, default=None
        For the probe, any scikit-learn regressor. None means RidgeCV, on representations that are
        centered and divided by one factor for all columns. "probe-then-full" needs a head whose
        ``predict`` is ``X @ coef_.T + intercept_``, such as Ridge, Lasso or LinearSVR, and checks
        this on the labeled rows; PoissonRegressor predicts an exponential, so it does not work.
    lr : float, default=None
        Peak learning rate, that of the linear layer. None means 1e-3 for "full", and 1e-4 or less
        for "probe-then-full": less if the probe reads directions that are narrow compared with the
        size of the representation, which a small step of the encoder would disturb.

    Notes
    -----
    The full training learns numbers with mean 0 and standard deviation 1, without dropout and in
    float32, whatever the transformer's precision.

    Attributes
    ----------
    head_ : estimator
        The fitted head. After a full training it is a LinearRegression with the weights of the
        linear layer.

    See Also
    --------
    FineTuneClassifier : The same for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_ssl import FineTuneRegressor, VIMETransformer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 50, y, np.nan)  # NaN: no label
    >>> ssl = VIMETransformer(max_epochs=1, random_state=0)
    >>> FineTuneRegressor(ssl, strategy="probe").fit(X, few).predict(X).shape
    (442,)
    """

    _Targets = Numbers
    _regression = True

    score = BaseFineTuner.score  # counts labeled rows only, unlike that of RegressorMixin
