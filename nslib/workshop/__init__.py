"""Workshops: editions of the notebooks for readers, participants and instructors, and all of it in one zip file.

==============  ==========================================================================
`exercises`     the self-check below an exercise (`nslib.exercise`)
`rules`         what a notebook with exercises keeps to; part of the notebook contract
`source`        the exercises of a notebook, with times, notes and typical mistakes
`proof`         that solutions pass, and that empty cells and typical mistakes do not
`editions`      reader, participant and instructor
`merged`        all chapters in one file, for Colab
`agenda`        the plan of 90 minutes and of three hours
`material`      recordings and weights that a room without a network needs
`wheels`        the packages of the lock, for a laptop without a network
`bundle`        the zip files
`opening`       what the first cell of an edition calls
==============  ==========================================================================

Conventions
-----------
The notebooks in ``notebooks/`` are the one source, with solutions: they run as they are. What only the instructor may
see is in the metadata of the exercise cells, where no page and no reader shows it.
"""

from __future__ import annotations

from nslib.workshop.opening import begin

__all__ = ["begin"]
