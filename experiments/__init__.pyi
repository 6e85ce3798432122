from .build import build as build
from .run import Result as Result
from .run import run as run
from .scenario import Scenario as Scenario
from .scenario import ScenarioError as ScenarioError
