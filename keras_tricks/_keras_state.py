"""The lock of Keras's global state, which belongs to the process and not to a thread.

`keras.utils.clear_session`, which KerasTuner calls before each trial, empties the state
of all threads. A step that another thread traces at that time would lose the scope in
which its variables have values, and compute something else.
"""

import threading

LOCK = threading.RLock()
