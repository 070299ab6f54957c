"""Which step's rate BERT's TF1 graph takes: its weights against both settings here.

    python benchmarks/bert_step_race.py [--steps N] [--runs N]

The original increments `global_step` and reads it for the rate in no fixed order. Each
row is a run of its graph; the figures are the distance of its weights from those of
`create_optimizer(..., rate_of=...)`, over the distance that they moved.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rich.console
import rich.table

from keras_tricks.optimizers import create_optimizer
from tests import tf1_reference
from tests import transformer
from tests.optimizers import test_bert


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--runs", type=int, default=2)
    arguments = parser.parse_args()
    batches = list(transformer.batches(arguments.steps))
    initial = transformer.initial_weights()
    ours = {}
    for rate_of in ("this", "next"):
        ours[rate_of] = test_bert.Classifier(initial)
        optimizer = create_optimizer(**test_bert.RUN, rate_of=rate_of)
        ours[rate_of].train(optimizer, batches)
    table = rich.table.Table(
        "graph rewriting", "run", *(f'from rate_of="{rate_of}"' for rate_of in ours)
    )
    for grappler in (True, False):
        for number in range(arguments.runs):
            run = tf1_reference.BertRun(
                initial,
                transformer.loss,
                **test_bert.RUN,
                increment=None,
                grappler=grappler,
            )
            run.run(batches)
            weights = run.weights()
            moved = test_bert.distance_moved(weights)
            table.add_row(
                "on" if grappler else "off",
                str(number),
                *(f"{model.distance(weights) / moved:.1e}" for model in ours.values()),
            )
    rich.console.Console().print(table)


if __name__ == "__main__":
    main()
