"""Arithmetic written as text, as `ee.Image.expression` sends it."""

import ast
import re
from collections.abc import Mapping
from typing import Any

from .. import registry
from ..coercion import as_image
from ..errors import ApiError, not_imitated
from ..registry import algorithm
from ..values import Function, Image, number_image
from .bands import chosen

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Mod: "mod", ast.Pow: "pow",
    ast.Lt: "lt", ast.LtE: "lte", ast.Gt: "gt", ast.GtE: "gte", ast.Eq: "eq", ast.NotEq: "neq",
    ast.BitAnd: "bitwiseAnd", ast.BitOr: "bitwiseOr",
}  # fmt: skip
ONE = ("abs", "sqrt", "exp", "log", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "ceil", "floor", "round",
       "float", "int", "double", "byte", "short", "long", "cbrt", "signum")  # fmt: skip
TWO = ("atan2", "hypot", "pow")
CONSTANTS = {"PI": 3.141592653589793, "E": 2.718281828459045}


@algorithm("Image.parseExpression")
def parse_expression(expression: str, arg_name: str, vars: list[str]) -> Function:
    """A function of the variables, of which `arg_name` is the image that `b()` takes its bands from."""
    try:
        tree = ast.parse(_as_python(expression), mode="eval").body
    except SyntaxError as error:
        raise ApiError(f"Image.parseExpression: Cannot parse '{expression}'.") from error
    names = tuple(vars)

    def call(*values: Any) -> Image:
        return _Evaluation(dict(zip(names, values, strict=True)), arg_name).image(tree)

    return Function(names, call)


def _as_python(text: str) -> str:
    """Operators of C as Python's; a ? b : c as a call of `_if`."""
    text = text.replace("&&", " and ").replace("||", " or ").replace("^", "**")
    text = re.sub(r"!(?!=)", " not ", text)
    return _ternary(text.strip())


def _ternary(text: str) -> str:
    """Conditions, also inside parentheses, turned inside out."""
    text = _in_parentheses(text)
    question = _outside(text, "?")
    if question < 0:
        return text
    colon = _matching_colon(text, question)
    if colon < 0:
        raise ApiError(f"Image.parseExpression: '{text}' has a '?' without ':'.")
    condition, yes, no = text[:question], text[question + 1 : colon], text[colon + 1 :]
    return f"_if({condition}, {_ternary(yes.strip())}, {_ternary(no.strip())})"


def _in_parentheses(text: str) -> str:
    """The text with `_ternary` applied to what stands in its outermost parentheses."""
    out, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        if letter == "(":
            if depth == 0:
                out.append(text[start : place + 1])
                start = place + 1
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                out.append(_arguments(text[start:place]))
                start = place
    return "".join([*out, text[start:]])


def _arguments(text: str) -> str:
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return ",".join(_ternary(part) for part in [*parts, text[start:]])


def _outside(text: str, wanted: str) -> int:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == wanted and depth == 0:
            return place
    return -1


def _matching_colon(text: str, question: int) -> int:
    depth, open_questions = 0, 0
    for place in range(question + 1, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0 and text[place] == "?":
            open_questions += 1
        if depth == 0 and text[place] == ":":
            if open_questions == 0:
                return place
            open_questions -= 1
    return -1


class _Evaluation:
    def __init__(self, variables: Mapping[str, Any], main: str) -> None:
        self._variables, self._main = variables, main

    def image(self, node: ast.AST) -> Image:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return number_image(node.value)
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._band(self._named(node.value.id), node.attr)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return _apply(OPERATORS[type(node.op)], self.image(node.left), self.image(node.right))
        if isinstance(node, ast.UnaryOp):
            return self._signed(node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
            return _apply(OPERATORS[type(node.ops[0])], self.image(node.left), self.image(node.comparators[0]))
        if isinstance(node, ast.BoolOp):
            name = "and" if isinstance(node.op, ast.And) else "or"
            return self._chained(name, node.values)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._called(node.func.id, node.args)
        raise not_imitated(f"'{ast.unparse(node)}' in an expression")

    def _named(self, name: str) -> Image:
        if name in self._variables:
            return as_image(self._variables[name])
        if name in CONSTANTS:
            return number_image(CONSTANTS[name])
        raise ApiError(f"Image.parseExpression: Unknown variable '{name}'.")

    def _band(self, image: Image, selector: Any) -> Image:
        return image.with_bands(chosen("Image.parseExpression", image, [selector]))

    def _signed(self, node: ast.UnaryOp) -> Image:
        value = self.image(node.operand)
        if isinstance(node.op, ast.USub):
            return _apply("multiply", value, number_image(-1))
        if isinstance(node.op, ast.Not):
            return _apply("not", value)
        return value

    def _chained(self, name: str, nodes: list[ast.expr]) -> Image:
        out = self.image(nodes[0])
        for node in nodes[1:]:
            out = _apply(name, out, self.image(node))
        return out

    def _called(self, name: str, nodes: list[ast.expr]) -> Image:
        if name == "b":
            selectors = [node.value for node in nodes if isinstance(node, ast.Constant)]
            main = as_image(self._variables[self._main])
            return main.with_bands(chosen("Image.parseExpression", main, selectors)) if selectors else main
        if name == "_if":
            condition, yes, no = (self.image(node) for node in nodes)
            return registry.call("Image.where", {"input": no, "test": condition, "value": yes}, {})  # type: ignore[no-any-return]
        if name in ("min", "max"):
            return self._chained(name, nodes)
        if name in ONE and len(nodes) == 1:
            return _apply(name, self.image(nodes[0]))
        if name in TWO and len(nodes) == 2:
            return _apply(name, self.image(nodes[0]), self.image(nodes[1]))
        raise not_imitated(f"The function '{name}' in an expression")


def _apply(name: str, *images: Image) -> Image:
    names = ("value",) if len(images) == 1 else ("image1", "image2")
    found: Image = registry.call(f"Image.{name}", dict(zip(names, images, strict=True)), {})
    return found
