"""How long a run still takes: from the jobs done so far, and from what jobs of each stage usually take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from nephroscale.engine.rates import Usual

#: Phases, each of which waits for all jobs of the one before. Within a phase a patient or a fold passes through these
#: groups of stages one after the other, while others are already further.
PHASES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("register",),
        ("reference", "tiles", "segmenter", "segmenter_im", "tem"),
        ("segmenter_check", "glomeruli"),
        ("features",),
    ),
    (("folds",),),
    (("deposit_folds",),),
    (("deposit_priors",),),
    (
        ("train", "deposit_models"),
        ("temperature", "evaluate", "deposit_predictions"),
        ("predict", "new_deposits"),
        ("new_cases",),
    ),
    (("deposits",),),
    (("report",),),
    (("audit",),),
)
#: Seconds that a job waits on a cluster, in the queue and until its end is noticed, as long as none has finished.
USUAL_DELAY = 30.0
#: From how many submissions, the last ones, that is measured.
LATEST = 4
#: How many jobs of a stage an expectation is worth: from records of the study, and from shipped rates.
OWN_WEIGHT, SHIPPED_WEIGHT = 3.0, 1.0
#: Seconds of finished jobs after which the estimated speed of the machine is half measured, half assumed.
SPEED_SECONDS = 5.0
#: After how many seconds the number of jobs at once is as much measured as taken from the number of cores.
SETTLED = 60.0


class TimeLeft:
    """An estimate of the time that a run still takes.

    Parameters
    ----------
    totals
        Number of jobs of each stage in this run.
    slots
        How many jobs run at once; None where that is to be measured (on a cluster).
    usual
        How long a job of each stage takes by records of the study, or else by shipped rates.
    """

    def __init__(self, totals: Mapping[str, int], slots: int | None, usual: Mapping[str, Usual]) -> None:
        self.totals = Counter(totals)
        self.slots = slots
        self._usual = dict(usual)
        self._running: dict[object, tuple[str, float]] = {}
        self._together: dict[object, int] = {}
        self._delays: dict[tuple[str, float], float] = {}
        self._done: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._begun: float | None = None

    def start(self, job: object, stage: str, now: float, together: int = 1) -> None:
        """Count a job, of a group of `together` jobs, as running since `now`, in seconds of any clock."""
        self._begun = now if self._begun is None else self._begun
        self._running[job] = (stage, now)
        self._together[job] = together

    def finish(self, job: object, now: float) -> None:
        """Count a job as finished."""
        if job in self._running:
            stage, since = self._running.pop(job)
            self._done[stage] += 1
            self._seconds[stage] += now - since
            # A group runs its jobs one after the other.
            self._delays[stage, since] = max(0.0, now - since - self._together[job] * self._expected(stage))

    def drop(self, job: object) -> None:
        """Count a job as failed: neither done nor to be waited for."""
        if job in self._running:
            self.totals[self._running.pop(job)[0]] -= 1

    def _expected(self, stage: str) -> float:
        return self._usual[stage].seconds if stage in self._usual else 0.0

    def _delay(self) -> float:
        """How many seconds jobs wait on a cluster, before they start and until their end is noticed."""
        latest = [USUAL_DELAY, *self._delays.values()][-LATEST:]
        return 0.0 if self.slots else sum(latest) / len(latest)

    def _speed(self) -> float:
        """How much longer jobs take on this machine, here and now, than expected."""
        if not self.slots:
            return 1.0
        expected = sum(self._expected(stage) * count for stage, count in self._done.items())
        return (sum(self._seconds.values()) + SPEED_SECONDS) / (expected + SPEED_SECONDS)

    def _mean(self, stage: str, now: float) -> float:
        """Seconds that a job of a stage takes: measured in this run, and at its beginning the usual value."""
        weight = OWN_WEIGHT if stage in self._usual and self._usual[stage].own else SHIPPED_WEIGHT
        known = weight * (self._expected(stage) * self._speed() + self._delay()) + self._seconds[stage]
        mean = known / (weight + self._done[stage])
        late = [now - since for name, since in self._running.values() if name == stage and now - since > mean]
        return (known + sum(late)) / (weight + self._done[stage] + len(late)) if late else mean

    def left(self, now: float) -> float:
        """The time left in seconds."""
        elapsed = now - (now if self._begun is None else self._begun)
        busy = sum(self._seconds.values()) + sum(now - since for _, since in self._running.values())
        if self.slots:  # less where much of the time goes into starting jobs
            busy, elapsed = busy + self.slots * SETTLED, elapsed + SETTLED
        at_once = max(1.0, busy / max(elapsed, 1.0), 0 if self.slots else len(self._running))
        total = 0.0
        for phase in PHASES:
            work = chain = 0.0
            for group in phase:
                rests = [self._rest(stage, now) for stage in group]
                work += sum(all_jobs for all_jobs, _ in rests)
                chain += max(longest for _, longest in rests)
            total += max(work / at_once, chain)
        return total

    def _rest(self, stage: str, now: float) -> tuple[float, float]:
        """Seconds that the jobs of a stage still take, all of them and the one that ends last."""
        waiting = self.totals[stage] - self._done[stage]
        if waiting <= 0:
            return 0.0, 0.0
        mean = self._mean(stage, now)
        running = [now - since for name, since in self._running.values() if name == stage]
        rest = [max(mean - seconds, 0.2 * mean) for seconds in running]
        return sum(rest) + mean * (waiting - len(running)), mean if waiting > len(running) else max(rest)
