"""The course's table of contents: what stands where, how long it takes, what it needs from earlier lessons."""

from __future__ import annotations

from dataclasses import dataclass, field

from mgips.errors import ConfigError

PARTS = ("Start", "How it works", "Does it work?", "Beyond the paper")
STAGES = {
    "words": ("words", "text"),
    "photo": ("photo", "image"),
    "embedding": ("embedding\neq. 1", "both"),
    "mutual attention": ("mutual\nattention\neqs 2-4", "both"),
    "interweave": ("interweave\neqs 5-11", "both"),
    "gate": ("gate\neqs 12-13", "both"),
    "crf": ("CRF\neq. 18", "text"),
    "tags": ("tags", "text"),
    "mining": ("pair mining\neqs 14-15", "loss"),
    "losses": ("losses\neqs 16-19", "loss"),
}
"""The boxes of the map at the top of every lesson: what stands in each, and which side it belongs to."""


@dataclass(frozen=True)
class Lesson:
    """One lesson."""

    name: str
    """The notebook's name without its ending."""
    part: str
    """One of PARTS."""
    title: str
    question: str
    """What it answers, in one line."""
    seconds: int
    """To run all of it on two CPU cores with the models that come with the package, measured."""
    stages: tuple[str, ...] = ()
    """The boxes of STAGES that it opens; none for a lesson about the whole."""
    needs: tuple[str, ...] = ()
    """Earlier lessons, by name, of which it uses something."""
    gpu: str = field(default="A GPU changes little: the models are small.")
    """What a GPU changes."""
    opens: bool = True
    """Whether it looks into a model and its posts; the others read committed results."""

    @property
    def topic(self) -> str:
        """The name without its number: "mutual_attention"."""
        return self.name[3:]


START, WORKS, CHECKED, BEYOND = PARTS
CONTENTS = (
    Lesson("00_tour", START, "What is in a picture?", "What does a photo tell about a name in its text?", 15),
    Lesson("01_tinytweets", START, "A world whose answers are known",
           "How well could anyone do here, with and without the pictures?", 15, ("words", "photo", "tags")),
    Lesson("02_embedding", WORKS, "Words and crops become vectors",
           "How do 12 words and 3 crops become rows of numbers that can meet?", 15, ("embedding",), ("01_tinytweets",)),
    Lesson("03_mutual_attention", WORKS, "Two towers that read each other",
           "Does a word that looks at the picture also use it?", 15, ("mutual attention",), ("02_embedding",)),
    Lesson("04_interweave", WORKS, "Excavators, interweave and gate",
           "Which words and which features does the picture pick, and does it matter?", 15,
           ("interweave", "gate"), ("03_mutual_attention",)),
    Lesson("05_crf", WORKS, "From scores to tags",
           "Why not just take each word's best tag?", 15, ("crf", "tags"), ("01_tinytweets",)),
    Lesson("06_pair_mining", WORKS, "Other people's pictures",
           "Whose pictures does the model take for this text's own?", 20, ("mining", "losses"), ("04_interweave",)),
    Lesson("07_training", WORKS, "Training, one step at a time",
           "What does one step change, and what does the model learn first?", 45, ("losses",),
           ("05_crf", "06_pair_mining"), "Needed for `base`; the tiny model trains in a minute on two CPU cores."),
    Lesson("08_find_the_fault", WORKS, "Five broken models",
           "Each of five models has one fault. Can you find it?", 35, (), ("03_mutual_attention", "04_interweave", "05_crf", "06_pair_mining")),
    Lesson("09_ablation", CHECKED, "What is each part worth?",
           "Which part could be left out without anyone noticing?", 20, (), ("07_training",), opens=False),
    Lesson("10_cases", CHECKED, "One post at a time",
           "Does a model that is right read the picture, or is it lucky?", 20, (), ("03_mutual_attention", "06_pair_mining")),
    Lesson("11_entity_vectors", CHECKED, "Where names lie",
           "Do names of one type lie together, and which step brings them there?", 20, (), ("04_interweave",)),
    Lesson("12_paper", CHECKED, "The paper, checked",
           "Do the paper's own numbers agree with each other?", 15, (), ("09_ablation",), opens=False),
    Lesson("13_released_code", CHECKED, "The released code, and tests that leak",
           "How much higher is a score if the test split was seen in training?", 25, (), ("12_paper",)),
    Lesson("14_reading", BEYOND, "Positives that reach the answer",
           "If another post's picture fits better, why not read it?", 30, ("mining",), ("06_pair_mining", "09_ablation")),
    Lesson("15_real_posts", BEYOND, "Real posts",
           "What of this is left on Twitter, where nobody drew the pictures to fit?", 25, (), ("09_ablation",), opens=False),
    Lesson("16_your_posts", BEYOND, "Your posts, your labels, your GPU",
           "What does it take to do all this with your own posts?", 40, (), ("07_training",),
           "Trains the `base` preset in minutes; on two CPU cores take `tiny` or `minilm`.", opens=False),
)  # fmt: skip


EXPLAINED = {
    "embedding": "02_embedding",
    "attention": "03_mutual_attention",
    "interweave": "04_interweave",
    "gate": "04_interweave",
    "crf": "05_crf",
    "mining": "06_pair_mining",
    "reading": "14_reading",
}
"""The lesson of each box of the explorer."""


def explained(place: str | None, ending: str = ".ipynb") -> dict[str, dict[str, str]]:
    """What the explorer links to: title and address of the lesson of each box, `place` being where the lessons are;
    nothing without a place."""
    if place is None:
        return {}
    titles = {box: lesson_of(name) for box, name in EXPLAINED.items()}
    return {
        box: {"title": f"lesson {each.name[:2]}, {each.title}", "href": f"{place.rstrip('/')}/{each.name}{ending}"}
        for box, each in titles.items()
    }


def lesson_of(name: str) -> Lesson:
    """A lesson by its name, number or topic.

    Raises:
        ConfigError: there is none.
    """
    for lesson in CONTENTS:
        if name in (lesson.name, lesson.name[:2], lesson.topic):
            return lesson
    raise ConfigError(f"There is no lesson {name!r}; choose one of {', '.join(lesson.name for lesson in CONTENTS)}.")
