"""Whether guests that do not answer count as dead."""

from vmpooler.domain.backoff import SECOND_CHECK_DELAY
from vmpooler.domain.evidence import ANSWER_IS_RECENT, LEAST, SAID_AFTER, Answers

NOW = 1_700_000_000.0
GRACE = 600.0
THEN = NOW + SECOND_CHECK_DELAY
SAID = NOW + SAID_AFTER


def names(count: int) -> list[str]:
    return [f"vm-{number}" for number in range(count)]


def silent(count: int, pool: str = "debian") -> Answers:
    """Return answers of a provider: ``count`` guests of one pool failed their first check at NOW, none answered."""
    answers = Answers(GRACE)
    for name in names(count):
        answers.failed(pool, name, NOW)
    return answers


def test_a_few_guests_that_do_not_answer_are_dead() -> None:
    for count in range(1, LEAST):
        assert silent(count).believes(NOW, THEN)
        assert silent(count).guards("debian", SAID) == ""


def test_where_nobody_answers_none_is_believed_to_be_dead_before_the_grace() -> None:
    for count in (LEAST, 10):
        answers = silent(count)
        assert not answers.believes(NOW, THEN)
        assert not answers.believes(NOW, NOW + GRACE - 1)
        assert answers.believes(NOW, NOW + GRACE)


def test_guests_of_several_pools_count_together() -> None:
    answers = silent(2, "debian")
    answers.failed("centos", "other", NOW)
    assert not answers.believes(NOW, THEN)
    assert answers.guards("debian", SAID)
    assert answers.guards("centos", SAID)
    assert answers.guards("ubuntu", SAID) == "", "none of its VMs is in doubt"


def test_half_of_the_guests_are_believed_to_be_dead_when_the_others_answer() -> None:
    answers = silent(5)
    for name in names(10)[5:]:
        assert not answers.believes(NOW, THEN)
        answers.answered("debian", name, NOW + 1)
    assert answers.believes(NOW, THEN)
    answers.failed("debian", "one-more", NOW)
    assert not answers.believes(NOW, THEN), "six of eleven are most"


def test_who_answered_before_the_first_check_failed_says_nothing_of_the_network_now() -> None:
    answers = silent(1)
    for name in names(20)[10:]:
        answers.answered("debian", name, NOW + 1)
    for name in names(5)[1:]:
        answers.failed("debian", name, NOW + 2)
    assert answers.believes(NOW, THEN)
    assert not answers.believes(NOW + 2, THEN)


def test_an_answer_is_no_evidence_for_ever() -> None:
    answers = silent(3)
    for name in names(6)[3:]:
        answers.answered("debian", name, THEN)
    assert answers.believes(NOW, THEN + ANSWER_IS_RECENT)
    assert not answers.believes(NOW, THEN + ANSWER_IS_RECENT + 1)


def test_a_guest_that_answers_again_or_is_gone_is_in_doubt_no_more() -> None:
    answers = silent(4)
    answers.answered("debian", "vm-0", NOW + 1)
    assert (answers.in_doubt, answers.believes(NOW, THEN)) == (3, False)
    answers.restate("debian", {"vm-1": NOW, "vm-2": NOW})
    assert (answers.in_doubt, answers.believes(NOW, THEN)) == (2, True)


def test_what_another_manager_saw_counts() -> None:
    answers = Answers(GRACE)
    answers.restate("debian", dict.fromkeys(names(LEAST), NOW))
    assert not answers.believes(NOW, THEN)


def test_the_guard_says_why_when_it_lasts_longer_than_a_moment() -> None:
    answers = silent(10)
    assert answers.trouble(SAID - 1) == ""
    why = "10 of 10 guests of the provider that were probed lately do not answer"
    assert answers.trouble(SAID).startswith(why)
    assert answers.guards("debian", SAID).endswith("none is given up before others answer again, or for 10 minutes")


def test_as_many_witnesses_are_wanted_as_are_in_doubt_and_some_at_the_least() -> None:
    assert Answers(GRACE).wanted(NOW) == (0, NOW)
    assert silent(1).wanted(NOW + 1) == (LEAST, NOW)
    answers = silent(5)
    assert answers.wanted(NOW + 1) == (5, NOW)
    answers.ask("vm-5")
    answers.ask("vm-6")
    assert answers.wanted(NOW + 1) == (3, NOW)
    answers.answered("debian", "vm-5", NOW + 1)
    answers.drop("vm-5")
    assert answers.wanted(NOW + 1) == (3, NOW)
    answers.failed("debian", "vm-6", NOW + 2)
    answers.drop("vm-6")
    assert answers.wanted(NOW + 3) == (6, NOW + 2), "who answered before that says nothing of it"


def test_a_check_of_a_guest_in_doubt_is_no_witness() -> None:
    answers = silent(3)
    answers.ask("vm-0")
    assert answers.wanted(NOW + 1) == (3, NOW)
