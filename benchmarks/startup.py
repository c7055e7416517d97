"""What it takes to import the package and to say what the command can do.

Wall and CPU time of fresh processes in alternated rounds, beside a bare Python and numpy.

    python benchmarks/startup.py [--repeats 9]
"""

import os
import shutil
import subprocess
import sys
import time

from timing import arguments, finish, rounds, spread

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import dipolar_md": [sys.executable, "-c", "import dipolar_md"],
    "dipolar-md --help": ["dipolar-md", "--help"],
    "dipolar-md assemble --help": ["dipolar-md", "assemble", "--help"],
    "dipolar_md.assemble, loaded": [sys.executable, "-c", "import dipolar_md as d; d.assemble"],
}


def timed(name: str) -> dict:
    """Return wall and CPU seconds of one process."""
    before, begin = os.times(), time.perf_counter()
    subprocess.run(COMMANDS[name], check=True, capture_output=True)
    after, wall = os.times(), time.perf_counter() - begin
    cpu = after.children_user + after.children_system
    return {"wall_s": wall, "cpu_s": cpu - before.children_user - before.children_system}


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__.splitlines()[0], repeats=9).parse_args()
    names = [name for name, words in COMMANDS.items() if shutil.which(words[0])]
    found = rounds(names, timed, options.repeats, options.limit)
    lines = ["| command | wall time / s | CPU time / s |", "|---|---|---|"]
    for name, results in found.items():
        walls, cpus = ([result[key] for result in results] for key in ("wall_s", "cpu_s"))
        lines.append(f"| `{name}` | {spread(walls)} | {spread(cpus)} |")
    finish(options, lines, {"commands": found})


if __name__ == "__main__":
    main()
