"""The names, phrases and marks that TinyTweets is written with. A change here raises `posts.VERSION`."""

from __future__ import annotations

# ---- names ----

AMBIGUOUS: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(
        ("Paris", "Washington", "Chelsea", "Madison", "Victoria", "Orlando", "Houston", "Lancaster"),
        ("PER", "LOC", "ORG"),
    ),
    **dict.fromkeys(
        ("Jordan", "Lincoln", "Sydney", "Brooklyn", "Florence", "Eden", "Georgia", "Savannah"),
        ("PER", "LOC", "MISC"),
    ),
    **dict.fromkeys(
        ("Mercedes", "Ford", "Tesla", "Bentley", "Porsche", "Wilson", "Chanel", "Disney"),
        ("PER", "ORG", "MISC"),
    ),
    **dict.fromkeys(
        ("Amazon", "Phoenix", "Dallas", "Patagonia", "Fuji", "Barcelona", "Bordeaux", "Monaco"),
        ("LOC", "ORG", "MISC"),
    ),
}
"""Three types a name and 24 names a type, each as likely as the others: a guess is right one time in three."""


SINGLE: dict[str, tuple[str, ...]] = {
    "PER": ("Lena", "Amara", "Theo", "Jonas", "Maeve", "Bruno", "Imani", "Odile", "Kwame", "Soraya", "Milo", "Petra"),
    "LOC": (
        "Lisbon", "Oslo", "Kyoto", "Peru", "Nairobi", "Toronto", "Vienna", "Chile", "Mumbai", "Glasgow", "Malta", "Seoul",
    ),
    "ORG": (
        "Northwind", "Ovalworks", "Solara", "Vantage", "Helix", "Tidewater", "Oakline", "Foxglove", "Copperleaf",
        "Ironbridge", "Brightmoor", "Kestrel",
    ),
    "MISC": (
        "Nimbus", "Glimmer", "Skyfarer", "Sundial", "Orbit", "Tilt", "Wobble", "Frostbyte", "Zipline", "Moonlit",
        "Puddle", "Quizzle",
    ),
}  # fmt: skip
"""Names of one type and one word."""


DOUBLE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "PER": (
        ("Mira", "Otis", "Priya", "Tomas", "Ines", "Kofi", "Ruby", "Hugo", "Nadia", "Felix"),
        ("Solano", "Grant", "Nair", "Weller", "Duarte", "Mensah", "Brandt", "Moreau"),
    ),
    "LOC": (
        ("Port", "Lake", "Cape", "Mount", "Upper", "Little", "West", "Saint", "Fort", "Old"),
        ("Alder", "Corin", "Maribel", "Haven", "Tamsin", "Rowan", "Ebony", "Linden"),
    ),
    "ORG": (
        ("Lumen", "Harbor", "Redfield", "Granite", "Pinecrest", "Metro", "Rivertown", "Eastgate", "Juniper", "Zenith"),
        ("Labs", "Bank", "United", "Radio", "Motors", "College", "Records", "Foods"),
    ),
    "MISC": (
        ("Pocket", "Star", "Silent", "Turbo", "Paper", "Pixel", "Velvet", "Golden", "Rocket", "Marble"),
        ("Dragon", "Harvest", "Awards", "Kart", "Crowns", "Quest", "Festival", "Drone"),
    ),
}  # fmt: skip
"""Names of one type and two words: any first with any second."""


# ---- phrases; {} is the name ----

OPEN = (
    "so much {} today", "{} again", "can not stop thinking about {}", "it is all about {} now", "{} , obviously",
    "everyone talks about {}", "still my favourite : {}", "look , {} !", "this is {} , folks", "{} never disappoints",
    "nothing beats {}", "one more of {}", "say hello to {}", "my day in one word : {}", "guess what , {}",
    "{} made my week", "throwback to {}", "{} like you have never seen", "big news about {}", "we love {}",
)  # fmt: skip
"""Say nothing about the type."""


TOLD: dict[str, tuple[str, ...]] = {
    "PER": (
        "met {} backstage", "{} scored twice", "happy birthday {}", "interview with {} tonight", "{} sings it live",
        "dinner with my friend {}", "{} says sorry", "proud of my sister {}",
    ),
    "LOC": (
        "landed in {} this morning", "sunset over {}", "road trip to {}", "rain in {} all week", "greetings from {}",
        "moving to {} in May", "the streets of {}", "traffic near {} is awful",
    ),
    "ORG": (
        "{} is hiring", "shares of {} are up", "{} fired their coach", "a spokesman for {} said no", "new deal for {}",
        "{} opens a store", "the board of {} met", "work at {} starts monday",
    ),
    "MISC": (
        "playing {} all night", "just ordered the new {}", "tickets for {} sold out", "season two of {} is out",
        "my {} broke again", "won a prize at {}", "reviews of {} are in", "the trailer of {} is wild",
    ),
}  # fmt: skip
"""Say which type it is."""


IDLE = (
    "good morning everyone", "coffee first", "who else is awake ?", "what a week", "so tired right now",
    "best day ever", "i can not even", "monday again", "thanks for all the love", "new post is up",
)  # fmt: skip


HANDLES = tuple(
    f"{a}{b}" for a in ("real", "its", "the", "ask", "hey") for b in ("_milo", "juno88", "kat", "dj", "bex")
)


HASHTAGS = ("tbt", "NowPlaying", "love", "WeekendVibes", "photo", "news", "FollowFriday", "mood")


EMOJI = (("😂",), ("🔥",), ("😍", "😍"), ("❤", "\ufe0f"), ("👀",), ("🙌", "🙌"), ("✨",), ("☀", "\ufe0f"))


MARKS = ("!", "!!", ".", "…", "...", "?!")


URL_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
