"""Attributes and items of dictionaries that a file gives more than one value."""

import ast

from keras_tricks.tf1.lint.reading.source import Source


class Changes:
    """Where attributes and items of a file are assigned.

    Args:
        source: The file.
    """

    def __init__(self, source: Source):
        self._source = source
        self._stores: dict[str, list[ast.Attribute]] = {}
        self._items: dict[object, int] = {}
        self._literals: dict[object, int] = {}
        for node in ast.walk(source.tree):
            match node:
                case ast.Attribute(attr=name) if not isinstance(node.ctx, ast.Load):
                    self._stores.setdefault(name, []).append(node)
                case ast.Subscript(slice=ast.Constant(value=key)) if not isinstance(
                    node.ctx, ast.Load
                ):
                    self._items[key] = self._items.get(key, 0) + self._count(node)
                case ast.Dict(keys=keys):
                    for one in keys:
                        if isinstance(one, ast.Constant):
                            count = self._literals.get(one.value, 0)
                            self._literals[one.value] = count + 1

    def is_changed(self, node: ast.expr) -> bool:
        """Returns whether a file assigns an attribute or an item twice, or adds to it.

        By its name alone, as one object may have several. The attributes of `self`
        are those of its class.
        """
        match node:
            case ast.Attribute(attr=name):
                stores = self._stores.get(name, [])
                count = sum(self._count(p) for p in stores if self._may_be(node, p))
                return count > 0 and count + self._in_classes(node, name) > 1
            case ast.Subscript(slice=ast.Constant(value=key)):
                stored = self._items.get(key, 0)
                return stored > 0 and stored + self._literals.get(key, 0) > 1
        return False

    def _count(self, node: ast.expr) -> int:
        return 2 if isinstance(self._source.parents[node], ast.AugAssign) else 1

    def _in_classes(self, node: ast.Attribute, name: str) -> int:
        scopes = self._source.binding_scopes.get(name, [])
        classes = [s.node for s in scopes if isinstance(s.node, ast.ClassDef)]
        own = self._source.enclosing(node, ast.ClassDef)
        return sum(not _is_of_self(node) or one is own for one in classes)

    def _may_be(self, node: ast.Attribute, store: ast.Attribute) -> bool:
        if not (_is_of_self(node) and _is_of_self(store)):
            return True
        enclosing = self._source.enclosing
        return enclosing(node, ast.ClassDef) is enclosing(store, ast.ClassDef)


def _is_of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
