"""Make idle threads sleep in the processes that this one starts, such as joblib's workers.

Every fit uses as many threads as there are cores, also in a worker, because the number of threads
affects the last digits of sums. Threads of several workers then share the cores, and by default
OpenMP's idle threads spin for a while instead of sleeping: a search with two workers on two cores
took five times as long as without workers. With sleeping threads it takes about as long. The
current process is not affected, because OpenMP reads the variable when it is loaded, with torch and
scikit-learn, before this module is imported. A policy that the user has set is kept.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
