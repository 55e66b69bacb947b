"""How often verdicts and intervals are wrong: see ``verdicterrors`` and ``results/verdict_errors.md``."""

from verdicterrors.command import main

if __name__ == "__main__":
    main()
