"""What a step costs, per method, against the passes it is made of: `make bench` (see README.md beside this file)."""

from stepcost.command import main

if __name__ == "__main__":
    main()
