"""A new head on a model that has been trained already."""

import inspect
import itertools
import warnings
import weakref
from collections.abc import Callable
from typing import Any
from typing import Literal
from typing import get_args

import keras
import keras_tuner
import numpy as np

from keras_tricks import _validation
from keras_tricks.hypermodels.backbones import Backbone
from keras_tricks.hypermodels.backbones import check_inputs
from keras_tricks.hypermodels.backbones import copy_of
from keras_tricks.hypermodels.backbones import has_own_class
from keras_tricks.hypermodels.backbones import inputs_and_outputs
from keras_tricks.hypermodels.backbones import layers_of
from keras_tricks.hypermodels.backbones import problem_of_file
from keras_tricks.hypermodels.base import SupervisedHyperModel
from keras_tricks.hypermodels.base import checked_dictionary
from keras_tricks.hypermodels.layer_wise import layer_wise
from keras_tricks.hypermodels.layers import pooled_image
from keras_tricks.hypermodels.layers import pooled_sequence

Kind = Literal["text", "image"]
KINDS = get_args(Kind)
LEARNING_RATES = {"text": 1e-5, "image": 1e-3}
DROPOUTS = {"text": 0.1, "image": 0.2}


class HyperFineTune(SupervisedHyperModel):
    """A trained backbone with a new head: pooling, dropout, one dense layer.

    Each model that is built starts from the backbone's weights as they are then, in
    layers of its own: the backbone itself is not changed. It stands in the model as the
    layer "backbone".

    Its layers with weights are cut into `stages` groups of about equal size, from the
    bottom, where the inputs are, to the top. The lowest `frozen_stages` of them do not
    learn, and their batch norms keep their statistics and work as in inference. (As in
    Keras, a frozen `SpectralNormalization` goes on dividing its layer's weights.) In
    the others rates shrink from the top to the bottom:

        rate(stage) = rate * layer_decay ** (number of stages - stage)

    with stages counted from 0, and the head at the whole `rate`. This holds for any
    optimizer of `hyper_optimizer`; for "adamw" the decay of weights shrinks, too.

    | name | range | scale | default | kind | source |
    |---|---|---|---|---|---|
    | `learning_rate` | a tenth to 100 times the default | log | 1e-5 (text), 1e-3 (images) | scalar | 1, 2 |
    | `frozen_stages` | 0 to the number of stages | linear | 0 | structural | 3 |
    | `layer_decay` | fixed; above 0 and at most 1 | | 1 | structural | 4 |
    | `pooling` of `(batch, positions, features)` | fixed; `"attention"`, `"mean"`, `"max"`, `"first"` | | `"attention"` | structural | 5 |
    | `pooling` of images | fixed; `"mean"`, `"max"`, `"attention"` | | `"mean"` | structural | 6 |
    | `dropout` | 0 to 0.7, steps of 0.1 | linear | 0.1 (text), 0.2 (images) | scalar | 2 |

    and the others of `hyper_optimizer`, warmup and decay of the rate among them, and
    those of the loss. What the backbone returns as `(batch, features)` is not
    pooled. An attention that weighs all positions alike is where that pooling starts.

    Args:
        backbone: A Functional or Sequential model without its old head, with the
            weights to start from: of Keras Applications (`include_top=False`), of
            KerasHub, or one's own. Or a function that returns a new one at each call,
            for models that cannot be made anew from their configuration. Where a class
            overrides `call`, or its layers cannot be made anew without it (KerasHub's
            DeBERTa and ViT), its model is called as a whole. Layers that are not
            trainable remain so, and so do layers and variables inside of them; of those
            Keras's own files do not know, the files of the models that are built do.
        num_classes: Number of classes, or of labels; not for regressions.
        kind: `"text"` or `"image"`, which sets the defaults above.
        stages: Groups into which the backbone's layers are cut, >= 1, at most one a
            layer.
        output: Name of the output to be classified, for a backbone that returns a
            dictionary. By default the only one or `"sequence_output"`. Layers that are
            needed for others alone are left out; inputs are not, since Keras would take
            one for another where the examples hold all. Pass `keras.Model(inputs,
            backbone.output[name])` with the inputs that are needed to do without them.
        mask: A function from the model's inputs to the mask `(batch, positions)` of
            those that are pooled: `lambda tokens: keras.ops.not_equal(tokens, 0)`. Only
            for outputs `(batch, positions, features)`. By default the input
            `"padding_mask"`, if there is one, or else the mask that Keras's layers pass
            on.
        optimizer_arguments: See `SupervisedHyperModel`; a `learning_rate` given here
            takes the place of the default.
        **kwargs: `task`, `num_outputs`, `batch_size`, `epochs`, `patience`, `plain` and
            the like: see `keras_tricks.hypermodels.base.SupervisedHyperModel`.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If a number is out of its range, `kind` is unknown, or the backbone
            has no inputs yet. When a model is built: if its output cannot be
            classified, the mask does not fit it, it cannot be made anew, or the
            function does not.

    Example:

    >>> import keras
    >>> import keras_tuner
    >>> from keras_tricks.hypermodels import HyperFineTune
    >>> backbone = keras.applications.MobileNetV2(
    ...     input_shape=(32, 32, 3), include_top=False, weights=None
    ... )  # or weights="imagenet"
    >>> hypermodel = HyperFineTune(backbone, num_classes=10, kind="image")
    >>> hp = keras_tuner.HyperParameters()
    >>> hp.Fixed("frozen_stages", 4)
    4
    >>> model = hypermodel.build(hp)
    >>> [variable.path for variable in model.trainable_variables]
    ['logits/kernel', 'logits/bias']

    Reference:
        1. What practitioners advise: rates of about 1e-5 for BERT and its like, 1e-3
        in vision, with warmup and decay.
        2. Devlin et al., "BERT", 2018 (2e-5 to 5e-5, dropout of 0.1).
        3. Yosinski et al., "How transferable are features in deep neural networks?",
        2014.
        4. Howard and Ruder, "Universal Language Model Fine-tuning for Text
        Classification", 2018 (discriminative fine-tuning); Clark et al., "ELECTRA",
        2020 (0.8 and 0.9).
        5. Yang et al., "Hierarchical Attention Networks", 2016.
        6. Lin et al., "Network In Network", 2014 (global average pooling).
    """  # noqa: E501

    def __init__(
        self,
        backbone: keras.Model | Callable[[], keras.Model],
        num_classes: int | None = None,
        *,
        kind: Kind = "text",
        stages: int = 4,
        output: str | None = None,
        mask: Callable[[Any], Any] | None = None,
        optimizer_arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        self.kind = _validation.check_choice("kind", kind, KINDS)
        rate = {"learning_rate": LEARNING_RATES[kind]}
        given = checked_dictionary("optimizer_arguments", optimizer_arguments)
        optimizer_arguments = {**rate, **given}
        super().__init__(num_classes, optimizer_arguments=optimizer_arguments, **kwargs)
        if isinstance(backbone, keras.Model):
            check_inputs(backbone)
        elif isinstance(backbone, keras.Layer) or not callable(backbone):
            raise TypeError(
                "`backbone` must be a keras.Model, or a function that returns one. "
                f"{_validation.received('backbone', backbone)}"
            )
        else:
            _check_takes_nothing(backbone)
        if mask is not None and not callable(mask):
            raise TypeError(
                "`mask` must be a function from the model's inputs to a mask. "
                f"{_validation.received('mask', mask)}"
            )
        self.backbone = backbone
        self.stages = _validation.check_int("stages", stages, minimum=1)
        self.output = (
            None if output is None else _validation.check_text("output", output)
        )
        self.mask = mask
        self._last_made: Callable[[], Any] = lambda: None
        # Known once a backbone has been made.
        self._as_whole: bool | None = None

    def trunk(self, hp: keras_tuner.HyperParameters) -> tuple[Any, Any]:
        backbone = self._new_backbone()
        stages = _stages(backbone, self.stages)
        given = hp.Int("frozen_stages", 0, len(stages), default=0)
        frozen = _validation.check_int("frozen_stages", given)
        if frozen > len(stages):  # Somebody fixed it.
            raise ValueError(
                f"`frozen_stages` must be at most {len(stages)}, the stages that the "
                f"backbone has. Received: frozen_stages={frozen}"
            )
        for layer in itertools.chain(*stages[:frozen]):
            layer.trainable = False
        features = self._pooled(hp, backbone.input, backbone(backbone.input))
        features = self.dropout(hp, features, default=DROPOUTS[self.kind])
        return backbone.input, features

    def optimizer(
        self, hp: keras_tuner.HyperParameters, total_steps: int
    ) -> keras.optimizers.Optimizer:
        _layer_decay(hp)
        return super().optimizer(hp, total_steps)

    def _compile(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, total_steps: int
    ) -> None:
        decay = _layer_decay(hp)
        if decay == 1:
            super()._compile(hp, model, total_steps)
            return
        stages = _stages(model.get_layer("backbone"), self.stages)
        factors = {
            id(variable): decay ** (len(stages) - number)
            for number, stage in enumerate(stages)
            for layer in stage
            for variable in layer.variables
        }
        arguments = self.compile_arguments(hp, total_steps)
        arguments["optimizer"] = layer_wise(
            arguments["optimizer"],
            [factors.get(id(v), 1.0) for v in model.trainable_variables],
        )
        model.compile(**arguments)

    def _new_backbone(self) -> Backbone:
        """Returns a backbone of the model's own, with one output."""
        is_given = isinstance(self.backbone, keras.Model)
        model = self.backbone if is_given else self._returned()
        problem = None
        if self._as_whole is None:
            self._as_whole, problem = self._way_of(model)
        backbone = self._made_of(model, self._as_whole)
        if problem is not None:
            warnings.warn(
                "A `.keras` file of this model will not load, since the backbone "
                f"cannot be made anew from its configuration: {problem} Save its "
                "weights (`model.save_weights`), and `load_weights` into the model "
                "that `build(hp)` returns.",
                stacklevel=2,
            )
        return backbone

    def _way_of(self, model: keras.Model) -> tuple[bool, str | None]:
        """Returns whether to take it as a whole, and why no file of it would load."""
        if not has_own_class(model):
            return False, None
        if problem_of_file(lambda: self._made_of(model, as_whole=False)) is None:
            return False, None
        # Some layers can be made by their model's class alone.
        problem = problem_of_file(lambda: self._made_of(model, as_whole=True))
        return problem is None, problem

    def _made_of(self, model: keras.Model, as_whole: bool) -> Backbone:
        own = copy_of(model, as_whole) if model is self.backbone else model
        inputs, outputs = inputs_and_outputs(own, as_whole)
        return Backbone(inputs, self._chosen(outputs), name="backbone")

    def _returned(self) -> keras.Model:
        """Returns what the function `backbone` does."""
        model = self.backbone()
        if not isinstance(model, keras.Model):
            raise TypeError(
                "The function `backbone` must return a keras.Model. "
                f"Received: {model!r}"
            )
        check_inputs(model)
        if model is self._last_made():
            raise ValueError(
                "The function `backbone` must return a new model at each call, or "
                "trials would go on from each other's weights. It returned "
                f"{model.name!r} twice."
            )
        self._last_made = weakref.ref(model)
        return model

    def _chosen(self, outputs: Any) -> Any:
        if isinstance(outputs, dict):
            name = self.output
            if name is None and len(outputs) == 1:
                [name] = outputs
            name = "sequence_output" if name is None else name
            if name not in outputs:
                raise ValueError(
                    "`output` must be one of the backbone's outputs, "
                    f"{sorted(outputs)}. {_validation.received('output', self.output)}"
                )
            return outputs[name]
        if self.output is not None:
            raise ValueError(
                "`output` is for a backbone that returns a dictionary. "
                f"{_validation.received('output', self.output)}, with {outputs!r}"
            )
        if isinstance(outputs, list | tuple):
            if len(outputs) > 1:
                raise ValueError(
                    "The backbone must return one tensor, or a dictionary: make it "
                    "keras.Model(backbone.input, backbone.output[0]), for instance. "
                    f"Received: {len(outputs)} outputs"
                )
            return outputs[0]
        return outputs

    def _pooled(
        self, hp: keras_tuner.HyperParameters, inputs: Any, features: Any
    ) -> Any:
        """Returns `(batch, features)`."""
        rank = len(features.shape)
        if self.mask is not None and rank != 3:
            raise ValueError(
                "`mask` is for a backbone that returns (batch, positions, features), "
                "of which it leaves positions out. "
                f"Received: an output of shape {features.shape}"
            )
        if rank == 2:
            return features
        if rank == 3:
            mask = self._mask_of(inputs, features.shape)
            return pooled_sequence(features, hp.Fixed("pooling", "attention"), mask)
        if rank not in (4, 5):
            raise ValueError(
                "The backbone must return (batch, features), (batch, positions, "
                "features) or (batch, height, width, features). "
                f"Received: an output of shape {features.shape}"
            )
        return pooled_image(features, hp.Fixed("pooling", "mean"))

    def _mask_of(self, inputs: Any, shape: tuple[int | None, ...]) -> Any:
        """Returns the mask for an output of a shape; None is Keras's own."""
        if self.mask is not None:
            mask = self.mask(inputs)
        elif isinstance(inputs, dict) and "padding_mask" in inputs:
            mask = keras.ops.cast(inputs["padding_mask"], "bool")
        else:
            return None
        received = getattr(mask, "shape", None)
        batch, positions = shape[:2]
        if (
            received is None
            or len(received) != 2
            or received[0] not in (None, 1, batch)
            or (positions is not None and received[1] not in (None, positions))
            # It would be repeated.
            or (received[1] == 1 and positions != 1)
        ):
            raise ValueError(
                f"`mask` must return (batch, {positions or 'positions'}), as many "
                "positions as the backbone's output has; without it that is the input "
                '"padding_mask". '
                f"Received: {_validation.shown(mask) if received is None else received}"
            )
        return mask


def _check_takes_nothing(function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # Some that are written in C have none.
        return
    try:
        signature.bind()
    except TypeError as error:
        raise TypeError(
            "The function `backbone` must take no arguments: pass "
            "`lambda: function(...)`. "
            f"{_validation.received('backbone', function)}, {error}"
        ) from None


def _layer_decay(hp: keras_tuner.HyperParameters) -> float:
    decay = hp.Fixed("layer_decay", 1.0)
    return _validation.check_float("layer_decay", decay, exclusive=True, maximum=1)


def _stages(model: keras.Model, count: int) -> list[list[keras.Layer]]:
    """Returns the layers with weights, in `count` groups or as many as there are."""
    layers = list(dict.fromkeys(layer for layer in layers_of(model) if layer.weights))
    groups = min(count, len(layers))
    bounds = np.linspace(0, len(layers), groups + 1).round().astype(int)
    return [layers[a:b] for a, b in itertools.pairwise(bounds)]
