"""What goes on when an edge node dies at half time?

A campus of two classrooms whose devices learn to read digits (Dirichlet, alpha 0.5). At half of the time that the tree
takes, the edge node of the first classroom dies. One edge: all devices gather at it, a star. Two edges: each classroom
at its own, the campus above. Peers: D-PSGD (Lian et al., NeurIPS 2017), each device with its neighbours on a ring of
its classroom or of all, and the campus server only keeps time. Accuracy on the devices' own held-out digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.lines import Line2D

from experiments.figures.style import BLACK, BLUE, GREY, ORANGE, RC, RED, Legend, place, save, sheet
from experiments.questions.asking import Row, ask
from experiments.run import Result, run
from experiments.scenario import Scenario

QUESTION = "What goes on when an edge node dies at half time?"
