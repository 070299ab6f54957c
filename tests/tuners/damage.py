"""Damaged projects: what resuming a search makes of them.

A case copies a project that a tuner left, damages one of its files, resumes the search
for one more trial, and says how that ended:

| outcome | what was seen |
|---|---|
| right | the results of a project that was not damaged, and no word of it |
| named | the same but for what the damage cost, and a warning that names a file |
| refused | an error of a documented class whose message names a file of the project |
| obscure | any other error |
| wrong | a result that was not obtained, a trial missing or twice, without a word |
| hang | no end within the time limit |
"""

import collections
import contextlib
import dataclasses
import gc
import io
import json
import os
import random
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import keras
import keras_tuner

from keras_tricks import tuners
from keras_tricks.tuners import errors
from keras_tricks.tuners.results import records
from keras_tricks.tuners.storage import files

OUTCOMES = ("right", "named", "refused", "obscure", "wrong", "hang")
BAD = ("obscure", "wrong", "hang")
TRIALS = 4
LIMIT_SECONDS = 20


class Scored(keras_tuner.HyperModel):
    """Its score is computed from its settings; the weights are saved, too."""

    def build(self, hp):
        hp.Float("x", 0.0, 1.0)
        hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", ["b"]):
            hp.Int("units", 1, 8)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def fit(self, hp, model, *args, callbacks=(), **kwargs):
        told = keras.callbacks.CallbackList(
            callbacks, model=model, epochs=1, steps=1, verbose=0
        )
        told.on_train_begin()
        told.on_epoch_begin(0)
        told.on_epoch_end(0, {"score": score_of(hp.values)})
        told.on_train_end()
        return {"score": score_of(hp.values)}


def score_of(settings):
    units = settings["units"] if settings["kind"] == "b" else 0
    return settings["x"] + 10 * units


SMALL_GRID = keras_tuner.HyperParameters()
SMALL_GRID.Choice("x", [0.25, 0.5, 0.75])

# How each tuner is made beyond its hypermodel, objective, folder and seed.
KINDS = {
    "random": (tuners.RandomSearch, {}),
    "bayesian": (tuners.BayesianOptimization, {"num_initial_points": 2}),
    "grid": (tuners.GridSearch, {"hyperparameters": SMALL_GRID}),
    "quasi_random": (tuners.QuasiRandomSearch, {}),
    "hyperband": (tuners.Hyperband, {"max_epochs": 3, "factor": 3}),
    "optuna": (tuners.OptunaSearch, {}),
}


def tuner_of(kind, directory, trials):
    tuner_class, arguments = KINDS[kind]
    if kind != "hyperband":
        arguments = {"max_trials": trials, **arguments}
    return tuner_class(
        Scored(),
        keras_tuner.Objective("score", "min"),
        seed=0,
        directory=directory,
        project_name="p",
        **arguments,
    )


def project(kind, directory):
    """Runs a search, and returns the folder that it leaves."""
    tuner = tuner_of(kind, directory, TRIALS)
    tuner.search(verbose=0)
    tuner.note("0", why="a note")
    return Path(directory) / "p"


# Damage. Each function changes a folder and returns what it did, or None if it cannot.


def _bytes_changed(folder, path, rng):
    content = bytearray(path.read_bytes())
    if not content:
        return None
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.choice([1, 1, 1, 10, 1000]))
    what = rng.choice(["flip", "delete", "insert", "double", "zeros", "cut", "text"])
    if what == "flip":
        content[start] ^= 1 << rng.randrange(8)
    elif what == "delete":
        del content[start:end]
    elif what == "insert":
        content[start:start] = rng.randbytes(end - start)
    elif what == "double":
        content[start:start] = content[start:end]
    elif what == "zeros":
        content[start:end] = bytes(end - start)
    elif what == "cut":
        del content[start:]
    else:
        content += b"\nsome text"
    path.write_bytes(content)
    return f"{what} {start}-{end}"


def _encoded(folder, path, rng):
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    encoding = rng.choice(["utf-16", "utf-8-sig", "utf-32", "cp037", "crlf"])
    if encoding == "crlf":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    else:
        path.write_bytes(text.encode(encoding, errors="replace"))
    return f"encoded as {encoding}"


def _emptied(folder, path, rng):
    path.write_bytes(b"")
    return "emptied"


def _deleted(folder, path, rng):
    path.unlink()
    return "deleted"


def _made_a_folder(folder, path, rng):
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "file").write_text("text")
    return "a folder in its place"


