"""What chat models are asked: our own wording of the prompts that the paper describes (appendix E, Table 13).

As there, the question is in English whatever the language of the texts, without examples, and in one message.
Unlike there, every prompt says in which form to answer, so that answers can be read.
"""

from __future__ import annotations

from collections.abc import Mapping

from xrete.prompts import NONE, Number, OneOf, Prompt, SomeOf

INFERENCE = Prompt(
    template=(
        "Here are two texts in one language, a premise and a hypothesis. Suppose that the premise is true. Say "
        "'entailment' if the hypothesis must then be true too, 'contradiction' if it cannot be true, and 'neutral' "
        "if it may or may not be true. Answer with one of these three words and nothing else.\n\n"
        "Premise: {first}\n"
        "Hypothesis: {second}"
    ),
    answer=OneOf({name: name for name in ("entailment", "neutral", "contradiction")}),
)

PARAPHRASE = Prompt(
    template=(
        "Is each of these two texts a paraphrase of the other, so that they say the same thing? Answer yes or no "
        "and nothing else.\n\n"
        "Text 1: {first}\n"
        "Text 2: {second}"
    ),
    answer=OneOf({"no": "0", "yes": "1"}),
)

SIMILARITY = Prompt(
    template=(
        "How much of their meaning do these two texts share? They may be in different languages. Give a number "
        "from 0 (nothing) to 5 (they mean the same); decimals such as 3.4 are welcome. Answer with the number and "
        "nothing else.\n\n"
        "Text 1: {first}\n"
        "Text 2: {second}"
    ),
    answer=Number(0, 5),
)

QUALITY = Prompt(
    template=(
        "How good is this translation? Give a number from 0 (nothing of the source is left) to 1 (perfect); "
        "decimals such as 0.75 are welcome. Answer with the number and nothing else.\n\n"
        "Source: {first}\n"
        "Translation: {second}"
    ),
    answer=Number(0, 1),
)

CHOICE = Prompt(
    template=(
        "Something happened, and two things are proposed as its {question}. Which one is the more plausible "
        "{question}? Answer 1 or 2 and nothing else.\n\n"
        "What happened: {first}\n"
        "Proposal 1: {choice1}\n"
        "Proposal 2: {choice2}"
    ),
    answer=Number(1, 2, whole=True),
)

RATING = Prompt(
    template=(
        "Here is a customer's review of a product. How many stars did the customer give with it, from 1 (very "
        "disappointed) to 5 (delighted)? Answer with the number of stars and nothing else.\n\n"
        "Review: {first}"
    ),
    answer=Number(1, 5, whole=True),
)

LAW_CHARACTERS = 2000
"""About the 512 tokens that the paper's encoders read of a law."""


def topics(names: Mapping[str, str]) -> Prompt:
    """Makes the prompt of MultiEURLEX.

    Args:
        names: Names of the topics to their labels.
    """
    return Prompt(
        template=(
            f"Here is the beginning of a law of the European Union. Which of these topics is it about: "
            f"{'; '.join(names)}? List those that fit, the best first, with semicolons between them, in the words "
            f"given here, and nothing else; if none fits, answer {NONE}.\n\n"
            f"Law: {{first}}"
        ),
        answer=SomeOf(names),
        longest=LAW_CHARACTERS,
    )
