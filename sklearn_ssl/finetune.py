"""The few-label step: a pretrained encoder and a head, as a classifier or a regressor.

::

    h = transformer.fit(all rows)                    # the mountain, no label is looked at
    head = LogisticRegression().fit(h(x), y)         # "probe": the molehill, encoder frozen
    for each batch of labeled rows x, y:            # "full": encoder and linear layer
        loss = cross_entropy(linear(h(augment(x))), y)

"probe-then-full" starts the second from the first (LP-FT: Kumar et al., 2022,
https://arxiv.org/abs/2202.10054): a linear layer that starts at random would first of all distort
the representation.
"""

from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from sklearn_ssl._base import of_one_fit
from sklearn_ssl._base_finetune import BaseFineTuner, head_has
from sklearn_ssl._sklearn_compat import StrOptions
from sklearn_ssl._targets import Classes, Numbers


class FineTuneClassifier(ClassifierMixin, BaseFineTuner):
    """Classifier with few labels: a pretrained encoder and a head.

    Rows without a label, marked by -1, None or NaN, count: an unfitted transformer is pretrained on
    all rows, and then the labeled ones teach a classifier. A fitted transformer is copied, and
    never changed; inside cross-validation and searches, which clone what they are given, wrap it in
    :class:`sklearn.frozen.FrozenEstimator`.

    Parameters
    ----------
    transformer : estimator of this package, or FrozenEstimator of one
        Fitted or not.
    strategy : {"probe-then-full", "full", "probe"}, default="probe-then-full"
        "probe" fits `head` on the frozen representation. "full" trains the whole encoder and a
        linear layer on it. "probe-then-full" does both: the linear layer starts from the probe, and
        does not distort the representation before it knows anything [1]_; where the loss on the
        labeled rows is larger in the end, the probe is kept. With less than ten labels per class of
        images, "probe" is the safest; for texts, "full" was the best.
    head : estimator, default=None
        For the probe, any scikit-learn classifier; it is given what ``transform`` returns. None is
        LogisticRegression, on representations that are centered and divided by one factor for all
        columns. "probe-then-full" needs one whose ``decision_function`` is ``X @ coef_.T +
        intercept_``, such as LogisticRegression, LinearSVC or RidgeClassifier, and checks that on
        the labeled rows; ``SVC(kernel="linear")`` compares classes in pairs, and is one for two
        classes only.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which those of their labels are multiplied. A class of weight 0
        is left out.
    augment : "auto", callable or None, default=None
        How labeled rows are changed, beside which they stay in the batch as they are. "auto" is
        the transformer's own augmentation, or else that of the kind of data: see
        :doc:`/augmentation`. It pays for images, many epochs and hundreds of labels, and
        costs twice the time. "auto" leaves texts and videos as they are; texts have dropout.
    max_epochs : int, default=None
        How often the labeled rows are seen in the full training. None is 30 times, or less, down
        to 5, where that would be more than 2,000 steps.
    batch_size : int, default=64
        Largest number of rows in a step.
    lr : float, default=None
        Largest learning rate, that of the linear layer. None is 1e-3, or 2e-4 for a pretrained
        model (`pretrained` of estimators of texts), which has more to lose.
    layer_decay : float, default=0.75
        Factor by which each layer learns more slowly than the one behind it: the first ones hold
        what is common to all tasks.
    weight_decay : float, default=0.01
        Decay of kernels and matrices.
    early_stopping : bool, default=False
        Whether to hold out some labeled rows, stop when their loss no longer falls, and keep the
        weights of the best epoch. The probe does not see these rows and is one of the candidates:
        where no epoch is better, it is kept, and fitted on all labels. Ten labels are too few for
        early stopping. The strategy "probe" has no epochs, and holds nothing out.
    validation_fraction : float, default=0.2
        Part of the labeled rows that is held out, some of each class.
    n_iter_no_change : int, default=10
        Epochs without improvement that early stopping waits for.
    callbacks : list, default=None
        skorch callbacks of the full training. The transformer has its own.
    verbose : int, default=0
        From 1 on, a progress bar is shown.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the rows and of their changes in the full training. The transformer
        has its own.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer, with the fine-tuned encoder.
    head_ : estimator
        The fitted head. After a full training it is a LogisticRegression with the weights of the
        linear layer.
    classes_ : ndarray of shape (n_classes,)
        The labels, without the mark of unlabeled rows.
    history_ : dict of str to list of float
        Of the full training, as in :class:`~sklearn_ssl.BaseSSLTransformer`.
    n_iter_ : int
        Number of epochs of the full training.
    n_features_in_, feature_names_in_
        As those of the transformer.

    See Also
    --------
    FineTuneRegressor : The same for numbers.
    sklearn_ssl.semi_supervised.LabeledOnly : For the last step of a Pipeline.

    References
    ----------
    .. [1] A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang, "Fine-Tuning can Distort Pretrained
       Features and Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054

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
    """

    _parameter_constraints = {
        **BaseFineTuner._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _Targets = Classes

    def __init__(
        self,
        transformer,
        *,
        strategy="probe-then-full",
        head=None,
        class_weight=None,
        augment=None,
        max_epochs=None,
        batch_size=64,
        lr=None,
        layer_decay=0.75,
        weight_decay=0.01,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=10,
        callbacks=None,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            transformer,
            strategy=strategy,
            head=head,
            augment=augment,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            layer_decay=layer_decay,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            callbacks=callbacks,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on the rows that have a label.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.
        y : array-like of shape (n,)
            Their labels; rows without one do not count.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        score : float
        """
        return super().score(*self._to_score(X, y, sample_weight))

    @available_if(head_has("predict_proba"))
    @of_one_fit
    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        Z = self._represent(X)
        return self.head_.predict_proba(Z)

    @available_if(head_has("decision_function"))
    @of_one_fit
    def decision_function(self, X):
        """Return how far each row is on the side of each class.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        decisions : ndarray of shape (n,) or (n, n_classes)
            Of two classes, that of the second one.
        """
        Z = self._represent(X)
        return self.head_.decision_function(Z)


class FineTuneRegressor(RegressorMixin, BaseFineTuner):
    """Regressor with few labels: a pretrained encoder and a head.

    As :class:`FineTuneClassifier`, for numbers: NaN or None marks a row without a label, and -1 is
    a number like any other.

    Parameters
    ----------
    transformer : estimator of this package, or FrozenEstimator of one
        Fitted or not.
    strategy : {"probe", "probe-then-full", "full"}, default="probe"
        As in :class:`FineTuneClassifier`, but the encoder stays as it is unless you ask for more.
        A squared error is thrown off by changes that leave a class as it is: "probe-then-full" was
        as often behind its probe as ahead of it with 20 labels, and ahead by .01 of R² with 200,
        see :doc:`/regression_table`.
    head : estimator, default=None
        For the probe, any scikit-learn regressor. None is RidgeCV, on representations that are
        centered and divided by one factor for all columns. "probe-then-full" needs one whose
        ``predict`` is ``X @ coef_.T + intercept_``, such as Ridge, Lasso or LinearSVR, and checks
        that on the labeled rows; PoissonRegressor predicts an exponential, and is none.
    augment : "auto", callable or None, default=None
        As in :class:`FineTuneClassifier`.
    max_epochs : int, default=None
        As in :class:`FineTuneClassifier`.
    batch_size : int, default=64
        Largest number of rows in a step.
    lr : float, default=None
        Largest learning rate, that of the linear layer. None is 1e-3 for "full", and 1e-4 or less
        for "probe-then-full": less where the probe reads directions that are narrow beside the
        size of the representation, which a small step of the encoder would throw off.
    layer_decay : float, default=0.75
        Factor by which each layer learns more slowly than the one behind it.
    weight_decay : float, default=0.01
        Decay of kernels and matrices.
    early_stopping : bool, default=False
        As in :class:`FineTuneClassifier`.
    validation_fraction : float, default=0.2
        Part of the labeled rows that is held out.
    n_iter_no_change : int, default=10
        Epochs without improvement that early stopping waits for.
    callbacks : list, default=None
        skorch callbacks of the full training. The transformer has its own.
    verbose : int, default=0
        From 1 on, a progress bar is shown.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the rows and of their changes in the full training. The transformer
        has its own.

    Notes
    -----
    The full training learns numbers with mean 0 and deviation 1, without dropout and in float32,
    whatever the transformer's precision.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer, with the fine-tuned encoder.
    head_ : estimator
        The fitted head. After a full training it is a LinearRegression with the weights of the
        linear layer.
    history_, n_iter_, n_features_in_, feature_names_in_
        As in :class:`FineTuneClassifier`.

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

    def score(self, X, y, sample_weight=None):
        """Return the R² on the rows that have a label.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.
        y : array-like of shape (n,)
            Their labels; rows without one do not count.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        score : float
        """
        return super().score(*self._to_score(X, y, sample_weight))
