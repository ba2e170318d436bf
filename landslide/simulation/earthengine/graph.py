"""The interpreter: an expression's graph of nodes to a value.

A node is evaluated once for each set of values of the function arguments that it depends on, so what does not depend on
a mapped element is shared by all elements, and nodes that are referred to twice are the same value.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import registry
from .replies import ApiError
from .values import Function

Node = Mapping[str, Any]
Scope = Mapping[str, Any]


def evaluate(expression: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """The value of an expression; ApiError for whatever Google would refuse.

    `functions` are those that need to know the world, such as the loading of assets: called with Google's names.
    """
    nodes, result = expression.get("values"), expression.get("result")
    if not isinstance(nodes, Mapping) or result not in nodes:
        raise ApiError("Invalid expression: no result.")
    try:
        return _Graph(nodes, functions or {}).reference(str(result), {})
    except RecursionError as error:
        raise ApiError("Expression is too deeply nested.") from error


class _Graph:
    def __init__(self, nodes: Mapping[str, Node], functions: Mapping[str, Callable[..., Any]]) -> None:
        self._nodes, self._functions = nodes, functions
        self._free: dict[str, frozenset[str]] = {}
        self._free_inline: dict[int, tuple[str, ...]] = {}
        self._known: dict[tuple[Any, ...], Any] = {}
        self._alive: list[Any] = []

    def reference(self, name: str, scope: Scope) -> Any:
        if name not in self._nodes:
            raise ApiError(f"Invalid expression: reference to unknown value '{name}'.")
        return self._once(name, sorted(self._free_in(name)), scope, lambda: self.node(self._nodes[name], scope))

    def node(self, node: Node, scope: Scope) -> Any:
        if len(node) != 1:
            raise ApiError(f"Invalid expression: a node of {sorted(node)}.")
        ((kind, content),) = node.items()
        handler = self._handlers.get(kind)
        if handler is None:
            raise ApiError(f"Invalid expression: unknown node '{kind}'.")
        return handler(self, content, scope)

    def _once(self, key: Any, free: Iterable[str], scope: Scope, make: Callable[[], Any]) -> Any:
        """A value that is the same wherever the arguments it depends on are."""
        bound = [scope.get(argument) for argument in free]
        full = (key, *map(id, bound))
        if full not in self._known:
            self._known[full] = make()
            self._alive.extend(bound)  # an id names a value only as long as the value lives
        return self._known[full]

    def _constant(self, content: Any, scope: Scope) -> Any:
        return _number(content)

    def _array(self, content: Node, scope: Scope) -> list[Any]:
        return [self.node(value, scope) for value in content.get("values", [])]

    def _dictionary(self, content: Node, scope: Scope) -> dict[str, Any]:
        return {key: self.node(value, scope) for key, value in content.get("values", {}).items()}

    def _argument(self, content: str, scope: Scope) -> Any:
        if content not in scope:
            raise ApiError(f"Invalid expression: unbound argument '{content}'.")
        return scope[content]

    def _value_reference(self, content: str, scope: Scope) -> Any:
        return self.reference(content, scope)

    def _definition(self, content: Node, scope: Scope) -> Function:
        names, body = tuple(content.get("argumentNames", ())), str(content["body"])

        def call(*values: Any) -> Any:
            return self.reference(body, {**scope, **dict(zip(names, values, strict=False))})

        return Function(call)

    def _invocation(self, content: Node, scope: Scope) -> Any:
        """A call. What is written once inside a mapped function but does not depend on its argument is called once."""
        free = self._free_inline.get(id(content))
        if free is None:
            free = tuple(sorted(self._free_of({"functionInvocationValue": content})))
            self._free_inline[id(content)] = free
        return self._once(id(content), free, scope, lambda: self._called(content, scope))

    def _called(self, content: Node, scope: Scope) -> Any:
        arguments = {name: self.node(value, scope) for name, value in content.get("arguments", {}).items()}
        return registry.call(str(content.get("functionName")), arguments, self._functions)

    _handlers: Mapping[str, Callable[["_Graph", Any, Scope], Any]] = {
        "constantValue": _constant, "arrayValue": _array, "dictionaryValue": _dictionary,
        "argumentReference": _argument, "valueReference": _value_reference,
        "functionDefinitionValue": _definition, "functionInvocationValue": _invocation,
    }  # fmt: skip

    def _free_in(self, name: str) -> frozenset[str]:
        """The arguments that a named node's value depends on."""
        if name not in self._free:
            self._free[name] = frozenset()
            self._free[name] = self._free_of(self._nodes.get(name, {}))
        return self._free[name]

    def _free_of(self, node: Any) -> frozenset[str]:
        if not isinstance(node, Mapping):
            return frozenset()
        kind: str = next(iter(node), "")
        content: Any = node.get(kind)
        if kind == "argumentReference":
            return frozenset([content])
        if kind == "valueReference":
            return self._free_in(content)
        if kind == "functionDefinitionValue":
            return self._free_in(str(content["body"])) - set(content.get("argumentNames", ()))
        return frozenset().union(*map(self._free_of, _parts(kind, content)))


def _parts(kind: str, content: Any) -> Iterable[Any]:
    """The nodes that a node is made of."""
    if kind == "functionInvocationValue":
        return list(content.get("arguments", {}).values())
    if kind not in ("arrayValue", "dictionaryValue"):
        return []
    values = content.get("values", ())
    return list(values.values()) if isinstance(values, Mapping) else list(values)


def _number(value: Any) -> Any:
    """JSON does not tell 5.0 from 5: integral numbers are integers, as Google takes them."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_number(part) for part in value]
    if isinstance(value, dict):
        return {key: _number(part) for key, part in value.items()}
    return value
