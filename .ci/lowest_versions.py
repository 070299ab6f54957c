"""Print pip constraints for the lowest version of each requirement in setup.cfg.

Usage: python .ci/lowest_versions.py [setup.cfg]
"""

import configparser
import re
import sys

# A name, perhaps with extras, and the bound behind ">=".
_LOWER_BOUND = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?\s*>=\s*([\w.]+)")


def lowest_versions(path: str) -> list[str]:
    """The requirements of the package and of its extras, `>=` turned into `==`."""
    parser = configparser.ConfigParser(interpolation=None)
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    options = [parser["options"]["install_requires"]]
    options += parser["options.extras_require"].values()
    bounds: dict[str, str] = {}
    for line in "\n".join(options).splitlines():
        if bound := _LOWER_BOUND.match(line):
            name, version = bound.groups()
            if bounds.setdefault(name, version) != version:
                raise SystemExit(
                    f"{path}: {name} must have one lower bound. "
                    f"Received: {bounds[name]} and {version}"
                )
    return [f"{name}=={version}" for name, version in bounds.items()]


if __name__ == "__main__":
    print(*lowest_versions(*sys.argv[1:] or ["setup.cfg"]), sep="\n")
