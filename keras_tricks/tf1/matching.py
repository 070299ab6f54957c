"""Matching the names of a checkpoint with the variables of a model and an optimizer."""

from typing import Any

import keras

from keras_tricks.tf1 import known_names
from keras_tricks.tf1 import name_maps
from keras_tricks.tf1 import numbering
from keras_tricks.tf1.conversions import Conversion
from keras_tricks.tf1.conversions import known_conversion
from keras_tricks.tf1.slots import SLOT_NAMES
from keras_tricks.tf1.slots import OptimizerState

_GLOBAL_STEP = "global_step"
_POWERS = ("beta1_power", "beta2_power")


class Matching:
    """Which variable each name of a checkpoint stands for.

    Where a `Split` makes several variables of one, the name of each part ends in its
    number, as in `qkv/kernel[0]`.

    Args:
        model: The model.
        state: The variables of its optimizer; `None` if weights alone are restored.
        shapes: The names in the checkpoint -> their shapes.
        variable_map: The user's map, function and rules.

    Attributes:
        model_name: The model's name.
        weights_only: Whether there is no optimizer.
        matched: Name -> variable of the model or the optimizer.
        respelled: Names that were matched by a spelling of known models.
        sources: Name -> the name in the checkpoint, without the number of a part.
        conversions: Name -> what is done with the value.
        left_out: Names that the user's map leaves out.
        powers: Name -> `beta1_power` or `beta2_power`, if the optimizer is an Adam.
        of_optimizer: Names of slots, powers and the step where there is no optimizer.
        unmatched: The other names.
        by_order: Name -> path of what was matched by the order of numbered layers.
        doubts: A text for each family of numbered layers that is left unmatched, since
            its numbers are others in the model.

    Raises:
        TypeError: If `variable_map`, or what it gives, is of the wrong type.
        ValueError: If `variable_map` names what does not exist, or a name stands for
            several variables, or several names for one.
    """

    def __init__(
        self,
        model: keras.Model,
        state: OptimizerState | None,
        shapes: dict[str, tuple[int, ...]],
        variable_map: name_maps.VariableMap,
    ):
        self._state = state
        self.model_name = model.name
        self.weights_only = state is None
        self._shapes = shapes
        self._index = name_maps.NameIndex(model.weights, model.name)
        self._variables = list(model.weights)
        if state is not None:
            self._variables += [state.counter, *state.slots]
        self._user_map = name_maps.UserMap(variable_map, shapes)
        self._faults: list[str] = []
        self.matched: dict[str, keras.Variable] = {}
        self.respelled: list[str] = []
        self.sources: dict[str, str] = {}
        # Of weights: the name in the checkpoint -> the names of its parts.
        self._parts: dict[str, list[str]] = {}
        self.conversions: dict[str, Conversion] = {}
        self.left_out: list[str] = []
        self.powers: dict[str, str] = {}
        self.of_optimizer: list[str] = []
        self.unmatched: list[str] = []
        self.by_order: dict[str, str] = {}
        self.doubts: list[str] = []
        # Names that are looked for by themselves -> the user's spelling of them.
        self._looked_up: dict[str, str] = {}
        self._by_renamed = {self._user_map.renamed(name): name for name in shapes}
        heads = {name: self._head(name) for name in shapes}
        self._user_map.check_layouts([n for n, head in heads.items() if head is None])
        for name, head in heads.items():
            if head is None:
                self._match(name)
        self._match_by_known_names()
        self._match_numbered_layers(model)
        for part, source in self.sources.items():
            self._parts.setdefault(source, []).append(part)
        for name, head in heads.items():
            if head is not None:
                self._match_slot(name, head)
        self._check_one_to_one()
        if self._faults:
            raise ValueError(
                "Each name of the checkpoint must stand for one variable:\n  "
                + "\n  ".join(self._faults)
            )

    def name_of(self, variable: keras.Variable) -> str | None:
        """Returns the name that stands for `variable`, or `None`."""
        for name, other in self.matched.items():
            if other is variable:
                return name
        return None

    def without_name(self) -> list:
        """Returns the variables that no name stands for."""
        named = {id(variable) for variable in self.matched.values()}
        return [v for v in self._variables if id(v) not in named]

    def _match(self, name: str) -> None:
        user_map = self._user_map
        parts = user_map.parts(name)
        renamed = user_map.renamed(name)
        if name in user_map.named:
            self._use(name, user_map.named[name])
        elif self._is_of_optimizer(renamed):
            self._match_state(name, renamed)
        elif parts is not None:
            for number, target in enumerate(parts):
                part = f"{name}[{number}]"
                conversion = user_map.conversion(name, number)
                self._use(part, target, name, conversion)
        elif user_map.function is not None:
            self._use(name, user_map.function(name))
        else:
            # Whoever gives a layer another number says which one it is.
            if numbering.layer_number(renamed) == numbering.layer_number(name):
                self._looked_up[name] = renamed
            try:
                self._take(name, self._index.find(renamed))
            except name_maps.UnknownNameError:
                self.unmatched.append(name)
            except name_maps.AmbiguousNameError as error:
                original = "" if renamed == name else f"{name!r}: "
                self._faults.append(f"{original}{error}.")

    def _is_of_optimizer(self, name: str) -> bool:
        """Whether it is the step or, where they can be an Adam's, a power of a beta."""
        if name in _POWERS:
            return self._state is None or self._state.is_adam
        return name == _GLOBAL_STEP

    def _match_state(self, name: str, renamed: str) -> None:
        if self._state is None:
            self.of_optimizer.append(name)
        elif renamed in _POWERS:
            self.powers[name] = renamed
        else:
            self._take(name, self._state.counter, conversion=Conversion())

    def _match_numbered_layers(self, model: keras.Model) -> None:
        """Matches layers by their order where Keras has numbered them otherwise."""
        names = {n: r for n, r in self._looked_up.items() if n not in self.respelled}
        given = {id(v) for name, v in self.matched.items() if name not in names}
        weights = [v for v in model.weights if id(v) not in given]
        for family in numbering.families(model, weights, names):
            pairs = family.in_order()
            if family.has_same_numbers() or not any(
                self._fits(name, variable) for name, variable in family.candidates()
            ):
                continue
            for name in family.names():
                for known in (self.matched, self.sources, self.conversions):
                    known.pop(name, None)
                if name in self.unmatched:
                    self.unmatched.remove(name)
            if pairs is not None and all(self._fits(*pair) for pair in pairs):
                for name, variable in pairs:
                    self._take(name, variable)
                    self.by_order[name] = variable.path
            else:
                self.unmatched += family.names()
                self.doubts.append(family.doubt(self._shapes))

    def _fits(self, name: str, variable: keras.Variable) -> bool:
        """Whether a value has the variable's shape after its conversion."""
        needed = tuple(variable.shape)
        try:
            conversion = self._conversion(name, variable)
            return conversion.shape(self._shapes[name], needed) == needed
        except ValueError:
            return False

    def _match_by_known_names(self) -> None:
        """Looks for what has no match yet under the spellings of known models."""
        names, self.unmatched = self.unmatched, []
        taken = {id(variable) for variable in self.matched.values()}
        for name in names:
            ambiguous: LookupError | None = None
            for spelling in known_names.spellings(self._user_map.renamed(name)):
                try:
                    variable = self._index.find(spelling)
                except name_maps.UnknownNameError:
                    continue
                except name_maps.AmbiguousNameError as error:
                    ambiguous = error
                    continue
                if id(variable) not in taken:
                    self._take(name, variable)
                    self.respelled.append(name)
                    break
            else:
                self.unmatched.append(name)
                if ambiguous is not None:
                    self._faults.append(f"{name!r}: {ambiguous}.")

    def _head(self, name: str) -> str | None:
        """Returns the name of the variable whose slot `name` is, if it is a slot.

        A slot may be renamed to one, such as `train/a/kernel/MyAdam` to
        `a/kernel/Adam`. One that the user renames to a name that is no slot's, such as
        an average, is a variable as others are.
        """
        renamed = self._user_map.renamed(name)
        head, _, last = renamed.rpartition("/")
        if last not in SLOT_NAMES:
            return None
        if head in self._by_renamed:
            return self._by_renamed[head]
        head = head if head in self._shapes else name.rpartition("/")[0]
        return head if head in self._shapes else None

    def _take(
        self,
        name: str,
        variable: keras.Variable,
        source: str | None = None,
        conversion: Conversion | None = None,
    ) -> None:
        source = name if source is None else source
        self.matched[name] = variable
        self.sources[name] = source
        self.conversions[name] = conversion or self._conversion(source, variable)

    def _conversion(self, name: str, variable: keras.Variable) -> Conversion:
        return self._user_map.conversion(name) or known_conversion(
            name, self._shapes[name], variable.path, tuple(variable.shape)
        )

    def _match_slot(self, name: str, head: str) -> None:
        if name in self._user_map.named:
            self._use(name, self._user_map.named[name])
            return
        if self._state is None:
            self.of_optimizer.append(name)
            return
        slot_name = self._user_map.renamed(name).rpartition("/")[2]
        matched = False
        for part in self._parts.get(head, []):
            slot = self._state.slot(self.matched[part], slot_name)
            if slot is not None:
                number = part.removeprefix(head)
                self._take(name + number, slot, name, self.conversions[part])
                matched = True
        if not matched:
            (self.left_out if head in self.left_out else self.unmatched).append(name)

    def _use(
        self,
        name: str,
        target: Any,
        source: str | None = None,
        conversion: Conversion | None = None,
    ) -> None:
        """Takes what the user's map gives for `name`."""
        if target is None:
            self.left_out.append(name)
        elif isinstance(target, str):
            if self._is_of_optimizer(target):
                self._match_state(name, target)
                return
            if self._state is None and target.rpartition("/")[2] in SLOT_NAMES:
                self.of_optimizer.append(name)
                return
            try:
                self._take(name, self._find(target), source, conversion)
            except LookupError as error:
                self._faults.append(
                    f"`variable_map` gives {target!r} for {name!r}: {error}"
                )
        elif not isinstance(target, keras.Variable):
            raise TypeError(
                "`variable_map` must give a path, a Keras variable or None. Received: "
                f"{target!r} for {name!r}"
            )
        elif any(target is variable for variable in self._variables):
            self._take(name, target, source, conversion)
        else:
            belongs = "does not belong to the model"
            if self._state is not None:
                belongs = "belongs neither to the model nor to the optimizer"
            self._faults.append(
                f"`variable_map` gives the variable {target.path!r} for {name!r}, "
                f"which {belongs}"
            )

    def _find(self, path: str) -> keras.Variable:
        if self._state is not None:
            for variable in (self._state.counter, *self._state.slots):
                if variable.path == path:
                    return variable
            head, _, last = path.rpartition("/")
            if last in self._state.slot_names:
                slot = self._state.slot(self._index.find(head), last)
                if slot is not None:
                    return slot
        return self._index.find(path)

    def _check_one_to_one(self) -> None:
        names_by_variable: dict[int, list[str]] = {}
        for name, variable in self.matched.items():
            names_by_variable.setdefault(id(variable), []).append(name)
        for names in names_by_variable.values():
            if len(names) > 1:
                self._faults.append(
                    f"{', '.join(map(repr, names))} stand for one variable, "
                    f"{self.matched[names[0]].path!r}"
                )
