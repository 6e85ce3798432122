"""One research question per script: ``python -m experiments.questions.NAME [--quick] [--json] [--out DIR]``."""
