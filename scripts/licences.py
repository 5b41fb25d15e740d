#!/usr/bin/env python3
"""Checks every dependency against deny.toml: licences, banned crates, registries.

The same three checks as `cargo deny check bans licenses sources`, read from the same file, for
machines that do not have cargo-deny.
"""

import json
import re
import subprocess
import sys
import tomllib


def allowed(expression: str, allow: set[str]) -> bool:
    """Evaluates an SPDX expression: AND, OR, parentheses; `/` is an old form of OR."""
    tokens = re.findall(r"\(|\)|AND|OR|[A-Za-z0-9.+-]+(?: WITH [A-Za-z0-9.+-]+)?", expression.replace("/", " OR "))
    position = 0

    def atom() -> bool:
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            value = either()
            position += 1
            return value
        return token in allow

    def both() -> bool:
        nonlocal position
        value = atom()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            value = atom() and value
        return value

    def either() -> bool:
        nonlocal position
        value = both()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            value = both() or value
        return value

    return either()


def main() -> int:
    with open("deny.toml", "rb") as file:
        deny = tomllib.load(file)
    allow = set(deny["licenses"]["allow"])
    banned = {entry["crate"]: entry["reason"] for entry in deny["bans"]["deny"]}
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    wrong = []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["id"] not in used or package["source"] is None:
            continue
        if not package["source"].startswith("registry+"):
            wrong.append(f"{name}: comes from {package['source']}, not from a registry")
        if package["name"] in banned:
            wrong.append(f"{name}: banned: {banned[package['name']]}")
        expression = package.get("license") or ""
        if not expression or not allowed(expression, allow):
            wrong.append(f"{name}: licence `{expression or package.get('license_file')}` is not allowed")
    for line in wrong:
        print(line)
    print(f"{len(used)} packages, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
