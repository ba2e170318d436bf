"""An expression graph as text that a reviewer can read: one call a line, in the order they are needed."""

import json
import re
import textwrap
from typing import Any

WIDTH, SHORT = 110, 48


def readable(expression: dict[str, Any]) -> str:
    """`v1 = Image.load(id="…")` and so on; constants, and what is used once and short, stand where they are used."""
    text = _Writer(expression["values"]).write(expression["result"])
    return re.sub(r"_MAPPING_VAR_\d+_\d+", "image", text)


class _Writer:
    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._lines: list[str] = []
        self._names: dict[str, str] = {}
        self._uses: dict[str, int] = {}
        for node in values.values():
            self._count(node)

    def write(self, result: str) -> str:
        self._lines.append(f"return {self._reference(result)}")
        return "\n".join(self._lines) + "\n"

    def _count(self, node: Any) -> None:
        if isinstance(node, dict):
            for key in ("valueReference", "body"):
                if isinstance(node.get(key), str):
                    self._uses[node[key]] = self._uses.get(node[key], 0) + 1
            node = list(node.values())
        for part in node if isinstance(node, list) else ():
            self._count(part)

    def _text(self, node: dict[str, Any]) -> str:
        ((kind, content),) = node.items()
        if kind == "valueReference":
            return self._reference(content)
        if kind == "argumentReference":
            return str(content)
        if kind == "arrayValue":
            return _list("[", [self._text(part) for part in content["values"]], "]")
        if kind == "dictionaryValue":
            return _list("{", [f"{name}: {self._text(part)}" for name, part in content["values"].items()], "}")
        if kind == "functionDefinitionValue":
            return f"({', '.join(content['argumentNames'])}) => {self._reference(content['body'])}"
        if kind == "functionInvocationValue":
            given = [f"{name}={self._text(part)}" for name, part in sorted(content["arguments"].items())]
            return _list(f"{content['functionName']}(", given, ")")
        return json.dumps(content)

    def _reference(self, name: str) -> str:
        if name not in self._names:
            text = self._text(self._values[name])
            plain = "functionInvocationValue" not in self._values[name] and "functionDefinitionValue" not in text
            once = self._uses.get(name, 0) <= 1
            if (plain and len(text) < WIDTH) or (once and len(text) < SHORT):
                return text
            self._names[name] = f"v{len(self._names) + 1}"
            self._lines.append(f"{self._names[name]} = {text}")
        return self._names[name]


def _list(opening: str, parts: list[str], closing: str) -> str:
    """On one line, or a part a line where that would be long."""
    line = f"{opening}{', '.join(parts)}{closing}"
    if len(line) < WIDTH:
        return line
    indented = textwrap.indent(",\n".join(parts), "    ")
    return f"{opening}\n{indented}\n{closing}"
