"""The parts a run is composed of: frozen dataclasses, a file per part, each of which builds what it describes."""
