"""The interpreter: evaluates the graph of an expression to a value.

Values are memoised: a node is evaluated once for each combination of values of the function arguments that it depends
on. What does not depend on a mapped element is shared by all elements, and a node that is referenced twice has one
value.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import registry
from .replies import ApiError
from .values import Function

Node = Mapping[str, Any]
Scope = Mapping[str, Any]


def evaluate(expression: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """The value of an expression; ApiError if it is invalid.

    `functions` are implementations that depend on the world, such as loading an asset, by Earth Engine's names.
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
        self._memo: dict[tuple[Any, ...], Any] = {}
        self._memo_arguments: list[Any] = []

    def reference(self, name: str, scope: Scope) -> Any:
        if name not in self._nodes:
            raise ApiError(f"Invalid expression: reference to unknown value '{name}'.")
        return self._memoised(name, sorted(self._free_in(name)), scope, lambda: self.node(self._nodes[name], scope))

    def node(self, node: Node, scope: Scope) -> Any:
        if len(node) != 1:
            raise ApiError(f"Invalid expression: a node of {sorted(node)}.")
        ((kind, content),) = node.items()
        handler = self._handlers.get(kind)
        if handler is None:
            raise ApiError(f"Invalid expression: unknown node '{kind}'.")
        return handler(self, content, scope)

    def _memoised(self, key: Any, free: Iterable[str], scope: Scope, make: Callable[[], Any]) -> Any:
        """The value of `make`, memoised by a key and the values of the free arguments."""
        bound = [scope.get(argument) for argument in free]
        full = (key, *map(id, bound))
        if full not in self._memo:
            self._memo[full] = make()
            self._memo_arguments.extend(bound)  # an id is unique only while its object is alive
        return self._memo[full]

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
        """A function call. An inline call in a mapped function that does not depend on the argument is made once."""
        free = self._free_inline.get(id(content))
        if free is None:
            free = tuple(sorted(self._free_of({"functionInvocationValue": content})))
            self._free_inline[id(content)] = free
        return self._memoised(id(content), free, scope, lambda: self._called(content, scope))

    def _called(self, content: Node, scope: Scope) -> Any:
        arguments = {name: self.node(value, scope) for name, value in content.get("arguments", {}).items()}
        return registry.call(str(content.get("functionName")), arguments, self._functions)

    _handlers: Mapping[str, Callable[["_Graph", Any, Scope], Any]] = {
        "constantValue": _constant, "arrayValue": _array, "dictionaryValue": _dictionary,
        "argumentReference": _argument, "valueReference": _value_reference,
        "functionDefinitionValue": _definition, "functionInvocationValue": _invocation,
    }  # fmt: skip

    def _free_in(self, name: str) -> frozenset[str]:
        """The free arguments of a named node."""
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
    """The child nodes of a node."""
    if kind == "functionInvocationValue":
        return list(content.get("arguments", {}).values())
    if kind not in ("arrayValue", "dictionaryValue"):
        return []
    values = content.get("values", ())
    return list(values.values()) if isinstance(values, Mapping) else list(values)


def _number(value: Any) -> Any:
    """Convert integral floats to integers, as Earth Engine does: JSON does not distinguish 5.0 from 5."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_number(part) for part in value]
    if isinstance(value, dict):
        return {key: _number(part) for key, part in value.items()}
    return value
