"""What a large extraction will take: machine hours, money, disk, and what the scheduler can feed.

Conventions
-----------
Arithmetic on what the caller gives; nothing here is a measurement, and no default is a fact about any provider.
Speed and price are per worker process, as measured (`nslib` writes clips/s into its ledger) and as paid. A task
takes the scheduler and the client a time of its own and a time for each clip that it names; the defaults are low
figures of what ``benchmarks/cluster.py`` measured on two busy cores.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from nslib.errors import BadParameter
from nslib.extract.sizes import unit_seconds

BYTES_OF_AUDIO = 32_000  # a second of 16-bit audio at 16 kHz


@dataclass(frozen=True)
class Job:
    """What is to be done, and with what.

    Attributes
    ----------
    clips : float
        Number of clips.
    seconds : float
        Mean length of a clip, in seconds of audio.
    clips_per_second : float
        That one worker process computes, as measured on such a machine.
    workers : float
        Worker processes.
    price : float
        Of one worker process for an hour, in any currency.
    dim : float
        Size of a vector.
    start_seconds : float
        From the start of a worker to its first clip: environment, imports, weights.
    redone : float
        Share of the work that is done again, after machines that were taken away.
    tasks_per_second : float
        That the scheduler takes, were they empty.
    sent_per_second : float
        Clips that client and scheduler can name to workers.
    audio_bytes_per_second : float
        Size on disk of a second of audio.
    """

    clips: float
    seconds: float = 5.0
    clips_per_second: float = 20.0
    workers: float = 1.0
    price: float = 0.0
    dim: float = 512.0
    start_seconds: float = 60.0
    redone: float = 0.05
    tasks_per_second: float = 100.0
    sent_per_second: float = 20_000.0
    audio_bytes_per_second: float = BYTES_OF_AUDIO

    def __post_init__(self) -> None:
        may_be_zero = ("price", "redone", "start_seconds")
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not 0 <= value < float("inf") or (value == 0 and name not in may_be_zero):
                allowed = "0 or more" if name in may_be_zero else "more than 0"
                raise BadParameter(f"{name} is {value}; it must be {allowed}.")


@dataclass(frozen=True)
class Costs:
    """What it takes.

    Attributes
    ----------
    audio_hours : float
        Of the corpus.
    machine_hours : float
        Of all workers together, with their starts and what is done again.
    hours : float
        From start to end.
    money : float
        In the currency of the price.
    vectors_gb, audio_gb : float
        On disk, 10^9 bytes.
    unit_seconds : float
        Audio in a work unit.
    units : float
        Work units, which are tasks and files.
    unit_minutes : float
        What one worker needs for a unit: the most that it loses when it is killed.
    useful_workers : float
        More than these the scheduler cannot feed.
    """

    audio_hours: float
    machine_hours: float
    hours: float
    money: float
    vectors_gb: float
    audio_gb: float
    unit_seconds: float
    units: float
    unit_minutes: float
    useful_workers: float


def of(job: Job) -> Costs:
    """Work out what a job takes.

    Parameters
    ----------
    job : Job

    Returns
    -------
    Costs

    Examples
    --------
    >>> found = of(Job(clips=36_000, clips_per_second=10, workers=2, price=1.5, redone=0, start_seconds=0))
    >>> found.machine_hours, found.hours, found.money
    (1.0, 0.5, 1.5)
    """
    audio = job.clips * job.seconds
    budget = max(unit_seconds(audio), job.seconds)
    unit_clips = budget / job.seconds
    useful = unit_clips / job.clips_per_second / (1 / job.tasks_per_second + unit_clips / job.sent_per_second)
    computing = job.clips / job.clips_per_second * (1 + job.redone)
    busy = computing / min(job.workers, useful) + job.start_seconds
    paid = busy * job.workers / 3600
    return Costs(audio_hours=audio / 3600, machine_hours=paid, hours=busy / 3600, money=paid * job.price,
                 vectors_gb=job.clips * job.dim * 4 / 1e9, audio_gb=audio * job.audio_bytes_per_second / 1e9,
                 unit_seconds=budget, units=audio / budget, unit_minutes=unit_clips / job.clips_per_second / 60,
                 useful_workers=useful)


def text(job: Job) -> str:
    """Show a job and what it takes.

    Parameters
    ----------
    job : Job

    Returns
    -------
    str
        Assumptions first.
    """
    found = of(job)
    lines = [
        f"assumed: {job.clips:,.0f} clips of {job.seconds:g} s; {job.workers:g} workers, each {job.clips_per_second:g} "
        f"clips/s at {job.price:g} an hour,",
        f"         {job.start_seconds:g} s to start, {job.redone:.0%} done again; vectors of {job.dim:g}; a scheduler "
        f"that takes {job.tasks_per_second:g} tasks/s and {job.sent_per_second:,.0f} clips/s",
        f"audio          {found.audio_hours:12,.0f} h   {found.audio_gb:10,.1f} GB on disk",
        f"vectors        {'':12}     {found.vectors_gb:10,.1f} GB on disk",
        f"from start to end {found.hours:9,.2f} h   {found.machine_hours:10,.1f} machine hours",
        f"money          {found.money:12,.2f}     in the currency of the price",
        f"work units     {found.units:12,.0f}     of {found.unit_seconds:,.0f} s of audio; a killed worker loses at "
        f"most {found.unit_minutes:,.1f} minutes",
        f"the scheduler feeds up to {found.useful_workers:,.0f} such workers",
    ]
    if job.workers > found.useful_workers:
        lines.append("more workers than the scheduler can feed: the rest would wait, and cost")
    return "\n".join(lines)