def _made_no_file(folder, path, rng):
    path.unlink()
    what = rng.choice(["pipe", "link to a device", "huge file"])
    if what == "pipe":
        os.mkfifo(path)
    elif what == "huge file":
        path.touch()
        os.truncate(path, 2**33)
    else:
        path.symlink_to("/dev/zero")
    return f"a {what} in its place"


def _linked(folder, path, rng):
    target = folder.parent / "target"
    what = rng.choice(["content", "nothing", "itself", "loop"])
    if what == "content":
        shutil.move(path, target)
    elif what == "itself":
        target = folder
    elif what == "loop":
        target = path
    if path.exists():
        path.unlink()
    path.symlink_to(target)
    return f"a link to {what}"


def _copied(folder, path, rng):
    place = rng.choice(["trial_1 (copy)", "trial_9", "trial_00", "trial_x", "sibling"])
    if place == "sibling":
        others = [p for p in folder.rglob(path.name) if p != path]
        if not others:
            return None
        shutil.copy(path, rng.choice(others))
        return "copied over that of another trial"
    source = path.parent if path.parent != folder else folder / "trial_1"
    if source.exists() and not (folder / place).exists():
        shutil.copytree(source, folder / place)
    return f"its folder copied to {place}"


def _lines_changed(folder, path, rng):
    if path.suffix != ".journal":
        return None
    lines = path.read_bytes().splitlines(keepends=True)
    number = rng.randrange(len(lines))
    what = rng.choice(["lost", "doubled", "swapped", "cut", "all after lost"])
    if what == "lost":
        del lines[number]
    elif what == "doubled":
        lines.insert(rng.randrange(len(lines)), lines[number])
    elif what == "swapped":
        other = rng.randrange(len(lines))
        lines[number], lines[other] = lines[other], lines[number]
    elif what == "cut":
        lines[number] = lines[number][: len(lines[number]) // 2] + b"\n"
    else:
        del lines[number:]
    path.write_bytes(b"".join(lines))
    return f"line {number} {what}"


ODD = [
    *(None, True, False, 0, -1, 10**30, 1.5, float("nan"), float("inf")),
    *("", "x", "1/../../x", [], {}, [1], ["x"], {"a": 1}, [[[]]]),
]


def _json_changed(folder, path, rng, is_sealed=True):
    """Changes a value or a key; the checksum stays, or goes as in older versions."""
    try:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines() if path.suffix == ".journal" else [text]
        number = rng.randrange(len(lines))
        content = json.loads(lines[number])
    except (ValueError, UnicodeDecodeError):
        return None
    if not isinstance(content, dict) or not content:
        return None
    if not is_sealed:
        content.pop(files.CHECKSUM, None)
        content.pop("line", None)
        if not content:
            return None
    holder, place = content, []
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = rng.choice(keys)
        place.append(key)
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            holder = inner
        else:
            break
    what = rng.choice(["odd", "odd", "odd", "gone", "renamed", "deep"])
    if what == "odd":
        old = holder[key]
        kinds = [odd for odd in ODD if type(odd) is not type(old)]
        holder[key] = rng.choice(kinds)
        what = f"{old!r} -> {holder[key]!r}"
    elif what == "gone":
        del holder[key]
    elif what == "renamed" and isinstance(holder, dict):
        holder["another"] = holder.pop(key)
    else:
        holder[key] = "DEEP"
    lines[number] = json.dumps(content).replace('"DEEP"', "[" * 5000 + "]" * 5000)
    path.write_text("\n".join([*lines, ""]) if len(lines) > 1 else lines[0])
    return f"{'' if is_sealed else 'without checksum, '}{place}: {what}"


def _json_of_before_changed(folder, path, rng):
    return _json_changed(folder, path, rng, is_sealed=False)


DAMAGES = [
    *(_bytes_changed, _bytes_changed, _encoded, _emptied, _deleted, _made_a_folder),
    _made_no_file,
    *(_linked, _copied, _lines_changed, _json_changed, _json_changed),
    _json_of_before_changed,
]


@dataclasses.dataclass
class Case:
    """How one case went.

    Attributes:
        seed: Makes it again.
        kind: The tuner.
        file: Which file was damaged.
        damage: How.
        outcome: One of `OUTCOMES`.
        detail: The error, the warnings, or what was wrong.
    """

    seed: int
    kind: str
    file: str
    damage: str
    outcome: str = ""
    detail: str = ""


class _TimeIsUp(BaseException):
    pass


class Damages:
    """Projects of each kind, and cases made of them.

    Args:
        directory: Where the projects are made.
        kinds: Names in `KINDS`.
    """

    def __init__(self, directory, kinds=tuple(KINDS)):
        self.directory = Path(directory)
        self.projects = {kind: project(kind, self.directory / kind) for kind in kinds}
        # What resuming a whole project gives.
        self.expected = {}
        for kind in kinds:
            with self._copy(kind) as copy:
                self.expected[kind] = self._resumed(kind, copy.parent)

    def _copy(self, kind):
        return _Copy(self.projects[kind], self.directory)

    def _resumed(self, kind, directory):
        tuner = tuner_of(kind, directory, TRIALS + 1)
        tuner.search(verbose=0)
        table = tuner.leaderboard()
        tuner.get_best_hyperparameters()
        tuner.note("0", outcome="another")
        if len(table):
            tuner.get_best_models()
        return table

    def case(self, seed):
        """Runs the case that a seed makes."""
        # KerasTuner collects garbage twice a trial: half of the time, if it looks
        # through all that cases before have left.
        gc.freeze()
        rng = random.Random(seed)
        kind = rng.choice(list(self.projects))
        with self._copy(kind) as folder:
            damage = None
            while damage is None:
                files = sorted(p for p in folder.rglob("*") if p.is_file())
                path = rng.choice(files)
                damage = rng.choice(DAMAGES)(folder, path, rng)
            case = Case(seed, kind, str(path.relative_to(folder)), damage)
            case.outcome, case.detail = self._outcome(case, folder)
        return case

    def _outcome(self, case, folder):
        def end(*_):
            raise _TimeIsUp

        before = signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        try:
            with (
                warnings.catch_warnings(record=True) as caught,
                # KerasTuner says what it reloads.
                contextlib.redirect_stdout(io.StringIO()),
            ):
                warnings.simplefilter("always")
                table = self._resumed(case.kind, folder.parent)
        except _TimeIsUp:
            return "hang", ""
        except (ValueError, OSError, RuntimeError) as error:
            is_clear = str(folder) in str(error) or str(folder.parent) in str(error)
            is_of_ours = isinstance(
                error, errors.StorageError | errors.DamagedFileError
            )
            outcome = "refused" if is_clear or is_of_ours else "obscure"
            return outcome, f"{type(error).__name__}: {error}"
        except Exception as error:
            return "obscure", f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        told = [str(w.message) for w in caught if str(folder) in str(w.message)]
        wrong = self._wrong(case, table, bool(told))
        if wrong:
            return "wrong", wrong
        return ("named", " | ".join(told)) if told else ("right", "")

    def _wrong(self, case, table, was_told):
        """Returns what is wrong with a leaderboard, if something is."""
        expected = self.expected[case.kind]
        ids = table["trial_id"].tolist()
        if sorted(ids) != sorted(expected["trial_id"]):
            if not was_told or len(set(ids)) != len(ids) or len(ids) > len(expected):
                return f"trials {ids}, expected {sorted(expected['trial_id'])}"
        if "without checksum" in case.damage and case.file.endswith(".journal"):
            return ""  # So are the lines that Optuna itself writes.
        for _, row in table.iterrows():
            if row["status"] != records.COMPLETED:
                return f"trial {row['trial_id']} is {row['status']}"
            settings = {"x": row["x"], "kind": row["kind"], "units": row.get("units")}
            if row["score"] != score_of(settings):
                return f"trial {row['trial_id']} has the score {row['score']}"
        # People may edit notes, and delete them.
        but_for = ("why", "outcome", "next") if case.file == "notes.json" else ()
        if not was_told and not _same(table, expected, but_for):
            return f"another leaderboard:\n{table}\n{expected}"
        return ""


def _same(table, expected, but_for):
    left = {"seconds", *but_for}
    names = [name for name in expected.columns if name not in left]
    return names == [name for name in table.columns if name not in left] and (
        table[names].equals(expected[names])
    )


class _Copy:
    def __init__(self, source, directory):
        self._source = source
        self._directory = directory

    def __enter__(self):
        self._parent = Path(tempfile.mkdtemp(dir=self._directory))
        return Path(shutil.copytree(self._source, self._parent / "p"))

    def __exit__(self, *_):
        # A loop of links is no folder, and is removed as the link that it is.
        shutil.rmtree(self._parent)


def run(damages, *, cases=None, seconds=None, first_seed=0, on_case=None):
    """Runs cases until their number or the time is reached; returns them."""
    begun, done = time.monotonic(), []
    while cases is None or len(done) < cases:
        if seconds is not None and time.monotonic() - begun > seconds:
            break
        case = damages.case(first_seed + len(done))
        done.append(case)
        if on_case is not None:
            on_case(case)
    return done


def counts(cases):
    """Returns how many cases of each kind had each outcome."""
    found = collections.defaultdict(collections.Counter)
    for case in cases:
        found[case.kind][case.outcome] += 1
    return found
