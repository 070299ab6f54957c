"""Variants of BERT's optimizer class, as changes of that of `samples`."""

XLNET = {
    "        exclude_from_weight_decay=None,\n": (
        "        exclude_from_weight_decay=None,\n"
        '        include_in_weight_decay=["r_bias"],\n'
    ),
    "        self.exclude_from": (
        "        self.include_in_weight_decay = include_in_weight_decay\n"
        "        self.exclude_from"
    ),
    "        patterns = self": (
        "        for pattern in self.include_in_weight_decay:\n"
        "            if re.search(pattern, key) is not None:\n"
        "                return True\n"
        "        patterns = self"
    ),
}
ELECTRA = {
    "    def apply_gradients(self, grads_and_vars, global_step=None, name=None):\n": (
        "    def apply_gradients(self, grads_and_vars, global_step=None, name=None):\n"
        "        operations = []\n"
        "        for key, pairs in by_layer(grads_and_vars, self.learning_rate):\n"
        "            rate = self.learning_rate[key]\n"
        "            operations += self._apply_gradients(pairs, rate)\n"
        "        return tf.group(*operations, name=name)\n\n"
        "    def _apply_gradients(self, grads_and_vars, learning_rate):\n"
    ),
    "weight - self.learning_rate * direction": "weight - learning_rate * direction",
    "            if self._do_use_weight_decay(key):\n"
    "                direction += self.weight_decay_rate * weight\n": (
        "            if self.weight_decay_rate > 0:\n"
        "                if self._do_use_weight_decay(key):\n"
        "                    direction += self.weight_decay_rate * weight\n"
    ),
    "        return tf.group(*operations, name=name)\n\n    def _do": (
        "        return operations\n\n    def _do"
    ),
}
# One line each, by which other weights are trained or decay.
CHANGED = {
    "fewer weights trained": (
        "if gradient is None:",
        'if "b" in key or gradient is None:',
    ),
    "the last assignment left out": ("(*operations, name", "(*operations[:-1], name"),
    "the first pair left out": ("in grads_and_vars:", "in grads_and_vars[1:]:"),
    "a reason of its own first": (
        "        if not self.weight_decay_rate:\n",
        '        if "kernel" in key:\n            return False\n'
        "        if not self.weight_decay_rate:\n",
    ),
    "a reason of its own beside the rate": (
        "if not self.weight_decay_rate:",
        'if not self.weight_decay_rate or key.endswith("kernel"):',
    ),
    "another pattern": ("_decay or []", '_decay or ["kernel"]'),
    "one more pattern": ("for pattern in patterns", 'for pattern in patterns + ["k"]'),
    "the first pattern left out": ("in patterns)", "in patterns[1:])"),
    "some matches left out": ("in patterns)", 'in patterns if "k" not in key)'),
    "no case": ("re.search(pattern, key)", "re.search(pattern, key, re.I)"),
    "another name": (
        "        patterns =",
        "        key = key.lower()\n        patterns =",
    ),
    "another name in the loop": (
        "            mean =",
        "            key = key.lower()\n            mean =",
    ),
    "the patterns dropped": (
        "self.exclude_from_weight_decay = exclude_from_weight_decay",
        "self.exclude_from_weight_decay = None",
    ),
    "a test of the shape": ("_decay(key):", "_decay(key) and len(weight.shape) > 1:"),
    "a method of its own": (
        "    def _do_use",
        "    def compute_gradients(self, loss):\n        return []\n\n    def _do_use",
    ),
}
# The loop and the name as BERT's own code has them.
IN_A_LOOP = {
    '            key = weight.name.split(":")[0]\n': (
        "            key = self._get_variable_name(weight.name)\n"
    ),
    "        patterns = self.exclude_from_weight_decay or []\n": (
        "        if self.exclude_from_weight_decay:\n"
        "            for pattern in self.exclude_from_weight_decay:\n"
        "                if re.search(pattern, key) is not None:\n"
        "                    return False\n"
    ),
    "        return not any(re.search(pattern, key) for pattern in patterns)\n": (
        "        return True\n\n    def _get_variable_name(self, key):\n"
        '        found = re.match("^(.*):\\\\d+$", key)\n'
        "        if found is not None:\n            key = found.group(1)\n"
        "        return key\n"
    ),
}
# Lines of these that are changed.
CHANGED_IN_A_LOOP = {
    "some matches passed over": (
        "key) is not None:",
        'key) is not None and "k" not in key:',
    ),
    "the rest excluded": ("return True", "return False"),
    "the scope cut off": ("found.group(1)", 'found.group(1).split("/")[-1]'),
    "another list": (
        "in self.exclude_from_weight_decay:",
        'in self.exclude_from_weight_decay + ["k"]:',
    ),
}
