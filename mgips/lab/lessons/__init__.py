"""The course: what the notebooks open, ask, check and draw.

lesson = lessons.start("04_interweave")          the corpus, the models, a map, the time it takes
lessons.check("interweave.row_weights", answer, …)     right, or what kind of wrong
lessons.rebuild("interweave.row_weights", yours, lesson.model, posts)     your function in the trained model
lessons.say(f"F1 is {100 * f1:.1f}.")            a sentence whose numbers are the cell's

A module per lesson has its pictures and its exercises.
"""

from mgips.lab.lessons.exercises import check as check
from mgips.lab.lessons.opened import Opened as Opened
from mgips.lab.lessons.opened import start as start
from mgips.lab.lessons.opened import trained as trained
from mgips.lab.lessons.prose import say as say
from mgips.lab.lessons.rebuild import rebuild as rebuild
