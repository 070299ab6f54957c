"""Remedies: what to do about each verdict, in the order in which to try it."""

REMEDIES: dict[str, tuple[str, ...]] = {
    "learning well": (
        "Keep these settings, and change one thing at a time from here.",
        "Confirm the score under other seeds before you adopt it.",
    ),
    "underfitting": (
        "Give the model more capacity: more units, more layers.",
        "Search another learning rate, first of all.",
        "Regularise less: lower dropout, weight decay and label smoothing.",
        "Train for more steps.",
    ),
    "overfitting": (
        "Get more training data.",
        "Raise dropout.",
        "Use batch normalization.",
        "Raise the L2 penalty or the weight decay.",
        "Augment the training data.",
        "Stop earlier: keep the weights of the best epoch.",
        "Take a smaller model: see check_parameter_budget.",
    ),
    "diverging": (
        "Lower the learning rate by tens until training is stable.",
        "Begin with a warmup.",
        "Clip the gradients by their global norm.",
        "Look for NaN and for outliers in the data.",
    ),
    "not learning at all": (
        "Raise the learning rate by tens, from a tiny one: see a range test.",
        "Look at the data: do the labels belong to the examples, are inputs scaled?",
        "Check that loss and last activation fit each other.",
        "Overfit one batch on purpose: if that fails, the model is wired wrongly.",
    ),
    "still improving at the end": (
        "Train for more steps.",
        "Raise the learning rate, or let it decay later.",
    ),
    "improved only at the beginning": (
        "Lower the learning rate, or let it decay earlier.",
        "Stop earlier: the later epochs gained nothing.",
        "Give the model more capacity if training is flat, too.",
    ),
    "noisy": (
        "Lower the learning rate, or let it decay towards the end.",
        "Take a larger batch.",
        "Validate on more examples.",
        "Average the weights over steps.",
    ),
    "plateaued": (
        "Halve the learning rate on the plateau.",
        "Wait before you stop it: many plateaus end.",
        "Stop earlier if it does not: the last epochs gained nothing.",
    ),
    "step change": (
        "Look at what happens at that step: a jump of the rate, a change of the data.",
        "Clip the gradients if it got worse.",
    ),
    "undecided": ("Train for more epochs, or give a baseline and a human level.",),
}
