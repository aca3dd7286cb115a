"""List all exercises: `python -m experiments`."""

import shutil
import textwrap

from experiments.kit.exercise import all_exercises


def main() -> None:
    """Print every exercise with its question, papers, minutes and what it shows."""
    width = min(100, shutil.get_terminal_size().columns)
    print("python -m experiments.NAME runs an exercise and writes runs/NAME/<time>/report.html.")
    for exercise in all_exercises():
        print(f"\n{exercise.name}")
        for label, text in (
            ("question", exercise.question),
            ("paper", exercise.paper),
            ("minutes", f"{exercise.minutes} on two cores"),
            ("shows", exercise.shows),
        ):
            print(textwrap.fill(text, width, initial_indent=f"  {label:<10}", subsequent_indent=" " * 12))


if __name__ == "__main__":
    main()
