#!/usr/bin/env python3
"""Checks every dependency against deny.toml: licences, banned crates, registries.

What `cargo deny check bans licenses sources` checks with this file, for machines that do not have
cargo-deny. It takes the licence that a crate declares, and does not read licence texts.
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


CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def several(packages: list[dict]) -> list[str]:
    """Crates that are there in more than one version."""
    versions: dict[str, list[str]] = {}
    for package in packages:
        versions.setdefault(package["name"], []).append(package["version"])
    return [f"{name}: {', '.join(sorted(all))}" for name, all in sorted(versions.items()) if len(all) > 1]


def wildcards(package: dict) -> list[str]:
    """Dependencies of ours that take any version."""
    wild = [d["name"] for d in package["dependencies"] if d["req"] == "*" and d.get("path") is None]
    return [f"{package['name']}: takes any version of `{name}`" for name in wild]


def main() -> int:
    with open("deny.toml", "rb") as file:
        deny = tomllib.load(file)
    allow = set(deny["licenses"]["allow"])
    banned = {entry["crate"]: entry["reason"] for entry in deny["bans"]["deny"]}
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    wrong = []
    if deny["bans"]["wildcards"] == "deny":
        own = (package for package in metadata["packages"] if package["source"] is None)
        wrong += [line for package in own for line in wildcards(package)]
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["id"] not in used or package["source"] is None:
            continue
        if package["source"] != CRATES_IO:
            wrong.append(f"{name}: comes from {package['source']}, not from crates.io")
        if package["name"] in banned:
            wrong.append(f"{name}: banned: {banned[package['name']]}")
        expression = package.get("license") or ""
        if not expression or not allowed(expression, allow):
            wrong.append(f"{name}: licence `{expression or package.get('license_file')}` is not allowed")
    if deny["bans"]["multiple-versions"] == "warn":
        for line in several([package for package in metadata["packages"] if package["id"] in used]):
            print(f"warning: several versions of {line}")
    for line in wrong:
        print(line)
    print(f"{len(used)} packages, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
