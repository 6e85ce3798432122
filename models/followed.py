"""What a learner has given out and answered, in the order of the calls, so that the same calls can be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from weakref import WeakValueDictionary

from models.evaluation import Score
from models.states import State

Answer = Mapping[str, float]


class Followed:
    """States by their number, in the order in which they were given; evaluations' scores and signals.

    *live* finds the states that somebody still holds. So the same calls can be made again without any training
    (:meth:`replay`), and what is live then be put in place.
    """

    def __init__(self) -> None:
        self.given = 0  # how many states have been given out
        self.live: WeakValueDictionary[int, State] | None = None  # those that somebody holds, where they are followed
        self.scored: list[int] = []  # how many scores each evaluation gave
        self.answered: list[dict[str, float]] = []  # what was signalled
        self._scores: Iterator[list[Score]] | None = None
        self._answers: Iterator[Answer] = iter(())

    def follow(self) -> None:
        """From now on know which states somebody holds, so that a run can be saved."""
        self.live = WeakValueDictionary()

    @property
    def replayed(self) -> bool:
        """Whether the same calls are being made again."""
        return self._scores is not None

    def replay(self, scores: Iterator[list[Score]] | None, signals: Iterable[Answer] = ()) -> None:
        """From now on take *scores* of evaluations and *signals* from there; None: in earnest again."""
        self._scores, self._answers = scores, iter(signals)

    def giving(self, state: State) -> State:
        """Number *state*."""
        self.given += 1
        if self.live is not None:
            self.live[self.given] = state
        return state

    def scoring(self, evaluate: Callable[[], list[Score]]) -> list[Score]:
        """What an evaluation gives, or gave."""
        out = evaluate() if self._scores is None else next(self._scores)
        self.scored.append(len(out))
        return out

    def answering(self, signal: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What a signal is, or was."""
        self.answered.append(signal() if self._scores is None else dict(next(self._answers)))
        return self.answered[-1]

    def fresh(self) -> None:
        """Nothing has been given yet."""
        self.live, self.scored, self.answered = None, [], []
