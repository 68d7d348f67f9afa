"""Makes idle threads sleep in the processes that this one starts, such as joblib's workers.

Every fit computes with as many threads as there are cores, in a worker too, for the number of
threads shows in the last digits of sums. Threads of several workers then share the cores, and by
default OpenMP's idle ones spin for a while instead of sleeping: a search with two workers on two
cores took five times as long as one without. With sleeping threads it takes about as long. This
process is not touched, nor a policy that the user has set: OpenMP reads the variable when it is
loaded, and that has happened when this module is imported, after torch and scikit-learn.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
