"""`skybus policy`: all rules, as a policy.yaml in which nothing is said yet; or whether one can be read."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from skybus.gateway.apis import policy_rules
from skybus.http.policy import Policy, PolicyError
from skybus.http.policy_file import read_rules


def main(args: argparse.Namespace) -> int:
    """Print every rule with its default, commented out. With `--check FILE`, say what is wrong with a file; answers 1
    when the gateway would not take it."""
    policy = Policy(policy_rules())
    if args.check is None:
        for name, text in sorted(policy.defaults.items()):
            # JSON's strings are YAML's, too, and need no thought of which words need quotes.
            sys.stdout.write(f"# {json.dumps(name)}: {json.dumps(text)}\n")
        return 0
    path = Path(args.check)
    try:
        unknown = policy.override(read_rules(path))
    except PolicyError as error:
        sys.stderr.write(f"skybus policy: {path}: {error}\n")
        return 1
    for name in sorted(unknown):
        sys.stdout.write(f"{path}: no route asks for {name}, and no rule refers to it\n")
    return 0
