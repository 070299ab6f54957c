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
