"""What is kept of sampled programs: right ones, the longest beginnings whose state is known, nothing twice."""

from __future__ import annotations

from collections.abc import Sequence

from trivium.data.known import Known


def run(lines: Sequence[str]) -> tuple[list[int], bool]:
    """Adds the lines up; 9 is the answer, and a line that is no number cannot be run."""
    states, total = list[int](), 0
    for line in lines:
        if not line.isdigit():
            break
        states.append(total := total + int(line))
        if total == 9:
            return states, True
    return states, False


def known() -> Known:
    return Known(run, [("4", "3", "2")])


def test_a_right_program_is_kept_once_and_cut_where_it_is_done() -> None:
    k = known()
    assert k.states == {4, 7, 9}
    assert k.judge(("5", "4", "7")) == (2, True)
    assert k.keep(("5", "4"), True)
    assert not k.keep(("5", "4"), True)
    assert k.right == [("4", "3", "2"), ("5", "4")]
    assert 5 in k.states


def test_a_right_program_longer_than_the_shortest_is_no_more_than_a_beginning() -> None:
    k = known()
    assert k.judge(("4", "0", "3", "2")) == (4, False)
    k.keep(("9",), True)
    assert k.judge(("4", "5")) == (2, False)


def test_of_a_wrong_program_as_much_is_kept_as_leads_somewhere_known() -> None:
    k = known()
    assert k.judge(("1", "6", "1", "8")) == (2, False)
    assert k.judge(("4", "x")) == (1, False)
    assert k.judge(("1", "1")) == (0, False)
    assert k.judge(()) == (0, False)


def test_of_two_beginnings_the_longer_stays_and_the_empty_one_always() -> None:
    k = known()
    assert k.keep(("1", "3"), False)
    assert not k.keep(("1",), False)
    assert k.keep(("1", "3", "3"), False)
    assert k.keep(("7",), False)
    assert k.begun == [(), ("1", "3", "3"), ("7",)]
    assert 1 in k.states, "states on the way are known from now on"
    assert not k.keep((), False)
